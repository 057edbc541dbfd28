//! The wiring: the only builder of clients.

pub mod ingest;
#[cfg(feature = "cli")]
pub mod operator;
pub mod startup;

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use reqwest::redirect;

use crate::archive::s3::S3Archive;
use crate::clock::{Clock, SystemClock, SystemRandom};
use crate::config::{CredentialSetting, GenesysSettings, RetryStateSetting, Settings};
use crate::destination::address::Reach;
use crate::genesys::{CredentialSource, GenesysClient, TokenSource};
use crate::ledger::dynamodb::DynamoDbLedger;
use crate::meter::Meter;
use crate::queue::sqs::SqsQueue;
use crate::replay::{
    Breakers, KnownLimits, LedgerLatency, Policy, Ports, Replay, RetryState, Stop,
};
use crate::secret::secrets_manager::SecretsManagerSecret;
use crate::target::aws::{AwsTargets, Clients};
use crate::target::http::HttpTarget;
use crate::target::http::resolver::GuardedResolver;
use crate::target::{KnownBuses, QueueUrls, Targets};

/// The replay function with its real adapters.
pub type ReplayFunction = Replay<RealPorts>;

/// The real adapters.
#[derive(Clone, Copy, Debug)]
pub enum RealPorts {}

impl Ports for RealPorts {
    type Ledger = DynamoDbLedger;
    type Genesys = GenesysClient;
    type Target = Targets;
    type Archive = S3Archive;
    type Queue = SqsQueue;
}

/// A connection that is not made by then will not be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Genesys Cloud answers in well under a second. One hung call must leave time for the rest of the record
/// within a 30 s invocation.
const GENESYS_TIMEOUT: Duration = Duration::from_secs(10);

/// How a client of AWS tries.
#[derive(Clone, Copy)]
struct Tries {
    /// A try that takes this long is lost.
    each: Duration,
    /// All tries of one call together.
    all: Duration,
    /// How many there are.
    most: u32,
}

/// `DynamoDB` answers in milliseconds. The SDK's retry is the only one on this hop: every write can
/// be repeated, and no other layer repeats it.
const LEDGER: Tries = Tries {
    each: Duration::from_secs(2),
    all: Duration::from_secs(6),
    most: 3,
};

/// As for the ledger; a body of 1 MiB takes longer.
const ARCHIVE: Tries = Tries {
    each: Duration::from_secs(5),
    all: Duration::from_secs(10),
    most: 3,
};

/// Changing a visibility timeout is worth little time: without it the queue's own applies.
const QUEUE: Tries = Tries {
    each: Duration::from_secs(1),
    all: Duration::from_secs(2),
    most: 2,
};

/// Read once at start-up, and when Genesys Cloud has refused what was read.
const SECRET: Tries = Tries {
    each: Duration::from_secs(2),
    all: Duration::from_secs(5),
    most: 3,
};

/// One delivery is one try: the attempts are counted, and policy makes them.
const fn one_try(within: Duration) -> Tries {
    Tries {
        each: within,
        all: within,
        most: 1,
    }
}

/// Why the clients could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built")]
pub struct BuildError(#[from] reqwest::Error);

/// Region, credentials and endpoint of AWS, as the SDK finds them.
pub async fn aws() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        // It watches over long bodies; here every try has a time of its own, and watching costs each of them.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await
}

/// Builds every client once, before the first batch.
///
/// # Errors
/// No TLS roots were found, which no retry repairs: the function must not start.
pub fn build(settings: Settings, aws: &SdkConfig) -> Result<ReplayFunction, BuildError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let meter = Arc::new(Meter::default());
    let http = http_client(settings.reach, GENESYS_TIMEOUT)?;
    let genesys = |genesys_settings: GenesysSettings| {
        let parts = GenesysParts {
            http: http.clone(),
            patience: settings.limits.max_wait,
            secret: SECRET,
            clock: Arc::clone(&clock),
            meter: Arc::clone(&meter),
        };
        genesys(genesys_settings, parts, aws)
    };
    let retry_state = match settings.retry_state {
        RetryStateSetting::Required(it) => RetryState::Required(genesys(it)),
        RetryStateSetting::BestEffort(it) => RetryState::BestEffort(genesys(it)),
        RetryStateSetting::Off => RetryState::Off,
    };
    let dynamodb = aws_sdk_dynamodb::Client::new(&with_tries(aws, LEDGER));
    let archive = settings.archive.map(|archive| {
        // Local stacks know buckets by path only; AWS knows them by either.
        let config = aws_sdk_s3::config::Builder::from(&with_tries(aws, ARCHIVE))
            .force_path_style(aws.endpoint_url().is_some())
            .build();
        let client = aws_sdk_s3::Client::from_conf(config);
        S3Archive::new(client, archive.bucket, archive.prefix)
    });
    Ok(Replay {
        ledger: DynamoDbLedger::new(dynamodb, settings.table, settings.remember),
        retry_state,
        target: Targets {
            http: HttpTarget::new(
                http.clone(),
                settings.reach,
                settings.target_timeout,
                Arc::clone(&clock),
            ),
            aws: targets(with_tries(aws, one_try(settings.target_timeout))),
        },
        archive,
        queue: SqsQueue::new(aws_sdk_sqs::Client::new(&with_tries(aws, QUEUE))),
        destination: settings.target,
        policy: Policy::new(settings.limits),
        breakers: Breakers::new(Arc::clone(&meter)),
        ledger_latency: LedgerLatency::default(),
        known_limits: KnownLimits::default(),
        stop: Stop::default(),
        meter,
        max_concurrency: settings.max_concurrency,
        clock,
        random: Arc::new(SystemRandom),
    })
}

