//! Who we are to Genesys Cloud, and where that is kept.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::secrets_manager::SecretsManagerSecret;

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

/// Why a secret is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager was not reached, or not in time.
    #[error("Secrets Manager cannot be reached")]
    Unreachable,
    /// Secrets Manager answered with an error.
    #[error("Secrets Manager answered {0}")]
    Refused(String),
    /// The secret is not what it should be.
    #[error(r#"its text is not {{"client_id":"…","client_secret":"…"}}"#)]
    Malformed,
}

#[derive(Deserialize)]
struct SecretText {
    client_id: String,
    client_secret: String,
}

impl Credentials {
    /// From the text of a secret: `{"client_id":"…","client_secret":"…"}`.
    ///
    /// # Errors
    /// [`SecretError::Malformed`] when it is something else, or one of the two is empty.
    pub fn from_secret(text: &str) -> Result<Self, SecretError> {
        let SecretText {
            client_id,
            client_secret,
        } = serde_json::from_str(text).map_err(|_| SecretError::Malformed)?;
        if client_id.is_empty() || client_secret.is_empty() {
            return Err(SecretError::Malformed);
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
    pub(super) async fn read(&self) -> Result<Credentials, SecretError> {
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
    ) -> Result<Option<Credentials>, SecretError> {
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
    fn a_secret_holds_id_and_secret_and_may_hold_more() -> Result<(), SecretError> {
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
            assert_eq!(refused, Err(SecretError::Malformed), "{text}");
        }
        assert!(!SecretError::Malformed.to_string().contains("hush-hush"));
    }
}
