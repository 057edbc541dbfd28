//! The wiring of the replay function.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use genesys_replay::clock::{Clock, SystemClock, SystemRandom};
use genesys_replay::connections::FreezeDetector;
use genesys_replay::meter::UpstreamCounters;
use genesys_replay::replay::{
    CircuitBreakers, KnownQueues, LedgerLatency, Policy, Ports, Replay, RetryState, Shutdown,
};
use genesys_replay_aws::clients::{CallLimits, secret, single_attempt, with_limits, with_pool};
use genesys_replay_aws::sqs_queue::SqsQueue;
use genesys_replay_genesys::{
    BuildError, GenesysClient, GenesysSettings, Parts, client, http_pool,
};
use genesys_replay_settings::{RetryStateSetting, Settings, TargetAuth, is_proxied};
use genesys_replay_storage::dynamodb::DynamoDbLedger;
use genesys_replay_storage::s3::{self, S3Archive};
use genesys_replay_targets::api_destination::ApiDestinations;
use genesys_replay_targets::api_destination::connection::PlainHttp;
use genesys_replay_targets::aws::{AwsTargets, clients};
use genesys_replay_targets::http::resolver::guarded;
use genesys_replay_targets::http::{HttpAuth, HttpSender, HttpTarget, SigV4Signer};
use genesys_replay_targets::{ApiGateways, EventRules, Targets};

/// The replay function with its real adapters.
pub type ReplayFunction = Replay<AwsPorts>;

/// The real adapters.
#[derive(Clone, Copy, Debug)]
pub enum AwsPorts {}

impl Ports for AwsPorts {
    type Ledger = DynamoDbLedger;
    type Genesys = GenesysClient;
    type Target = Targets;
    type Archive = S3Archive;
    type Queue = SqsQueue;
}

/// The time without an upstream request after which pooled connections are not used. Lambda may have frozen the
/// environment for the rest of it, and a delivery over a dead connection may be a duplicate. Under load the next
/// invocation arrives within milliseconds, and after a longer time new connections cost little.
pub const MAX_QUIET_TIME: Duration = Duration::from_millis(100);

/// The time limit of one call to Genesys Cloud, which usually answers in well under a second. A hung call
/// must leave time for the rest of the record within a 30 s invocation.
pub const GENESYS_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of ledger calls. `DynamoDB` answers in milliseconds. Only the SDK retries on this hop: every
/// write is idempotent, and no other layer repeats it.
const LEDGER: CallLimits = CallLimits {
    attempt_timeout: Duration::from_secs(2),
    operation_timeout: Duration::from_secs(6),
    max_attempts: 3,
};

/// The limits of archive calls: as for the ledger, but longer for a body of 1 MiB.
pub const ARCHIVE: CallLimits = CallLimits {
    attempt_timeout: Duration::from_secs(5),
    operation_timeout: Duration::from_secs(10),
    max_attempts: 3,
};

/// The limits of queue calls. They are short, because without a new visibility timeout the queue's own
/// applies.
const QUEUE: CallLimits = CallLimits {
    attempt_timeout: Duration::from_secs(1),
    operation_timeout: Duration::from_secs(2),
    max_attempts: 2,
};

/// The limits of secret reads: at start-up, and after Genesys Cloud refused the credentials.
pub const SECRET: CallLimits = CallLimits {
    attempt_timeout: Duration::from_secs(2),
    operation_timeout: Duration::from_secs(5),
    max_attempts: 3,
};

/// Builds every client once, before the first batch.
///
/// # Errors
/// TLS roots are missing, which no retry repairs: the function must not start.
pub fn build(settings: Settings, aws: &SdkConfig) -> Result<ReplayFunction, BuildError> {
    build_with_clock(settings, aws, Arc::new(SystemClock))
}

