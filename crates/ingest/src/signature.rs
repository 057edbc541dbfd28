//! Signatures of the Standard Webhooks scheme: `webhook-id`, `webhook-timestamp`,
//! `webhook-signature: v1,<base64 of HMAC-SHA256 over "id.timestamp.body">`.

use std::fmt;

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay::clock::Timestamp;
pub use genesys_replay::webhook_secret::KeyRingFault;
use genesys_replay::webhook_secret::{self, PREFIX, WebhookSecret};
use hmac_sha256::HMAC;
use secrecy::{ExposeSecret, SecretSlice};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError,
};

/// The maximum difference between a signature's time and ours, in either direction, in seconds. Source: Standard
/// Webhooks.
const WINDOW_SECONDS: u64 = 300;

/// The minimum length of a secret that Standard Webhooks recommends, in bytes.
const RECOMMENDED_KEY_BYTES: usize = 24;

/// The prefix of a symmetric signature, the only supported kind.
const VERSION: &str = "v1,";

/// The reason for a failed authentication. Does not reveal the expected value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// A header is missing or not text.
    #[error("the header {0} is missing or unreadable")]
    Header(&'static str),
    /// The id has a dot. The signed text is `id.timestamp.body`, so one signature would fit two requests.
    #[error("the header webhook-id has a dot")]
    IdWithDot,
    /// The timestamp is not a number of seconds.
    #[error("the header webhook-timestamp is not a Unix time in seconds")]
    Timestamp,
    /// The timestamp is too far from our time.
    #[error("the header webhook-timestamp is more than five minutes from now")]
    Window,
    /// The signature belongs to another body or another secret.
    #[error("no signature matches the body")]
    Mismatch,
    /// The sender signed with the text of a secret, instead of the bytes that the text encodes.
    #[error(
        "the signature is made with the text of the secret: the key is the base64-decoded part after whsec_"
    )]
    TextAsKey,
    /// AWS IAM did not authorize the request. Signatures are not used in this mode.
    #[error("the request was not authorized by AWS IAM")]
    NotAuthorized,
}

/// The secrets that are valid now.
pub struct KeyRing {
    keys: Vec<Key>,
    short: bool,
}

struct Key {
    webhook: Webhook,
    bytes: SecretSlice<u8>,
    /// The text of the secret, with and without its prefix, which some senders use as the key by mistake.
    texts: [SecretSlice<u8>; 2],
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.keys.len())
    }
}

impl KeyRing {
    /// Reads one or two secrets, separated by white space or commas.
    ///
    /// # Errors
    /// [`KeyRingFault`] if the text does not hold one or two valid secrets.
    pub fn parse(text: &str) -> Result<Self, KeyRingFault> {
        let mut ring = Self { keys: Vec::new(), short: false };
        for (index, secret) in webhook_secret::parse(text)?.into_iter().enumerate() {
            let WebhookSecret { encoded, key } = secret;
            let bytes = key.expose_secret();
            ring.short |= bytes.len() < RECOMMENDED_KEY_BYTES;
            ring.keys.push(Key {
                webhook: Webhook::from_bytes(bytes.to_vec())
                    .map_err(|_| KeyRingFault::NotBase64(index + 1))?,
                bytes: key,
                texts: [encoded.to_owned(), format!("{PREFIX}{encoded}")]
                    .map(|text| text.into_bytes().into()),
            });
        }
        Ok(ring)
    }

    /// Returns true if a secret is shorter than Standard Webhooks recommends, and so easier to guess.
    #[must_use]
    pub const fn has_short(&self) -> bool {
        self.short
    }

    /// Verifies that one of the secrets has signed a request.
    ///
    /// # Errors
    /// The fault that the last secret reported.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), AuthenticationError> {
        let mut fault = AuthenticationError::Mismatch;
        for key in &self.keys {
            match key.webhook.verify(body, headers) {
                Ok(()) => return Ok(()),
                Err(WebhookError::InvalidPayload) if key.has_signed(headers, body) => return Ok(()),
                Err(error) => fault = meaning(&error),
            }
        }
        if fault == AuthenticationError::Mismatch
            && self.keys.iter().any(|key| key.text_has_signed(headers, body))
        {
            fault = AuthenticationError::TextAsKey;
        }
        Err(fault)
    }
}

impl Key {
    /// Returns true if this key has signed a body that is not text. The scheme signs bytes, but its Rust crate
    /// accepts only text, and a webhook that is not text must still be archived.
    fn has_signed(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        is_signed(self.bytes.expose_secret(), headers, body)
    }

    /// Returns true if the text of this key was used as the key.
    fn text_has_signed(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        self.texts.iter().any(|text| is_signed(text.expose_secret(), headers, body))
    }
}

/// Returns true if one of the signatures was made with this key.
fn is_signed(key: &[u8], headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name| headers.get(name)?.to_str().ok();
    let (Some(id), Some(at)) = (text(HEADER_WEBHOOK_ID), text(HEADER_WEBHOOK_TIMESTAMP)) else {
        return false;
    };
    let signed = [format!("{id}.{at}.").as_bytes(), body].concat();
    text(HEADER_WEBHOOK_SIGNATURE)
        .unwrap_or_default()
        .split(' ')
        .filter_map(|signature| signature.strip_prefix(VERSION))
        .filter_map(|signature| STANDARD.decode(signature).ok()?.try_into().ok())
        .any(|mac: [u8; 32]| HMAC::verify(&signed, key, &mac))
}

/// Checks the headers of a request before its body is read.
///
/// # Errors
/// A header is missing or malformed, or its time is too far from `now`.
pub fn check_headers(headers: &HeaderMap, now: Timestamp) -> Result<(), AuthenticationError> {
    let text = |name: &'static str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .filter(|value| !value.is_empty())
            .ok_or(AuthenticationError::Header(name))
    };
    if text(HEADER_WEBHOOK_ID)?.contains('.') {
        return Err(AuthenticationError::IdWithDot);
    }
    text(HEADER_WEBHOOK_SIGNATURE)?;
    let signed_at: u64 =
        text(HEADER_WEBHOOK_TIMESTAMP)?.parse().map_err(|_| AuthenticationError::Timestamp)?;
    if signed_at.abs_diff(now.as_secs()) > WINDOW_SECONDS {
        return Err(AuthenticationError::Window);
    }
    Ok(())
}

fn meaning(error: &WebhookError) -> AuthenticationError {
    match error {
        WebhookError::InvalidTimestamp => AuthenticationError::Timestamp,
        WebhookError::TimestampTooOldError | WebhookError::FutureTimestampError => {
            AuthenticationError::Window
        }
        WebhookError::InvalidHeader(_) | WebhookError::MissingHeader(_) => {
            AuthenticationError::Header(HEADER_WEBHOOK_SIGNATURE)
        }
        WebhookError::InvalidPayload
        | WebhookError::InvalidSignature
        | WebhookError::InvalidSecret(_) => AuthenticationError::Mismatch,
    }
}
