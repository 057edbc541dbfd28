//! The target of a replayed event.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use url::Url;

use crate::destination::{Arn, Destination, MAX_TARGET_BYTES};
use crate::failure::{Certainty, Disposition, FailureCode};
use crate::ledger::EventKey;
use crate::message::TypedAttribute;

/// The id that a target gave an accepted delivery: of an invocation, a message, or an execution.
pub type DeliveryId = String;

/// One delivery of one event.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The destination of the delivery.
    pub destination: &'a Destination,
    /// The raw event, byte for byte.
    pub payload: &'a str,
    /// The number of the attempt, including the retries of the first deliverer.
    pub attempt_count: u32,
    /// The event key, the same for every attempt, so that the target can recognise a repetition.
    pub key: &'a EventKey,
    /// The name of this delivery, the same for every attempt of a round. Some services drop a second delivery
    /// with the same name.
    pub name: &'a str,
    /// True if the target may have accepted an earlier attempt whose answer was lost.
    pub maybe_delivered: bool,
    /// The message attributes, for a queue that receives the whole message, and of a schedule's call.
    pub attributes: &'a BTreeMap<&'a str, TypedAttribute>,
    /// The event's source, if the sender of the event named one for its bus.
    pub event_source: Option<&'a str>,
    /// The event's type, for targets that route by type.
    pub event_type: Option<&'a str>,
    /// The event's interaction, for targets that keep the order per interaction.
    pub interaction_id: Option<&'a str>,
    /// The dead letter's own message group. It takes precedence over the interaction.
    pub group: Option<&'a str>,
    /// The target of a rule that did not accept the event, if this is a delivery to the same target.
    pub rule_target: Option<RuleTarget<'a>>,
    /// The progress of the delivery, which the adapter updates.
    pub progress: &'a DeliveryProgress,
}

/// The progress of a delivery that may be cut off. Without an update, the event may have been sent.
#[derive(Debug, Default)]
pub struct DeliveryProgress {
    is_preparing: AtomicBool,
}

impl DeliveryProgress {
    /// Begins a preparation: descriptions, secrets and tokens are read. The event is not sent meanwhile.
    pub fn preparing(&self) {
        self.is_preparing.store(true, Ordering::Relaxed);
    }

    /// Ends the preparation: from now on, the target may have the event.
    pub fn sending(&self) {
        self.is_preparing.store(false, Ordering::Relaxed);
    }

    /// Returns the certainty about a delivery that is cut off now.
    #[must_use]
    pub fn certainty_when_cut_off(&self) -> Certainty {
        if self.is_preparing.load(Ordering::Relaxed) {
            Certainty::NotSent
        } else {
            Certainty::Unknown
        }
    }
}

/// A target of a rule. `EventBridge` has the parameters of its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleTarget<'a> {
    /// The ARN of the rule.
    pub rule_arn: &'a str,
    /// The ARN of the target, as the rule has it.
    pub target_arn: &'a str,
}

/// The error when a target did not accept an event, as far as the function can determine.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct DeliveryError {
    /// The stable name of the failure.
    pub code: FailureCode,
    /// The condition for another attempt.
    pub disposition: Disposition,
    /// The certainty that the target did not act.
    pub certainty: Certainty,
    /// True if the time limit of the delivery passed without an answer.
    pub timed_out: bool,
    /// True if our own rate limiter stopped the delivery, not the target.
    pub locally_throttled: bool,
    /// The reason in words, without payload or secrets.
    pub reason: String,
    /// The cause, if another library reported it.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl DeliveryError {
    /// Returns a permanent failure that was found before anything was sent.
    #[must_use]
    pub fn never(code: FailureCode, reason: String) -> Self {
        Self {
            code,
            disposition: Disposition::Permanent,
            certainty: Certainty::NotSent,
            timed_out: false,
            locally_throttled: false,
            reason,
            source: None,
        }
    }
}