/// As [`build`], with a clock of the caller.
///
/// # Errors
/// Those of [`build`].
pub fn build_with_clock(
    settings: Settings,
    aws: &SdkConfig,
    clock: Arc<dyn Clock>,
) -> Result<ReplayFunction, BuildError> {
    let meter = Arc::new(UpstreamCounters::default());
    let detector = FreezeDetector::new(Arc::clone(&clock), MAX_QUIET_TIME);
    let aws = &with_pool(aws, &detector);
    let reach = settings.reach;
    let http = http_pool(GENESYS_TIMEOUT, detector, move |client| guarded(client, reach))?;
    let genesys = |genesys_settings: GenesysSettings| {
        let parts = Parts {
            http: Arc::clone(&http),
            max_wait: settings.limits.max_wait,
            clock: Arc::clone(&clock),
            meter: Arc::clone(&meter),
        };
        client(genesys_settings, parts, |id| secret(id, aws, SECRET))
    };
    let retry_state = match settings.retry_state {
        RetryStateSetting::Required(it) => RetryState::Required(genesys(it)),
        RetryStateSetting::BestEffort(it) => RetryState::BestEffort(genesys(it)),
        RetryStateSetting::Off => RetryState::Off,
    };
    let sender = HttpSender::new(
        Arc::clone(&http),
        settings.reach,
        is_proxied(),
        settings.target_timeout,
        Arc::clone(&clock),
    );
    let single_attempt = with_limits(aws, single_attempt(settings.target_timeout));
    let signer = SigV4Signer::new(aws.credentials_provider(), Arc::clone(&clock));
    let auth = http_auth(settings.target_auth, aws, &signer, &clock);
    let max_wait = settings.limits.max_wait;
    let target = Targets {
        http: HttpTarget::new(sender.clone(), auth),
        aws: AwsTargets::new(clients(single_attempt), Arc::clone(&clock)),
        rules: EventRules::new(Arc::clone(&clock)),
        api_destinations: ApiDestinations::new(
            sender.clone(),
            max_wait,
            if aws.endpoint_url().is_some() { PlainHttp::Loopback } else { PlainHttp::Never },
            Arc::clone(&clock),
        ),
        api_gateways: ApiGateways::new(sender, signer, aws.endpoint_url()),
    };
    let dynamodb = aws_sdk_dynamodb::Client::new(&with_limits(aws, LEDGER));
    let archive = settings.archive.map(|archive| {
        let client = s3::client(&with_limits(aws, ARCHIVE));
        S3Archive::new(client, archive.bucket, archive.prefix)
    });
    Ok(Replay {
        ledger: DynamoDbLedger::new(dynamodb, settings.table, settings.remember),
        retry_state,
        target,
        archive,
        queue: SqsQueue::new(aws_sdk_sqs::Client::new(&with_limits(aws, QUEUE))),
        destination: settings.target,
        policy: Policy::new(settings.limits),
        circuit_breakers: CircuitBreakers::new(Arc::clone(&meter)),
        ledger_latency: LedgerLatency::default(),
        known_queues: KnownQueues::default(),
        shutdown: Shutdown::default(),
        meter,
        max_concurrency: settings.max_concurrency,
        clock,
        random: Arc::new(SystemRandom),
    })
}

/// Returns the authentication of deliveries over HTTP.
fn http_auth(
    setting: TargetAuth,
    aws: &SdkConfig,
    signer: &SigV4Signer,
    clock: &Arc<dyn Clock>,
) -> HttpAuth {
    match setting {
        TargetAuth::None => HttpAuth::NONE,
        TargetAuth::Headers { secret_id } => {
            HttpAuth::headers(secret(secret_id, aws, SECRET), Arc::clone(clock))
        }
        TargetAuth::Signature { secret_id } => {
            HttpAuth::signature(secret(secret_id, aws, SECRET), Arc::clone(clock))
        }
        TargetAuth::SigV4 { service, region } => {
            let own = aws.region().map_or_else(|| "us-east-1".to_owned(), ToString::to_string);
            HttpAuth::sigv4(signer.clone(), service, region.unwrap_or(own))
        }
    }
}

/// Reads the credentials before the first batch. The first batch retries after a failure here.
pub async fn prepare(function: &ReplayFunction) {
    if let Some(genesys) = function.retry_state.genesys() {
        genesys.prepare().await;
    }
}
