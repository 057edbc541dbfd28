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
pub struct HttpAuth(Kind);

enum Kind {
    None,
    Headers(StoredSecret<HeaderMap>),
    Signature { secret: StoredSecret<Vec<Webhook>>, clock: Arc<dyn Clock> },
    SigV4 { signer: SigV4Signer, service: String, region: String },
}

/// The secret of one request.
pub(super) enum Secret {
    /// The secret is not of this adapter: none, or the credentials of AWS.
    None,
    Headers(Loaded<HeaderMap>),
    Keys(Loaded<Vec<Webhook>>),
}

impl HttpAuth {
    /// No authentication.
    pub const NONE: Self = Self(Kind::None);

    /// Adds the headers in a secret: a JSON object of names and values.
    #[must_use]
    pub fn headers(secret: SecretsManagerSecret, clock: Arc<dyn Clock>) -> Self {
        Self(Kind::Headers(StoredSecret::new(secret, parse_headers, clock)))
    }

    /// Signs with one or two secrets of Standard Webhooks.
    #[must_use]
    pub fn signature(secret: SecretsManagerSecret, clock: Arc<dyn Clock>) -> Self {
        let stored = StoredSecret::new(secret, parse_keys, Arc::clone(&clock));
        Self(Kind::Signature { secret: stored, clock })
    }

    /// Signs with the credentials of AWS for a service in a region.
    #[must_use]
    pub const fn sigv4(signer: SigV4Signer, service: String, region: String) -> Self {
        Self(Kind::SigV4 { signer, service, region })
    }

    pub(super) async fn secret(&self) -> Result<Secret, DeliveryError> {
        match &self.0 {
            Kind::None | Kind::SigV4 { .. } => Ok(Secret::None),
            Kind::Headers(secret) => secret.get().await.map(Secret::Headers),
            Kind::Signature { secret, .. } => secret.get().await.map(Secret::Keys),
        }
    }

    /// Returns the secret, if it has changed since it was refused.
    pub(super) async fn newer_secret(&self, refused: &Secret) -> Option<Secret> {
        match (&self.0, refused) {
            (Kind::Headers(secret), Secret::Headers(refused)) => {
                secret.newer(refused).await.map(Secret::Headers)
            }
            (Kind::Signature { secret, .. }, Secret::Keys(refused)) => {
                secret.newer(refused).await.map(Secret::Keys)
            }
            (Kind::None | Kind::SigV4 { .. } | Kind::Headers(_) | Kind::Signature { .. }, _) => {
                None
            }
        }
    }

    /// Returns the request with its authentication.
    pub(super) async fn authenticate(
        &self,
        mut request: OutgoingRequest,
        delivery: &Delivery<'_>,
        secret: &Secret,
    ) -> Result<OutgoingRequest, DeliveryError> {
        match (&self.0, secret) {
            (_, Secret::Headers(read)) => request.headers.extend(read.value.as_ref().clone()),
            (Kind::Signature { clock, .. }, Secret::Keys(read)) => {
                sign(&mut request, delivery, &read.value, clock.now().as_secs())?;
            }
            (Kind::SigV4 { signer, service, region }, _) => {
                signer.sign(&mut request, service, region).await?;
            }
            (Kind::None | Kind::Headers(_) | Kind::Signature { .. }, _) => {}
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
