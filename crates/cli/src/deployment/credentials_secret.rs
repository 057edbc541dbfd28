//! The secret with the OAuth client's credentials, in AWS Secrets Manager.

use aws_sdk_secretsmanager::Client;
use genesys_replay::aws::{AwsError, AwsErrorKind};

use crate::calls::answered;

/// A secret and its current value.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue {
    pub arn: String,
    /// `None` if the value is binary.
    pub value: Option<String>,
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretValue").field("arn", &self.arn).finish_non_exhaustive()
    }
}

/// Reads and writes secrets.
#[derive(Clone, Debug)]
pub struct SecretStore {
    pub(crate) secrets: Client,
}

impl SecretStore {
    /// Reads the secret with this name or ARN; `None` if it does not exist.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn read(&self, id: &str) -> Result<Option<SecretValue>, AwsError> {
        let operation = format!("reading the secret {id} (secretsmanager:GetSecretValue)");
        let call = self.secrets.get_secret_value().secret_id(id);
        match answered(&operation, call.send()).await {
            Ok(found) => {
                let arn = found.arn.ok_or_else(|| AwsError::incomplete(operation, "ARN"))?;
                Ok(Some(SecretValue { arn, value: found.secret_string }))
            }
            Err(error) if error.kind == AwsErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a secret. Returns its ARN.
    ///
    /// # Errors
    /// [`AwsError`], also if a secret with this name exists.
    pub async fn create(&self, name: &str, value: &str) -> Result<String, AwsError> {
        let operation = format!("creating the secret {name} (secretsmanager:CreateSecret)");
        let call = self.secrets.create_secret().name(name).secret_string(value);
        let call = call.description("OAuth client of Genesys Cloud for genesys-replay");
        let created = answered(&operation, call.send()).await?;
        created.arn.ok_or_else(|| AwsError::incomplete(operation, "ARN"))
    }

    /// Stores a new version of a secret's value.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn replace(&self, arn: &str, value: &str) -> Result<(), AwsError> {
        let operation = format!("changing the secret {arn} (secretsmanager:PutSecretValue)");
        let call = self.secrets.put_secret_value().secret_id(arn).secret_string(value);
        answered(&operation, call.send()).await.map(drop)
    }
}
