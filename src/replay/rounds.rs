//! Rounds: new deliveries after a target has accepted an event and failed later.

use super::{Outcome, Ports, RecordResult, Replay};
use crate::clock::Timestamp;
use crate::failure::FailureCode;

/// The reason in results about failure records.
pub(super) const FAILED_LATER: &str = "the target failed after it had accepted the event";

impl<P: Ports> Replay<P> {
    pub(super) fn round_follows(&self, round: u32, not_before: Timestamp) -> RecordResult {
        let after = not_before.since(self.clock.now());
        let code = FailureCode::FailedAfterAcceptance;
        RecordResult::from(Outcome::Deferred { after, code })
            .with_reason(&format!("{FAILED_LATER}, round {round} follows at {not_before}"))
    }
}
