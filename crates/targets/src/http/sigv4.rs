//! Signature Version 4 for requests that no AWS SDK sends.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use genesys_replay::clock::Clock;
use genesys_replay::failure::{Disposition, FailureCode};
use genesys_replay::target::DeliveryError;
use reqwest::header::{HeaderName, HeaderValue};

use super::sender::OutgoingRequest;
use crate::refreshed::LoadError;

/// Signs requests with the credentials of AWS.
#[derive(Clone)]
pub struct SigV4Signer {
    credentials: Option<SharedCredentialsProvider>,
    clock: Arc<dyn Clock>,
}

impl SigV4Signer {
    /// Creates a signer; `None` for an environment without credentials.
    #[must_use]
    pub fn new(credentials: Option<SharedCredentialsProvider>, clock: Arc<dyn Clock>) -> Self {
        Self { credentials, clock }
    }

    /// Adds the signature to the headers.
    ///
    /// # Errors
    /// The credentials cannot be loaded, or the request cannot be signed. Nothing was sent.
    pub(crate) async fn sign(
        &self,
        request: &mut OutgoingRequest,
        service: &str,
        region: &str,
    ) -> Result<(), DeliveryError> {
        let provider = self.credentials.as_ref().ok_or_else(without_credentials)?;
        let credentials = provider.provide_credentials().await.map_err(|error| DeliveryError {
            source: Some(error.into()),
            ..without_credentials()
        })?;
        let identity = credentials.into();
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.now().as_millis());
        let params = SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(not_signed)?
            .into();
        let text = |(name, value): (&'_ HeaderName, &'_ HeaderValue)| {
            value.to_str().ok().map(|value| (name.as_str().to_owned(), value.to_owned()))
        };
        let headers: Vec<_> = request.headers.iter().filter_map(text).collect();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Bytes(request.body.as_bytes());
        let signable =
            SignableRequest::new(request.method.as_str(), request.url.as_str(), headers, body);
        let signable = signable.map_err(not_signed)?;
        let signed = sign(signable, &params).map_err(not_signed)?;
        for (name, value) in signed.output().headers() {
            let name = HeaderName::try_from(name).map_err(not_signed)?;
            let value = HeaderValue::try_from(value);
            let mut value = value.map_err(not_signed)?;
            value.set_sensitive(true);
            request.headers.insert(name, value);
        }
        Ok(())
    }
}

fn without_credentials() -> DeliveryError {
    DeliveryError {
        disposition: Disposition::Transient { after: None },
        ..DeliveryError::never(
            FailureCode::TargetUnavailable,
            "the target was not called: no credentials of AWS".to_owned(),
        )
    }
}

fn not_signed(error: impl Error + Send + Sync + 'static) -> DeliveryError {
    let reason = "the request to the target cannot be signed".to_owned();
    DeliveryError { source: Some(error.into()), ..LoadError::misconfigured(reason).into() }
}