/// A destination that can be called.
#[derive(Clone, Copy, Debug)]
pub enum Endpoint<'d> {
    /// No delivery: the event counts as accepted.
    None,
    /// An HTTP endpoint.
    Http(&'d Url),
    /// A Lambda function.
    Lambda(&'d Arn),
    /// An SQS queue.
    Sqs(&'d Arn),
    /// An SNS topic.
    Sns(&'d Arn),
    /// A Step Functions state machine.
    StateMachine(&'d Arn),
    /// An event bus.
    EventBus(&'d Arn),
    /// A Kinesis data stream.
    Kinesis(&'d Arn),
    /// A Firehose stream.
    Firehose(&'d Arn),
    /// A log group of `CloudWatch` Logs.
    LogGroup(&'d Arn),
    /// An API destination.
    ApiDestination(&'d Arn),
    /// A method of an API of API Gateway.
    ApiGateway(&'d Arn),
    /// A custom event bus.
    CustomBus(&'d Arn),
}

/// Returns the endpoint of a destination.
///
/// # Errors
/// A permanent failure if the destination cannot be called.
pub fn endpoint(destination: &Destination) -> Result<Endpoint<'_>, DeliveryError> {
    let (code, reason) = match destination {
        Destination::None => return Ok(Endpoint::None),
        Destination::Http(url) => return Ok(Endpoint::Http(url)),
        Destination::Lambda(arn) => return Ok(Endpoint::Lambda(arn)),
        Destination::Sqs(arn) => return Ok(Endpoint::Sqs(arn)),
        Destination::Sns(arn) => return Ok(Endpoint::Sns(arn)),
        Destination::StateMachine(arn) => return Ok(Endpoint::StateMachine(arn)),
        Destination::EventBus(arn) => return Ok(Endpoint::EventBus(arn)),
        Destination::Kinesis(arn) => return Ok(Endpoint::Kinesis(arn)),
        Destination::Firehose(arn) => return Ok(Endpoint::Firehose(arn)),
        Destination::LogGroup(arn) => return Ok(Endpoint::LogGroup(arn)),
        Destination::ApiDestination(arn) => return Ok(Endpoint::ApiDestination(arn)),
        Destination::ApiGateway(arn) => return Ok(Endpoint::ApiGateway(arn)),
        Destination::CustomBus(arn) => return Ok(Endpoint::CustomBus(arn)),
        Destination::Unsupported(arn) => {
            (FailureCode::TargetUnsupported, format!("no way to deliver to {arn}"))
        }
        Destination::NotAllowed(arn) => (
            FailureCode::TargetNotAllowed,
            format!(
                "{arn} is not in ALLOWED_TARGETS, or is the dead-letter queue, its parking queue or this function itself"
            ),
        ),
        Destination::Looping(arn) => {
            let reason = format!(
                "REPLAY_TARGET {arn} is the dead-letter queue, its parking queue or this function itself"
            );
            return Err(DeliveryError {
                disposition: Disposition::Operator,
                ..DeliveryError::never(FailureCode::TargetNotAllowed, reason)
            });
        }
        Destination::TooLong(_) => (
            FailureCode::TargetUnsupported,
            format!("the ARN of the target is longer than {MAX_TARGET_BYTES} bytes"),
        ),
        Destination::Missing => (
            FailureCode::TargetUnsupported,
            "the dead letter does not name a target; set REPLAY_TARGET".to_owned(),
        ),
    };
    Err(DeliveryError::never(code, reason))
}

/// A receiver of events.
///
/// `Ok` means accepted: the target will act, or has acted. After an error with [`Certainty::Unknown`],
/// another delivery with the same key may follow.
pub trait Target: Send + Sync {
    /// Delivers one event once; never retries by itself. Returns the id that the target gave the delivery, if
    /// any.
    ///
    /// # Errors
    /// [`DeliveryError`]: the condition for another attempt, and the certainty that the target did not act.
    fn deliver(
        &self,
        delivery: &Delivery<'_>,
    ) -> impl Future<Output = Result<Option<DeliveryId>, DeliveryError>> + Send;
}
