//! Clients of AWS: where it is found, and how often and how long a call is tried.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

use crate::secrets_manager::SecretsManagerSecret;

/// A connection that is not made by then will not be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How a client of AWS tries.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// A try that takes this long is lost.
    pub attempt_timeout: Duration,
    /// All tries of one call together.
    pub operation_timeout: Duration,
    /// How many there are.
    pub max_attempts: u32,
}

/// One delivery is one try: the attempts are counted, and policy makes them.
#[must_use]
pub const fn single_attempt(within: Duration) -> CallLimits {
    CallLimits {
        attempt_timeout: within,
        operation_timeout: within,
        max_attempts: 1,
    }
}

/// Region, credentials and endpoint of AWS, as the SDK finds them.
pub async fn load() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        // It watches over long bodies; here every try has a time of its own, and watching costs each of them.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await
}

/// Sets the attempts and time limits of one client. Time limits that `aws` has already are kept: AWS's
/// defaults have none for an operation, and only a caller can have set them.
#[must_use]
pub fn with_limits(aws: &SdkConfig, limits: CallLimits) -> SdkConfig {
    let given = aws.timeout_config();
    let each = given.and_then(TimeoutConfig::operation_attempt_timeout);
    let all = given.and_then(TimeoutConfig::operation_timeout);
    aws.to_builder()
        .retry_config(RetryConfig::standard().with_max_attempts(limits.max_attempts))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(each.unwrap_or(limits.attempt_timeout))
                .operation_timeout(all.unwrap_or(limits.operation_timeout))
                .build(),
        )
        .build()
}

/// Returns the secret with this name or ARN.
#[must_use]
pub fn secret(id: String, aws: &SdkConfig, limits: CallLimits) -> SecretsManagerSecret {
    let client = aws_sdk_secretsmanager::Client::new(&with_limits(aws, limits));
    SecretsManagerSecret::new(client, id)
}
