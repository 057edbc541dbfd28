//! The wiring: the only builder of clients.

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use reqwest::redirect;

use crate::clock::{Clock, SystemClock, SystemRandom};
use crate::config::{GenesysSettings, RetryStateSetting, Settings};
use crate::genesys::{GenesysClient, TokenSource};
use crate::ledger::dynamodb::DynamoDbLedger;
use crate::replay::{Policy, Replay, RetryState};
use crate::target::http::HttpTarget;

/// The replay function with its real adapters.
pub type ReplayFunction = Replay<DynamoDbLedger, GenesysClient, HttpTarget>;

/// A connection that is not made by then will not be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Genesys Cloud answers in well under a second; a target may think for a while. One hung call
/// must leave time for the rest of the record within a 30 s invocation.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// `DynamoDB` answers in milliseconds: a try that takes this long is lost.
const LEDGER_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// All tries of one write together.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(6);

/// The tries of one write. The SDK's retry is the only one on this hop: every write can be
/// repeated, and no other layer repeats it.
const LEDGER_ATTEMPTS: u32 = 3;

/// Why the clients could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built")]
pub struct BuildError(#[from] reqwest::Error);

/// Region, credentials and endpoint of AWS, as the SDK finds them.
pub async fn aws() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).load().await
}

/// Builds every client once, before the first batch.
///
/// # Errors
/// No TLS roots were found, which no retry repairs: the function must not start.
pub fn build(settings: Settings, aws: &SdkConfig) -> Result<ReplayFunction, BuildError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let http = reqwest::Client::builder()
        // A redirect of a delivery could lead anywhere, and one of the API is a wrong host.
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(HTTP_TIMEOUT)
        .build()?;
    let genesys = |settings: GenesysSettings| {
        let GenesysSettings {
            form,
            api_base,
            login_base,
            credentials,
        } = settings;
        let tokens = TokenSource::new(http.clone(), &login_base, credentials, Arc::clone(&clock));
        GenesysClient::new(http.clone(), api_base, form, tokens, Arc::clone(&clock))
    };
    let retry_state = match settings.retry_state {
        RetryStateSetting::Required(it) => RetryState::Required(genesys(it)),
        RetryStateSetting::BestEffort(it) => RetryState::BestEffort(genesys(it)),
        RetryStateSetting::Off => RetryState::Off,
    };
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(
        aws_sdk_dynamodb::config::Builder::from(aws)
            .retry_config(RetryConfig::standard().with_max_attempts(LEDGER_ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(LEDGER_ATTEMPT_TIMEOUT)
                    .operation_timeout(LEDGER_TIMEOUT)
                    .build(),
            )
            .build(),
    );
    Ok(Replay {
        ledger: DynamoDbLedger::new(dynamodb, settings.table, settings.remember),
        retry_state,
        target: HttpTarget::new(http.clone(), Arc::clone(&clock)),
        destination: settings.target,
        policy: Policy::new(settings.limits),
        max_concurrency: settings.max_concurrency,
        clock,
        random: Arc::new(SystemRandom),
    })
}
