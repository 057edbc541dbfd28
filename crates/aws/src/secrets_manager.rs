//! A secret in AWS Secrets Manager.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use genesys_replay::secret::{SecretError, SecretText};

/// One secret. Every read calls Secrets Manager.
pub struct SecretsManagerSecret {
    client: Client,
    id: String,
}

impl SecretsManagerSecret {
    /// Creates the secret with this name or ARN.
    #[must_use]
    pub const fn new(client: Client, id: String) -> Self {
        Self { client, id }
    }
}

impl SecretText for SecretsManagerSecret {
    async fn read(&self) -> Result<String, SecretError> {
        let answer =
            self.client.get_secret_value().secret_id(&self.id).send().await.map_err(|error| {
                match &error {
                    SdkError::ServiceError(refusal) => {
                        let code = refusal.err().code();
                        SecretError::Refused(code.unwrap_or("with an error").to_owned())
                    }
                    SdkError::ConstructionFailure(_)
                    | SdkError::TimeoutError(_)
                    | SdkError::DispatchFailure(_)
                    | SdkError::ResponseError(_)
                    | _ => SecretError::Unreachable,
                }
            })?;
        answer.secret_string.ok_or(SecretError::Binary)
    }
}
