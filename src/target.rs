//! The target: where an event is delivered again.

pub mod http;

use std::error::Error as StdError;
use std::future::Future;

use crate::destination::Destination;
use crate::failure::{Certainty, Disposition, FailureCode};
use crate::ledger::EventKey;

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
    /// What happened, in words without payload or secrets.
    pub reason: String,
    /// The cause, where another library reported it.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Something that takes events.
///
/// `Ok` means accepted: the target will act, or has acted. A delivery with the same key may come
/// again after an error whose certainty is [`Certainty::Unknown`].
pub trait Target: Send + Sync {
    /// Delivers one event once; never retries by itself.
    ///
    /// # Errors
    /// Says what has to happen before another attempt and whether this one may have acted.
    fn deliver(
        &self,
        delivery: &Delivery<'_>,
    ) -> impl Future<Output = Result<(), DeliveryError>> + Send;
}
