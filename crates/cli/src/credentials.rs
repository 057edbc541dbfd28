//! AWS credentials: those that the SDK finds, else those that the AWS CLI exports.
//!
//! Only the AWS CLI reads profiles with SSO or `aws login`. The SDK could read them too, but its features for them were
//! rejected: Cargo gives all programs of the workspace the same features, and the functions would grow by 5 % for
//! providers that they never use.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use genesys_replay::clock::Timestamp;
use serde::Deserialize;
use tokio::process::Command;
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
    profile: Option<String>,
    /// The credentials that were exported last.
    exported: Mutex<Option<Credentials>>,
}

/// The output of a credential process.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ExportedCredentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
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
        let provider = Self {
            sdk,
            profile: profile.map(str::to_owned),
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
        *exported = export(self.profile.as_deref()).await;
        exported.clone().ok_or(error)
    }
}

fn is_fresh(credentials: &Credentials) -> bool {
    let expiry = credentials.expiry();
    expiry.is_none_or(|end| end > SystemTime::now() + EXPIRY_MARGIN)
}

/// Returns `None` if `aws` is not installed, fails, or has no usable credentials.
async fn export(profile: Option<&str>) -> Option<Credentials> {
    let mut command = Command::new("aws");
    command
        .args(["configure", "export-credentials", "--format", "process"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(profile) = profile {
        command.args(["--profile", profile]);
    }
    let output = timeout(MAX_EXPORT_TIME, command.output())
        .await
        .ok()?
        .ok()?;
    if !output.status.success() {
        return None;
    }
    read(&output.stdout)
}

fn read(output: &[u8]) -> Option<Credentials> {
    let exported: ExportedCredentials = serde_json::from_slice(output).ok()?;
    let expiration = exported.expiration.as_deref().map(Timestamp::parse);
    let expiration = match expiration {
        None => None,
        // Reject an unreadable expiry, because the credentials would be used after it.
        Some(None) => return None,
        Some(Some(end)) => Some(UNIX_EPOCH + Duration::from_millis(end.as_millis())),
    };
    Some(Credentials::new(
        exported.access_key_id,
        exported.secret_access_key,
        exported.session_token,
        expiration,
        "AwsCommand",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_a_credential_process_is_read() {
        let text = br#"{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"hush","SessionToken":"t","Expiration":"2026-11-30T03:00:00Z"}"#;
        let found = read(text);
        let end = found.as_ref().and_then(Credentials::expiry);
        assert_eq!(end, Some(UNIX_EPOCH + Duration::from_secs(1_796_007_600)));
        let found = found.map(|it| {
            (
                it.access_key_id().to_owned(),
                it.session_token().map(str::to_owned),
            )
        });
        assert_eq!(found, Some(("AKID".to_owned(), Some("t".to_owned()))));
    }

    #[test]
    fn other_output_is_not_credentials() {
        for text in [
            "",
            "{}",
            r#"{"AccessKeyId":"AKID"}"#,
            r#"{"AccessKeyId":"AKID","SecretAccessKey":"hush","Expiration":"soon"}"#,
        ] {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
