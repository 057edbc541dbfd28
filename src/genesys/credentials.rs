//! The credentials of the OAuth client.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::secret::SecretError;

use crate::text::without_bom;

/// The id and the secret of the OAuth client.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The OAuth client's id.
    pub client_id: String,
    /// The OAuth client's secret.
    pub client_secret: SecretString,
}

/// The reasons for missing credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The text of the secret has another form.
    #[error(r#"its text is not {{"client_id":"…","client_secret":"…"}}"#)]
    Malformed,
}

#[derive(Deserialize)]
struct SecretMembers {
    client_id: String,
    client_secret: String,
}

impl Credentials {
    /// Parses the text of a secret: `{"client_id":"…","client_secret":"…"}`.
    ///
    /// # Errors
    /// [`CredentialsError::Malformed`] if the text has another form, or if one of the two is empty.
    pub fn from_secret(text: &str) -> Result<Self, CredentialsError> {
        let SecretMembers { client_id, client_secret } =
            serde_json::from_str(without_bom(text)).map_err(|_| CredentialsError::Malformed)?;
        if client_id.is_empty() || client_secret.is_empty() {
            return Err(CredentialsError::Malformed);
        }
        Ok(Self { client_id, client_secret: client_secret.into() })
    }

    /// Returns true if id and secret are equal.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.client_id == other.client_id
            && self.client_secret.expose_secret() == other.client_secret.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_from_a_secret_with_more_members() -> Result<(), CredentialsError> {
        let text = r#"{"client_id":"id","client_secret":"hush","region":"eu"}"#;
        let credentials = Credentials::from_secret(text)?;
        assert_eq!(credentials.client_id, "id");
        assert_eq!(credentials.client_secret.expose_secret(), "hush");
        assert!(!format!("{credentials:?}").contains("hush"));
        Ok(())
    }

    #[test]
    fn malformed_secret_is_refused_without_a_quote() {
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
        assert!(!CredentialsError::Malformed.to_string().contains("hush-hush"));
    }
}
