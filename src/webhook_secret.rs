//! The secrets of Standard Webhooks: `whsec_` followed by base64.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use secrecy::SecretSlice;

use crate::text::without_bom;

/// The optional prefix of a secret.
pub const PREFIX: &str = "whsec_";

/// The maximum number of secrets that are valid at once: the old one and the new one.
const MAX_KEYS: usize = 2;

/// The minimum length of a secret that is accepted, in bytes, because a shorter secret can be guessed.
const MIN_KEY_BYTES: usize = 16;

/// Secrets are read with and without padding, because some programs remove it.
const SECRET_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The fault of a text that does not hold secrets; does not quote the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingFault {
    /// The text holds this number of secrets instead of one or two.
    #[error("the text has {0} secrets instead of one or two")]
    Count(usize),
    /// The secret with this number is not valid.
    #[error("secret {0} is not whsec_ followed by the base64 of at least 16 bytes")]
    NotBase64(usize),
}

/// One secret.
pub struct WebhookSecret<'t> {
    /// The base64 text without its prefix.
    pub encoded: &'t str,
    /// The key for signatures.
    pub key: SecretSlice<u8>,
}

/// Reads one or two secrets, separated by white space or commas.
///
/// # Errors
/// [`KeyRingFault`] if the text does not hold one or two valid secrets.
pub fn parse(text: &str) -> Result<Vec<WebhookSecret<'_>>, KeyRingFault> {
    let secrets: Vec<&str> = without_bom(text)
        .split(|letter: char| letter.is_whitespace() || letter == ',')
        .filter(|secret| !secret.is_empty())
        .collect();
    if !(1..=MAX_KEYS).contains(&secrets.len()) {
        return Err(KeyRingFault::Count(secrets.len()));
    }
    let mut parsed = Vec::new();
    for (index, secret) in secrets.into_iter().enumerate() {
        let encoded = secret.strip_prefix(PREFIX).unwrap_or(secret);
        let key = SECRET_BASE64.decode(encoded).ok().filter(|key| key.len() >= MIN_KEY_BYTES);
        let key = key.ok_or(KeyRingFault::NotBase64(index + 1))?.into();
        parsed.push(WebhookSecret { encoded, key });
    }
    Ok(parsed)
}
