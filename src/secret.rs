//! Secrets in an external store, which may change at any time.

use std::future::Future;

/// The reasons why a secret cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager was not reached, or not in time.
    #[error("Secrets Manager cannot be reached")]
    Unreachable,
    /// Secrets Manager answered with an error.
    #[error("Secrets Manager answered {0}")]
    Refused(String),
    /// The secret is binary, not text.
    #[error("it is binary, not text")]
    Binary,
}

impl SecretError {
    /// Returns true if the cause is an outage of Secrets Manager and not the secret.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        /// Words in the error codes of an outage.
        const TROUBLE: [&str; 4] = ["InternalService", "Throttl", "TooManyRequests", "Unavailable"];
        match self {
            Self::Unreachable => true,
            Self::Refused(code) => TROUBLE.iter().any(|word| code.contains(word)),
            Self::Binary => false,
        }
    }
}

/// The place of a secret.
pub trait SecretText: Send + Sync {
    /// Reads the current text of the secret. Every call reads it again.
    ///
    /// # Errors
    /// [`SecretError`]. The error never quotes the secret.
    fn read(&self) -> impl Future<Output = Result<String, SecretError>> + Send;
}
