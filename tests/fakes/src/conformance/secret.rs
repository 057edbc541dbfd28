//! The contract of [`SecretText`].

use std::future::Future;

use genesys_replay::secret::{SecretError, SecretText};

use super::{Result, holds, same, suite};

/// A secret that is read through one port.
pub trait World {
    /// The implementation.
    type Secret: SecretText;

    /// The port.
    fn secret(&self) -> &Self::Secret;

    /// Changes the secret's text.
    fn put(&self, text: &str) -> impl Future<Output = Result<()>>;

    /// Makes it a secret that is no text.
    fn put_binary(&self) -> impl Future<Output = Result<()>>;

    /// Takes the secret away.
    fn remove(&self) -> impl Future<Output = Result<()>>;
}

/// Whether it keeps the contract. The secret is gone afterwards.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(world: &impl World) -> Result<()> {
    suite!(world;
        secret_is_read_in_its_current_version,
        binary_secret_is_refused,
        missing_secret_is_refused_by_its_error_code,
    )
}

async fn secret_is_read_in_its_current_version(world: &impl World, name: &str) -> Result<()> {
    for text in [name, " é\n", "{\"a\":1}"] {
        world.put(text).await?;
        same("text", &world.secret().read().await?, &text.to_owned())?;
    }
    Ok(())
}

async fn binary_secret_is_refused(world: &impl World, _: &str) -> Result<()> {
    world.put_binary().await?;
    same(
        "refusal",
        &world.secret().read().await,
        &Err(SecretError::Binary),
    )
}

async fn missing_secret_is_refused_by_its_error_code(world: &impl World, _: &str) -> Result<()> {
    world.remove().await?;
    let refused = world.secret().read().await;
    holds(
        "Secrets Manager's own word for it is kept",
        matches!(&refused, Err(SecretError::Refused(code)) if code.contains("NotFound") || code.contains("InvalidRequest")),
    )
}
