//! AWS clients, with their attempts and time limits per call.

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_smithy_http_client::ConnectorBuilder;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use genesys_replay::connections::{ConnectionPool, FreezeDetector};
use genesys_replay::trace::{self, TRACE_HEADER};
use genesys_replay_version::AWS_APP_NAME;

use crate::secrets_manager::SecretsManagerSecret;

/// The maximum time for a connection. A slower connection will not succeed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The attempts and time limits of an AWS client.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// The time limit of one attempt.
    pub attempt_timeout: Duration,
    /// The time limit of all attempts of one call.
    pub operation_timeout: Duration,
    /// The maximum number of attempts of one call.
    pub max_attempts: u32,
}

/// Returns the limits of a delivery: one attempt, because the replay policy counts and makes all attempts.
#[must_use]
pub const fn single_attempt(within: Duration) -> CallLimits {
    CallLimits { attempt_timeout: within, operation_timeout: within, max_attempts: 1 }
}

/// The maximum number of entries in a map whose keys come from dead letters, which anyone with write access to the
/// queue can choose.
pub const MAX_CACHE_ENTRIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// Loads region, credentials and endpoint of AWS from the SDK's default sources. Clients must share the connections of
/// [`with_pool`].
pub async fn load() -> SdkConfig {
    let loaded = aws_config::defaults(BehaviorVersion::latest())
        // The protection watches long bodies at a cost per attempt. Here every attempt has its own time
        // limit.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await;
    with_app_name(loaded)
}

/// Adds name and version of this program to the `User-Agent` of AWS calls, which `CloudTrail` records. A name from the
/// environment (`AWS_SDK_UA_APP_ID`) or the profile takes precedence.
#[must_use]
pub fn with_app_name(aws: SdkConfig) -> SdkConfig {
    match AppName::new(AWS_APP_NAME) {
        Ok(name) if aws.app_name().is_none() => aws.into_builder().app_name(name).build(),
        Ok(_) | Err(_) => aws,
    }
}

/// Returns the configuration with one pool of connections. All AWS clients share it, because otherwise each client of a
/// service and region would have a pool and TLS roots of its own.
#[must_use]
pub fn with_pool(aws: &SdkConfig, detector: &Arc<FreezeDetector>) -> SdkConfig {
    aws.to_builder().http_client(http_client(Arc::clone(detector))).build()
}

/// Returns the SDK's usual HTTP client with one pool of connections.
#[must_use]
pub fn http_client(detector: Arc<FreezeDetector>) -> SharedHttpClient {
    let shared: OnceLock<SharedHttpConnector> = OnceLock::new();
    http_client_fn(move |settings, components| {
        let (settings, sleep) = (settings.clone(), components.sleep_impl());
        // The library reads the TLS roots once per process, so another connector is cheap.
        let build = move || {
            let mut builder = ConnectorBuilder::default()
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .connector_settings(settings.clone())
                .proxy_config(ProxyConfig::from_env());
            builder.set_sleep_impl(sleep.clone());
            SharedHttpConnector::new(builder.build())
        };
        let pooled = || {
            let (first, detector) = (build(), Arc::clone(&detector));
            let pool = ConnectionPool::new(first, detector, move || Some(build()));
            SharedHttpConnector::new(PooledConnector(pool))
        };
        shared.get_or_init(pooled).clone()
    })
}

/// The SDK's connector with connections that are younger than the last possible freeze.
#[derive(Debug)]
struct PooledConnector(ConnectionPool<SharedHttpConnector>);

impl HttpConnector for PooledConnector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        // In Lambda, the SDK itself adds the header. It is not part of the signature.
        if let Some(trace) = trace::current()
            && !request.headers().contains_key(TRACE_HEADER)
        {
            let _ = request.headers_mut().try_insert(TRACE_HEADER, trace.header().to_owned());
        }
        let pooled = self.0.acquire();
        let answer = pooled.client().call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            drop(pooled);
            answer
        })
    }
}

/// Sets the attempts and time limits of one client. Time limits that `aws` already has are kept: only a
/// caller can have set them, because AWS's defaults contain none for an operation.
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
