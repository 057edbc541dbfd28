//! The source of the OAuth client's credentials.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use genesys_replay::genesys::{Credentials, CredentialsError};
use genesys_replay::secret::{SecretError, SecretText};

/// The source of the credentials.
pub enum CredentialSource {
    /// The settings, which change only with a deployment.
    Settings(Credentials),
    /// A secret, which may change at any time.
    Secret(Box<dyn ReadSecret>),
}

/// An object-safe [`SecretText`].
pub trait ReadSecret: Send + Sync {
    /// Reads the secret's current text.
    fn read(&self) -> BoxFuture<'_, Result<String, SecretError>>;
}

impl<S: SecretText> ReadSecret for S {
    fn read(&self) -> BoxFuture<'_, Result<String, SecretError>> {
        SecretText::read(self).boxed()
    }
}

impl CredentialSource {
    /// Reads the credentials.
    ///
    /// # Errors
    /// The secret cannot be read or is malformed.
    pub(super) async fn read(&self) -> Result<Credentials, CredentialsError> {
        match self {
            Self::Settings(credentials) => Ok(credentials.clone()),
            Self::Secret(secret) => Credentials::from_secret(&secret.read().await?),
        }
    }

    /// Returns the credentials that replaced refused ones; `None` if the source still has the refused ones.
    ///
    /// # Errors
    /// The secret cannot be read or is malformed.
    pub(super) async fn rotated(
        &self,
        refused: &Credentials,
    ) -> Result<Option<Credentials>, CredentialsError> {
        match self {
            Self::Settings(_) => Ok(None),
            Self::Secret(_) => {
                let now = self.read().await?;
                Ok((!now.is_same_as(refused)).then_some(now))
            }
        }
    }
}
