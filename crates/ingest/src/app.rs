//! The wiring of ingest.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::operation::get_queue_attributes::GetQueueAttributesError;
use genesys_replay::clock::{Clock, SystemClock, SystemRandom};
use genesys_replay::connections::FreezeDetector;
use genesys_replay::meter::UpstreamCounters;
use genesys_replay_aws::clients::{CallLimits, secret, with_limits, with_pool};
use genesys_replay_aws::secrets_manager::SecretsManagerSecret;
use genesys_replay_aws::sqs_inlet::SqsInlet;
use genesys_replay_genesys::{BuildError, GenesysSubscriptions, Parts, client, http_pool};
use genesys_replay_telemetry::metrics::Metrics;

use crate::config::{Auth, Host, IngestSettings, KeySetting};
use crate::http::IngestService;
use crate::http::metrics::{IngestMetrics, Pace};
use crate::{Authentication, Ingest, IngestPorts, KeySource, Keys, SubscriptionCheck};

/// The HTTP service of ingest with its real adapters.
pub type IngestFunction = IngestService<AwsIngestPorts>;

/// The real adapters.
#[derive(Clone, Copy, Debug)]
pub enum AwsIngestPorts {}

impl IngestPorts for AwsIngestPorts {
    type MessageSender = SqsInlet;
    type Subscriptions = GenesysSubscriptions;
    type Secret = SecretsManagerSecret;
}

/// The limits of a call to Secrets Manager, short because the call to SQS follows.
const SECRET: CallLimits = CallLimits {
    attempt_timeout: Duration::from_secs(1),
    operation_timeout: Duration::from_millis(1_500),
    max_attempts: 2,
};

/// The limits of the check of the queue, which delays the start-up.
const QUEUE_CHECK: CallLimits = CallLimits {
    attempt_timeout: Duration::from_secs(1),
    operation_timeout: Duration::from_secs(1),
    max_attempts: 1,
};

/// The maximum time that a subscription check waits for our own rate limiter.
const MAX_RATE_LIMIT_WAIT: Duration = Duration::from_secs(1);

/// The timeout of one call to Genesys Cloud. A check may need several calls (a token, a second one);
/// [`LOOKUP_TIMEOUT`](crate::LOOKUP_TIMEOUT) limits the whole check.
const GENESYS_TIMEOUT: Duration = Duration::from_secs(2);

/// The time without an upstream request after which pooled connections are not used, as for the queue
/// ([`SqsInlet`]). A shorter time would cost a server with few requests a handshake for each.
const MAX_QUIET_TIME: Duration = Duration::from_secs(10);

/// Builds every client once, before the first request.
///
/// # Errors
/// TLS roots were not found. A retry does not help, so ingest must not start.
pub fn build(
    settings: IngestSettings,
    aws: &SdkConfig,
    metrics: Metrics,
) -> Result<IngestFunction, BuildError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let detector = FreezeDetector::new(Arc::clone(&clock), MAX_QUIET_TIME);
    let aws = &with_pool(aws, &detector);
    let meter = Arc::new(UpstreamCounters::default());
    let check = match settings.check {
        None => None,
        Some((form, genesys_settings)) => {
            let parts = Parts {
                // The hosts come from the settings only, never from a request.
                http: http_pool(GENESYS_TIMEOUT, Arc::clone(&detector), |client| client)?,
                max_wait: MAX_RATE_LIMIT_WAIT,
                clock: Arc::clone(&clock),
                meter: Arc::clone(&meter),
            };
            let subscriptions = GenesysSubscriptions::new(
                client(genesys_settings, parts, |id| secret(id, aws, SECRET)),
                form,
            );
            Some(SubscriptionCheck::new(subscriptions, Arc::clone(&clock)))
        }
    };
    let keys = |source| Authentication::Signature(Keys::new(source, Arc::clone(&clock)));
    let authentication = match settings.auth {
        Auth::Signature(KeySetting::Given(ring)) => keys(KeySource::Settings(ring)),
        Auth::Signature(KeySetting::Secret(id)) => keys(KeySource::Secret(secret(id, aws, SECRET))),
        Auth::Iam => Authentication::Iam,
        Auth::Anyone => Authentication::None,
    };
    let ingest = Ingest {
        sender: SqsInlet::new(aws, settings.queue_url.into(), Arc::clone(&clock)),
        check,
        authentication,
        clock,
        random: Arc::new(SystemRandom),
    };
    let (function, pace) = match settings.host {
        Host::Lambda(function) => (function, Pace::EachRequest),
        Host::Server(_) => ("ingest".to_owned(), Pace::Together),
    };
    let metrics = IngestMetrics::new(metrics, function, pace);
    let service = IngestService::new(ingest, settings.max_body_bytes, metrics, meter);
    Ok(service.with_base_path(settings.base_path))
}

/// Logs a warning if the queue does not exist, because every request would then get a 503. Any other failure may pass,
/// and the first request reports it.
pub async fn check_queue(aws: &SdkConfig, url: &str) {
    let detector = FreezeDetector::new(Arc::new(SystemClock), MAX_QUIET_TIME);
    let aws = with_limits(&with_pool(aws, &detector), QUEUE_CHECK);
    let client = aws_sdk_sqs::Client::new(&aws);
    let Err(error) = client.get_queue_attributes().queue_url(url).send().await else {
        return;
    };
    if error.as_service_error().is_some_and(GetQueueAttributesError::is_queue_does_not_exist) {
        tracing::warn!(
            setting = "REPLAY_QUEUE_URL",
            "queue does not exist: every request is answered with 503"
        );
    }
}

/// Reads secrets at start-up, so that the first request does not wait. The first request repeats a read that failed
/// here.
pub async fn prepare(edge: &IngestFunction) {
    let ingest = edge.ingest();
    ingest.prepare().await;
    if let Some(check) = &ingest.check {
        check.subscriptions().prepare().await;
    }
}
