//! The contract of [`SecretText`].

use std::future::Future;

use genesys_replay::secret::{SecretError, SecretText};

use super::{Result, holds, same, suite};

/// A secret under test behind one port.
pub trait SecretSuite {
    /// The implementation.
    type Secret: SecretText;

    /// The port.
    fn secret(&self) -> &Self::Secret;

    /// Sets the text of the secret.
    fn put(&self, text: &str) -> impl Future<Output = Result<()>>;

    /// Stores a binary secret.
    fn put_binary(&self) -> impl Future<Output = Result<()>>;

    /// Deletes the secret.
    fn remove(&self) -> impl Future<Output = Result<()>>;
}

/// Checks that a secret keeps the contract. The secret does not exist afterwards.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(suite: &impl SecretSuite) -> Result<()> {
    suite!(suite;
        secret_is_read_in_its_current_version,
        binary_secret_is_refused,
        missing_secret_is_refused_by_its_error_code,
    )
}

async fn secret_is_read_in_its_current_version(suite: &impl SecretSuite, name: &str) -> Result<()> {
    for text in [name, " é\n", "{\"a\":1}"] {
        suite.put(text).await?;
        same("text", &suite.secret().read().await?, &text.to_owned())?;
    }
    Ok(())
}

async fn binary_secret_is_refused(suite: &impl SecretSuite, _: &str) -> Result<()> {
    suite.put_binary().await?;
    same("refusal", &suite.secret().read().await, &Err(SecretError::Binary))
}

async fn missing_secret_is_refused_by_its_error_code(
    suite: &impl SecretSuite,
    _: &str,
) -> Result<()> {
    suite.remove().await?;
    let refused = suite.secret().read().await;
    holds(
        "Secrets Manager's own word for it is kept",
        matches!(&refused, Err(SecretError::Refused(code)) if code.contains("NotFound") || code.contains("InvalidRequest")),
    )
}
