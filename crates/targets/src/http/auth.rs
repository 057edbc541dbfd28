//! The setting `TARGET_AUTH`: the authentication of deliveries over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use genesys_replay::clock::Clock;
use genesys_replay::failure::{Disposition, FailureCode};
use genesys_replay::target::{Delivery, DeliveryError};
use genesys_replay::webhook_secret;
use genesys_replay_aws::secrets_manager::SecretsManagerSecret;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};

use super::sender::{OutgoingRequest, is_of_connection};
use super::sigv4::SigV4Signer;
use super::stored_secret::StoredSecret;
use crate::refreshed::Loaded;

/// The authentication of deliveries over HTTP.
pub struct HttpAuth {
    kind: Kind,
}

enum Kind {
    None,
    Stored { secret: StoredSecret<StoredCredentials>, clock: Arc<dyn Clock> },
    SigV4 { signer: SigV4Signer, service: String, region: String },
}

/// The credentials in a secret.
pub(super) enum StoredCredentials {
    Headers(HeaderMap),
    Keys(Vec<Webhook>),
}

/// The credentials of one request.
pub(super) enum RequestCredentials<'a> {
    None,
    Stored {
        secret: &'a StoredSecret<StoredCredentials>,
        clock: &'a dyn Clock,
        read: Loaded<StoredCredentials>,
    },
    SigV4 {
        signer: &'a SigV4Signer,
        service: &'a str,
        region: &'a str,
    },
}

impl HttpAuth {
    /// No authentication.
    pub const NONE: Self = Self { kind: Kind::None };

    /// Adds the headers in a secret: a JSON object of names and values.
    #[must_use]
    pub fn headers(secret: SecretsManagerSecret, clock: Arc<dyn Clock>) -> Self {
        Self::stored(secret, |text| parse_headers(text).map(StoredCredentials::Headers), clock)
    }

    /// Signs with one or two secrets of Standard Webhooks.
    #[must_use]
    pub fn signature(secret: SecretsManagerSecret, clock: Arc<dyn Clock>) -> Self {
        Self::stored(secret, |text| parse_keys(text).map(StoredCredentials::Keys), clock)
    }

    /// Signs with the credentials of AWS for a service in a region.
    #[must_use]
    pub const fn sigv4(signer: SigV4Signer, service: String, region: String) -> Self {
        Self { kind: Kind::SigV4 { signer, service, region } }
    }

    fn stored(
        secret: SecretsManagerSecret,
        parse: fn(&str) -> Result<StoredCredentials, String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let secret = StoredSecret::new(secret, parse, Arc::clone(&clock));
        Self { kind: Kind::Stored { secret, clock } }
    }

    pub(super) async fn credentials(&self) -> Result<RequestCredentials<'_>, DeliveryError> {
        Ok(match &self.kind {
            Kind::None => RequestCredentials::None,
            Kind::Stored { secret, clock } => RequestCredentials::Stored {
                secret,
                clock: clock.as_ref(),
                read: secret.get().await?,
            },
            Kind::SigV4 { signer, service, region } => {
                RequestCredentials::SigV4 { signer, service, region }
            }
        })
    }
}

impl RequestCredentials<'_> {
    /// Returns the credentials that replace refused ones, if the secret has changed.
    pub(super) async fn newer(&self) -> Option<Self> {
        match self {
            Self::Stored { secret, clock, read } => {
                let read = secret.newer(read).await?;
                Some(Self::Stored { secret, clock: *clock, read })
            }
            Self::None | Self::SigV4 { .. } => None,
        }
    }

    /// Returns the request with its authentication.
    pub(super) async fn authenticate(
        &self,
        mut request: OutgoingRequest,
        delivery: &Delivery<'_>,
    ) -> Result<OutgoingRequest, DeliveryError> {
        match self {
            Self::None => {}
            Self::Stored { clock, read, .. } => match read.value.as_ref() {
                StoredCredentials::Headers(headers) => request.headers.extend(headers.clone()),
                StoredCredentials::Keys(keys) => {
                    sign(&mut request, delivery, keys, clock.now().as_secs())?;
                }
            },
            Self::SigV4 { signer, service, region } => {
                signer.sign(&mut request, service, region).await?;
            }
        }
        Ok(request)
    }
}

/// Signs a request as Standard Webhooks defines it. The id is the same for every delivery of the event.
fn sign(
    request: &mut OutgoingRequest,
    delivery: &Delivery<'_>,
    keys: &[Webhook],
    now: u64,
) -> Result<(), DeliveryError> {
    let unusable = || DeliveryError {
        disposition: Disposition::Operator,
        ..DeliveryError::never(
            FailureCode::TargetCredentials,
            "the delivery cannot be signed".to_owned(),
        )
    };
    let id = delivery.key.digest();
    let at = i64::try_from(now).map_err(|_| unusable())?;
    let signatures: Result<Vec<String>, _> =
        keys.iter().map(|key| key.sign(&id, at, request.body.as_bytes())).collect();
    let signatures = signatures.map_err(|_| unusable())?.join(" ");
    for (name, text) in [
        (HEADER_WEBHOOK_ID, id),
        (HEADER_WEBHOOK_TIMESTAMP, at.to_string()),
        (HEADER_WEBHOOK_SIGNATURE, signatures),
    ] {
        request.headers.insert(name, HeaderValue::try_from(text).map_err(|_| unusable())?);
    }
    Ok(())
}

/// Parses the secret of `TARGET_AUTH=headers`.
///
/// # Errors
/// The fault, which does not quote a value.
pub(crate) fn parse_headers(text: &str) -> Result<HeaderMap, String> {
    let parsed: BTreeMap<String, String> = serde_json::from_str(text)
        .map_err(|_| "it is not a JSON object of header names and values".to_owned())?;
    if parsed.is_empty() {
        return Err("it has no header".to_owned());
    }
    let header = |(name, value): (String, String)| {
        let valid_name = HeaderName::try_from(&name).ok();
        let name = valid_name.ok_or_else(|| format!("{name:?} is not the name of a header"))?;
        if is_of_connection(&name) {
            return Err(format!("the header {name} cannot be set"));
        }
        let value = HeaderValue::try_from(value);
        let mut value = value.map_err(|_| format!("the value of {name} is not valid"))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    parsed.into_iter().map(header).collect()
}

/// Parses the secret of `TARGET_AUTH=signature`.
fn parse_keys(text: &str) -> Result<Vec<Webhook>, String> {
    let keys = webhook_secret::parse(text).map_err(|fault| fault.to_string())?;
    let keys = keys.iter().map(|it| Webhook::from_bytes(it.key.expose_secret().to_vec()));
    keys.collect::<Result<_, _>>().map_err(|_| "it is not a key".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_parsed_and_faults_do_not_quote_values() {
        let parsed = parse_headers(r#"{"X-Api-Key":"hush","authorization":"Bearer t"}"#);
        assert_eq!(parsed.map(|headers| headers.len()), Ok(2));
        for (text, fault) in [
            ("", "it is not a JSON object of header names and values"),
            ("[\"X-Api-Key\",\"hush\"]", "it is not a JSON object of header names and values"),
            ("{}", "it has no header"),
            (r#"{"X Api":"hush"}"#, r#""X Api" is not the name of a header"#),
            (r#"{"X-Api-Key":"hush\n"}"#, "the value of x-api-key is not valid"),
            (r#"{"Host":"hush"}"#, "the header host cannot be set"),
        ] {
            assert_eq!(parse_headers(text), Err(fault.to_owned()), "{text}");
        }
    }
}
