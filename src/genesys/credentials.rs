//! Who we are to Genesys Cloud, and where that is kept.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::secret::secrets_manager::SecretsManagerSecret;
use crate::secret::{SecretError, SecretText};

/// The OAuth client.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The OAuth client's id.
    pub client_id: String,
    /// The OAuth client's secret.
    pub client_secret: SecretString,
}

/// Where the credentials come from.
pub enum CredentialSource {
    /// From the settings; they change with a deployment.
    Settings(Credentials),
    /// From Secrets Manager; they may change at any time.
    Secret(SecretsManagerSecret),
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret is not what it should be.
    #[error(r#"its text is not {{"client_id":"…","client_secret":"…"}}"#)]
    Malformed,
}

#[derive(Deserialize)]
struct SecretMembers {
    client_id: String,
    client_secret: String,
}

impl Credentials {
    /// From the text of a secret: `{"client_id":"…","client_secret":"…"}`.
    ///
    /// # Errors
    /// [`CredentialsError::Malformed`] when it is something else, or one of the two is empty.
    pub fn from_secret(text: &str) -> Result<Self, CredentialsError> {
        let SecretMembers {
            client_id,
            client_secret,
        } = serde_json::from_str(text).map_err(|_| CredentialsError::Malformed)?;
        if client_id.is_empty() || client_secret.is_empty() {
            return Err(CredentialsError::Malformed);
        }
        Ok(Self {
            client_id,
            client_secret: client_secret.into(),
        })
    }

    fn same_as(&self, other: &Self) -> bool {
        self.client_id == other.client_id
            && self.client_secret.expose_secret() == other.client_secret.expose_secret()
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

    /// What took the place of credentials that were refused; `None` when nothing did.
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
                Ok((!now.same_as(refused)).then_some(now))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_holds_id_and_secret_and_may_hold_more() -> Result<(), CredentialsError> {
        let text = r#"{"client_id":"id","client_secret":"hush","region":"eu"}"#;
        let credentials = Credentials::from_secret(text)?;
        assert_eq!(credentials.client_id, "id");
        assert_eq!(credentials.client_secret.expose_secret(), "hush");
        assert!(!format!("{credentials:?}").contains("hush"));
        Ok(())
    }

    #[test]
    fn what_is_no_such_secret_is_refused_without_being_quoted() {
        for text in [
            "",
            "hush-hush",
            "[]",
            r#"{"client_id":"id"}"#,
            r#"{"client_id":"id","client_secret":7}"#,
            r#"{"client_id":"","client_secret":"hush-hush"}"#,
            r#"{"client_id":"id","client_secret":""}"#,
        ] {
            let refused = Credentials::from_secret(text).map(|it| it.client_id);
            assert_eq!(refused, Err(CredentialsError::Malformed), "{text}");
        }
        assert!(
            !CredentialsError::Malformed
                .to_string()
                .contains("hush-hush")
        );
    }
}
