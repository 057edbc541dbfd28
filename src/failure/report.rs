//! Failure records: messages that report a failure of the target after it had accepted an event.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::destination::Destination;

/// The maximum difference between the clocks of two services.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// The content of a failure record: the delivery that failed, and the time of the failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureReport {
    /// The kind of target that had accepted the event.
    pub target: ReportingTarget,
    /// The id of the delivery: the invocation's request id, or the message's id in the target queue.
    pub delivery_id: Option<String>,
    /// The time of the failure; `None` if the record has none.
    pub at: Option<Timestamp>,
}

/// The kind of target that sends failure records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportingTarget {
    /// A Lambda function, through its on-failure destination or its own dead-letter queue.
    Function,
    /// A queue whose consumer did not delete the message.
    Queue,
}

/// The evidence of an acceptance: the target's id and the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The id that the target gave the delivery, if it gives one.
    pub delivery_id: Option<String>,
    /// The time just before the call.
    pub at: Timestamp,
}

/// An accepted delivery, as stored in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The target's receipt; `None` in items of older versions.
    pub receipt: Option<Receipt>,
    /// The time of the event's first claim.
    pub first_seen: Timestamp,
    /// The number of the accepted delivery, from 1.
    pub round: u32,
    /// The id of the message that was claimed last.
    pub message_id: Option<String>,
}

impl FailureReport {
    /// Returns true if the record is about this delivery to `destination`; false if it is about an earlier
    /// delivery, or about a delivery by another system.
    ///
    /// If both ids are known, they decide. Otherwise the time decides: a record more than five seconds older
    /// than the delivery is about another one. The message that was delivered is never a record about its own
    /// delivery. `message_id` is the record's own.
    #[must_use]
    pub fn is_about(
        &self,
        accepted: &Accepted,
        destination: &Destination,
        message_id: &str,
    ) -> bool {
        let receipt = accepted.receipt.as_ref();
        let ours = receipt
            .and_then(|receipt| receipt.delivery_id.as_ref())
            .filter(|_| self.compares_with(destination));
        if let (Some(ours), Some(theirs)) = (ours, &self.delivery_id) {
            return ours == theirs;
        }
        let since = receipt.map_or(accepted.first_seen, |receipt| receipt.at);
        accepted.message_id.as_deref() != Some(message_id) && self.is_later_than(since)
    }

    /// Returns true if the record's content names the failed delivery, so that the record may be resent as
    /// another message. Otherwise only the message's own id and time name it.
    #[must_use]
    pub const fn is_of_known_delivery(&self) -> bool {
        matches!(self.target, ReportingTarget::Function) && self.delivery_id.is_some()
    }

    /// Returns true unless the record is more than five seconds older than `since`.
    #[must_use]
    pub fn is_later_than(&self, since: Timestamp) -> bool {
        self.at.is_none_or(|at| at.plus(CLOCK_TOLERANCE) >= since)
    }

    /// Returns true if the record's ids and the ids of such deliveries are of the same kind. Topics, state
    /// machines and buses return ids that no failure record contains.
    const fn compares_with(&self, destination: &Destination) -> bool {
        match (self.target, destination) {
            (ReportingTarget::Function, Destination::Lambda(_))
            | (ReportingTarget::Queue, Destination::Sqs(_)) => true,
            (
                ReportingTarget::Function | ReportingTarget::Queue,
                Destination::None
                | Destination::Http(_)
                | Destination::Lambda(_)
                | Destination::Sqs(_)
                | Destination::Sns(_)
                | Destination::StateMachine(_)
                | Destination::EventBus(_)
                | Destination::Kinesis(_)
                | Destination::Firehose(_)
                | Destination::LogGroup(_)
                | Destination::ApiDestination(_)
                | Destination::ApiGateway(_)
                | Destination::CustomBus(_)
                | Destination::Unsupported(_)
                | Destination::NotAllowed(_)
                | Destination::Looping(_)
                | Destination::TooLong(_)
                | Destination::Missing,
            ) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";
    const DELIVERED_AT: u64 = 1_000_000;

    fn is_about(theirs: Option<&str>, at: Option<u64>, ours: Option<&str>, to: &str) -> bool {
        let report = FailureReport {
            target: ReportingTarget::Function,
            delivery_id: theirs.map(str::to_owned),
            at: at.map(Timestamp::from_millis),
        };
        let accepted = Accepted {
            receipt: Some(Receipt {
                delivery_id: ours.map(str::to_owned),
                at: Timestamp::from_millis(DELIVERED_AT),
            }),
            first_seen: Timestamp::from_millis(0),
            round: 1,
            message_id: Some("m-1".to_owned()),
        };
        let destination = Destination::of_arn(to);
        let is_about = report.is_about(&accepted, &destination, "m-2");
        let has_ids = theirs.is_some() && ours.is_some() && to == FUNCTION;
        // The delivered message itself, received once more.
        assert_eq!(report.is_about(&accepted, &destination, "m-1"), has_ids && is_about);
        is_about
    }

    #[test]
    fn failure_record_matches_by_id_at_any_time() {
        for at in [None, Some(0), Some(DELIVERED_AT + 10)] {
            assert!(is_about(Some("r-1"), at, Some("r-1"), FUNCTION));
            assert!(!is_about(Some("r-2"), at, Some("r-1"), FUNCTION));
        }
    }

    #[test]
    fn failure_record_matches_by_time_without_comparable_ids() {
        let bus = "arn:aws:events:eu-central-1:271828182845:event-bus/crm";
        let early = DELIVERED_AT - 5_001;
        for (theirs, ours, to) in [
            (None, Some("r-1"), FUNCTION),
            (Some("r-1"), None, FUNCTION),
            (None, None, FUNCTION),
            (Some("r-1"), Some("entry-1"), bus),
        ] {
            assert!(is_about(theirs, Some(DELIVERED_AT - 5_000), ours, to));
            assert!(!is_about(theirs, Some(early), ours, to));
            assert!(is_about(theirs, None, ours, to), "nothing speaks against it");
        }
    }

    #[test]
    fn failure_record_matches_by_first_claim_without_a_receipt() {
        let at = |millis| FailureReport {
            target: ReportingTarget::Queue,
            delivery_id: Some("m-1".to_owned()),
            at: Some(Timestamp::from_millis(millis)),
        };
        let accepted = Accepted {
            receipt: None,
            first_seen: Timestamp::from_millis(DELIVERED_AT),
            round: 1,
            message_id: None,
        };
        let queue = Destination::of_arn("arn:aws:sqs:eu-central-1:271828182845:crm");
        assert!(at(DELIVERED_AT).is_about(&accepted, &queue, "m-1"));
        assert!(!at(DELIVERED_AT - 6_000).is_about(&accepted, &queue, "m-1"));
    }
}
