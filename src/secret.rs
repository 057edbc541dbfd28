//! Secrets that are kept elsewhere and may change at any time.

use std::future::Future;

/// Why a secret is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager was not reached, or not in time.
    #[error("Secrets Manager cannot be reached")]
    Unreachable,
    /// Secrets Manager answered with an error.
    #[error("Secrets Manager answered {0}")]
    Refused(String),
    /// The secret is no text.
    #[error("it is binary, not text")]
    Binary,
}

impl SecretError {
    /// Whether it says nothing of the secret: Secrets Manager itself is in trouble.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        /// Words in the codes of such answers.
        const TROUBLE: [&str; 4] = [
            "InternalService",
            "Throttl",
            "TooManyRequests",
            "Unavailable",
        ];
        match self {
            Self::Unreachable => true,
            Self::Refused(code) => TROUBLE.iter().any(|word| code.contains(word)),
            Self::Binary => false,
        }
    }
}

/// Where a secret is kept.
pub trait SecretText: Send + Sync {
    /// Reads the secret's current text, anew each time.
    ///
    /// # Errors
    /// [`SecretError`]; nothing in it quotes the secret.
    fn read(&self) -> impl Future<Output = Result<String, SecretError>> + Send;
}