fn http_client(reach: Reach, within: Duration) -> Result<reqwest::Client, BuildError> {
    let mut http = reqwest::Client::builder()
        // A redirect of a delivery could lead anywhere, and one of the API is a wrong host.
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(within);
    if reach == Reach::Guarded {
        http = http.dns_resolver(Arc::new(GuardedResolver));
    }
    Ok(http.build()?)
}

/// What a client of Genesys Cloud is made of, beside its settings.
struct GenesysParts {
    http: reqwest::Client,
    /// How long a call waits for its turn.
    patience: Duration,
    /// How the secret with the credentials is read.
    secret: Tries,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
}

fn genesys(settings: GenesysSettings, parts: GenesysParts, aws: &SdkConfig) -> GenesysClient {
    let GenesysSettings {
        form,
        api_base,
        login_base,
        credentials,
    } = settings;
    let GenesysParts {
        http,
        patience,
        secret,
        clock,
        meter,
    } = parts;
    let source = credential_source(credentials, aws, secret);
    let tokens = TokenSource::new(
        http.clone(),
        &login_base,
        source,
        Arc::clone(&clock),
        Arc::clone(&meter),
    );
    GenesysClient::new(http, api_base, form, tokens, patience, clock, meter)
}

fn credential_source(
    setting: CredentialSetting,
    aws: &SdkConfig,
    tries: Tries,
) -> CredentialSource {
    match setting {
        CredentialSetting::Given(credentials) => CredentialSource::Settings(credentials),
        CredentialSetting::Secret(id) => CredentialSource::Secret(Box::new(secret(id, aws, tries))),
    }
}

fn secret(id: String, aws: &SdkConfig, tries: Tries) -> SecretsManagerSecret {
    let client = aws_sdk_secretsmanager::Client::new(&with_tries(aws, tries));
    SecretsManagerSecret::new(client, id)
}

/// Does what the first batch would otherwise wait for. What goes wrong here is tried again there.
pub async fn prepare(function: &ReplayFunction) {
    if let Some(genesys) = function.retry_state.genesys() {
        genesys.prepare().await;
    }
}

fn targets(aws: SdkConfig) -> AwsTargets {
    AwsTargets::new(target_clients(aws))
}

/// Makes the clients of a target's region.
fn target_clients(aws: SdkConfig) -> Box<dyn Fn(&str) -> Clients + Send + Sync> {
    Box::new(move |region| {
        let aws = aws
            .to_builder()
            .region(Region::new(region.to_owned()))
            .build();
        let sqs = aws_sdk_sqs::Client::new(&aws);
        Clients {
            lambda: aws_sdk_lambda::Client::new(&aws),
            queue_urls: QueueUrls::new(sqs.clone()),
            sqs,
            sns: aws_sdk_sns::Client::new(&aws),
            step_functions: aws_sdk_sfn::Client::new(&aws),
            event_bridge: aws_sdk_eventbridge::Client::new(&aws),
            buses: KnownBuses::default(),
        }
    })
}

/// Sets the attempts and time limits of one client. Time limits that `aws` has already are kept: AWS's
/// defaults have none for an operation, and only a caller can have set them.
fn with_tries(aws: &SdkConfig, tries: Tries) -> SdkConfig {
    let given = aws.timeout_config();
    let each = given.and_then(TimeoutConfig::operation_attempt_timeout);
    let all = given.and_then(TimeoutConfig::operation_timeout);
    aws.to_builder()
        .retry_config(RetryConfig::standard().with_max_attempts(tries.most))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(each.unwrap_or(tries.each))
                .operation_timeout(all.unwrap_or(tries.all))
                .build(),
        )
        .build()
}
