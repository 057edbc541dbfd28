//! The target: where an event is delivered again.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::future::Future;

use crate::destination::Destination;
use crate::failure::{Certainty, Disposition, FailureCode};
use crate::ledger::EventKey;
use crate::message::TypedAttribute;

/// The id that a target gave a delivery when it accepted: of an invocation, a message, an execution.
pub type DeliveryId = String;

/// One delivery of one event.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Where it goes.
    pub destination: &'a Destination,
    /// The raw event, byte for byte.
    pub payload: &'a str,
    /// Which attempt this is, the first deliverer's own retries counted in.
    pub attempt_count: u32,
    /// The same at every attempt, so that the target can tell a repetition.
    pub key: &'a EventKey,
    /// The name of this delivery, the same at every attempt of a round, for services that drop a second one
    /// of the same name.
    pub name: &'a str,
    /// Whether an earlier attempt may have been accepted: its answer was lost.
    pub maybe_delivered: bool,
    /// The message attributes, for a queue that gets a whole message back.
    pub attributes: &'a BTreeMap<&'a str, TypedAttribute>,
    /// The event's type, for targets that route by it.
    pub event_type: Option<&'a str>,
    /// The event's interaction, for targets that keep the order of each.
    pub interaction_id: Option<&'a str>,
    /// The message group in which the dead letter came; it counts before the interaction.
    pub group: Option<&'a str>,
}

/// Why a target did not accept an event, as far as can be known.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct DeliveryError {
    /// The stable name of the failure.
    pub code: FailureCode,
    /// What has to happen before another attempt.
    pub disposition: Disposition,
    /// Whether the target may have acted.
    pub certainty: Certainty,
    /// Whether the time of the delivery was over before an answer came.
    pub timed_out: bool,
    /// What happened, in words without payload or secrets.
    pub reason: String,
    /// The cause, where another library reported it.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl DeliveryError {
    /// A failure that no attempt repairs, found before anything was sent.
    #[must_use]
    pub fn never(code: FailureCode, reason: String) -> Self {
        Self {
            code,
            disposition: Disposition::Permanent,
            certainty: Certainty::NotSent,
            timed_out: false,
            reason,
            source: None,
        }
    }
}

/// Something that takes events.
///
/// `Ok` means accepted: the target will act, or has acted. A delivery with the same key may come
/// again after an error whose certainty is [`Certainty::Unknown`].
pub trait Target: Send + Sync {
    /// Delivers one event once; never retries by itself. Returns the id that the target gave the delivery,
    /// where it gives one.
    ///
    /// # Errors
    /// Says what has to happen before another attempt and whether this one may have acted.
    fn deliver(
        &self,
        delivery: &Delivery<'_>,
    ) -> impl Future<Output = Result<Option<DeliveryId>, DeliveryError>> + Send;
}
