//! AWS credentials: those that the SDK finds, else those that the AWS CLI exports.
//!
//! Only the AWS CLI reads profiles with SSO or `aws login`. The SDK could read them too, but its features for them were
//! rejected: Cargo gives all programs of the workspace the same features, and the functions would grow by 5 % for
//! providers that they never use.

use std::time::{Duration, SystemTime};

use aws_config::credential_process::CredentialProcessProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The maximum run time of `aws`, which may have to renew a token.
const MAX_EXPORT_TIME: Duration = Duration::from_secs(30);

/// The time before expiry at which exported credentials are renewed.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

/// The SDK's credentials, else those that `aws configure export-credentials` prints.
#[derive(Debug)]
pub(crate) struct SdkOrAwsCommand {
    sdk: SharedCredentialsProvider,
    aws_command: CredentialProcessProvider,
    /// The credentials that were exported last.
    exported: Mutex<Option<Credentials>>,
}

impl ProvideCredentials for SdkOrAwsCommand {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl SdkOrAwsCommand {
    /// Returns a provider that has already loaded credentials once, because a client would stop `aws` at the time limit
    /// of its first call. Ignores errors, because that call reports them.
    pub(crate) async fn prepared(sdk: SharedCredentialsProvider, profile: Option<&str>) -> Self {
        let profile = profile.map(|name| format!(" --profile '{}'", name.replace('\'', r"'\''")));
        let profile = profile.unwrap_or_default();
        // Without an input, because `aws` may ask for one.
        let command =
            format!("exec aws configure export-credentials --format process{profile} </dev/null");
        let provider = Self {
            sdk,
            aws_command: CredentialProcessProvider::new(command),
            exported: Mutex::default(),
        };
        let _ = provider.credentials().await;
        provider
    }

    /// Returns the SDK's error if both sources fail, because the SDK's error names the cause.
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        // Concurrent calls wait for one run of `aws`.
        let mut exported = self.exported.lock().await;
        if let Some(credentials) = exported.as_ref().filter(|it| is_fresh(it)) {
            return Ok(credentials.clone());
        }
        let error = match self.sdk.provide_credentials().await {
            Ok(credentials) => return Ok(credentials),
            Err(error) => error,
        };
        let export = timeout(MAX_EXPORT_TIME, self.aws_command.provide_credentials());
        *exported = export.await.ok().and_then(Result::ok);
        exported.clone().ok_or(error)
    }
}

fn is_fresh(credentials: &Credentials) -> bool {
    let expiry = credentials.expiry();
    expiry.is_none_or(|end| end > SystemTime::now() + EXPIRY_MARGIN)
}
