//! The common parts of AWS targets: their clients, and the meaning of their errors.

use std::error::Error as StdError;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::{Region, SdkConfig};
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use genesys_replay::clock::Clock;
use genesys_replay::destination::Arn;
use genesys_replay::failure::{Certainty, Disposition, FailureCode, answers};
use genesys_replay::target::DeliveryError;
use genesys_replay_aws::is_unsent;
use lru::LruCache;

use super::KnownBuses;
use crate::classification::{classify, question};

/// The clients of one region. The clients never retry, because a delivery is one attempt.
#[derive(Clone)]
pub struct RegionalClients {
    /// Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// SNS.
    pub sns: aws_sdk_sns::Client,
    /// Step Functions.
    pub step_functions: aws_sdk_sfn::Client,
    /// `EventBridge`.
    pub event_bridge: aws_sdk_eventbridge::Client,
    /// Kinesis data streams.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Firehose.
    pub firehose: aws_sdk_firehose::Client,
    /// `CloudWatch` Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// Custom event buses.
    pub custom_buses: aws_sdk_eventbridgev2::Client,
    /// Secrets Manager, which has the secrets of connections.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// The buses that are known to exist.
    pub buses: KnownBuses,
}

impl RegionalClients {
    /// Creates the clients of the region that `aws` names.
    #[must_use]
    pub fn new(aws: &SdkConfig) -> Self {
        Self {
            lambda: aws_sdk_lambda::Client::new(aws),
            sqs: aws_sdk_sqs::Client::new(aws),
            sns: aws_sdk_sns::Client::new(aws),
            step_functions: aws_sdk_sfn::Client::new(aws),
            event_bridge: aws_sdk_eventbridge::Client::new(aws),
            kinesis: aws_sdk_kinesis::Client::new(aws),
            firehose: aws_sdk_firehose::Client::new(aws),
            logs: aws_sdk_cloudwatchlogs::Client::new(aws),
            custom_buses: aws_sdk_eventbridgev2::Client::new(aws),
            secrets: aws_sdk_secretsmanager::Client::new(aws),
            buses: KnownBuses::default(),
        }
    }
}

/// Returns a function that creates the clients of a target's region.
#[must_use]
pub fn clients(aws: SdkConfig) -> Box<dyn Fn(&str) -> RegionalClients + Send + Sync> {
    Box::new(move |region| {
        let aws = aws.to_builder().region(Region::new(region.to_owned())).build();
        RegionalClients::new(&aws)
    })
}

/// The maximum number of regions with clients: more than AWS has. The clients that were not used for the longest time
/// are dropped first.
const MAX_REGIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// AWS targets, in the region that their ARN names.
pub struct AwsTargets {
    build: Box<dyn Fn(&str) -> RegionalClients + Send + Sync>,
    by_region: Mutex<LruCache<String, Arc<RegionalClients>>>,
    pub(super) clock: Arc<dyn Clock>,
}

impl AwsTargets {
    /// Creates targets that call `build` once per region.
    #[must_use]
    pub fn new(
        build: Box<dyn Fn(&str) -> RegionalClients + Send + Sync>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { build, by_region: Mutex::new(LruCache::new(MAX_REGIONS)), clock }
    }

    pub(super) fn of(&self, arn: &Arn) -> Arc<RegionalClients> {
        let mut by_region = self.by_region.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = by_region.get(arn.region()) {
            return Arc::clone(clients);
        }
        let clients = Arc::new((self.build)(arn.region()));
        by_region.put(arn.region().to_owned(), Arc::clone(&clients));
        clients
    }
}

/// Returns the meaning of a failed call for a delivery.
pub(super) fn delivery_error<E>(service: &str, error: SdkError<E, HttpResponse>) -> DeliveryError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let unavailable = |certainty, reason: &str| DeliveryError {
        code: FailureCode::TargetUnavailable,
        disposition: Disposition::Transient { after: None },
        certainty,
        timed_out: false,
        locally_throttled: false,
        reason: format!("{service} {reason}"),
        source: None,
    };
    match &error {
        SdkError::ServiceError(context) => {
            let refusal = context.err();
            let code = refusal.code().unwrap_or("an error without a code");
            refused(service, code, refusal.message(), status)
        }
        SdkError::ConstructionFailure(_) => {
            unavailable(Certainty::NotSent, "was not called: the request cannot be built")
        }
        SdkError::DispatchFailure(failure) if is_unsent(failure) => DeliveryError {
            source: Some(error.into()),
            ..unavailable(Certainty::NotSent, "was not called: no connection, or no credentials")
        },
        SdkError::TimeoutError(_) => DeliveryError {
            timed_out: true,
            ..unavailable(Certainty::Unknown, "did not answer in time (TARGET_TIMEOUT_SECONDS)")
        },
        // An error whose body is not of the service's protocol, for example of a gateway in front of it.
        SdkError::ResponseError(_) if status.is_some_and(|status| status >= 400) => {
            refused(service, "an error without a code", None, status)
        }
        SdkError::ResponseError(_) => {
            unavailable(Certainty::Unknown, "returned an unreadable answer")
        }
        SdkError::DispatchFailure(_) | _ => DeliveryError {
            source: Some(error.into()),
            ..unavailable(Certainty::Unknown, "did not answer: the connection broke")
        },
    }
}

/// Returns the meaning of an error code. Services quote the sent data, so their message is included only if
/// it is about our permissions.
pub(super) fn refused(
    service: &str,
    code: &str,
    message: Option<&str>,
    status: Option<u16>,
) -> DeliveryError {
    let (failure, disposition, certainty) = classify(answers::of_aws(code, status), None);
    let message = message.filter(|_| failure == FailureCode::TargetCredentials);
    let message = message.map(|it| format!(" {it}")).unwrap_or_default();
    let question = question(failure);
    DeliveryError {
        code: failure,
        disposition,
        certainty,
        timed_out: false,
        locally_throttled: false,
        reason: format!("{service} answered {code}{question}{message}"),
        source: None,
    }
}
