//! The invariants of one event, shared by the simulation of whole workers and the model of a claim.

use std::collections::BTreeSet;

use genesys_replay::clock::Timestamp;

/// The number of a worker, from its start to its end. It is not used again.
pub type WorkerId = u64;

/// The difference between the clocks of workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Clocks {
    /// Less than the margin by which a lease outlives its worker: no lease is taken over early.
    #[default]
    Bounded,
    /// Any difference: a lease may end while its holder works. The holder's later calls are late, and
    /// only the conditions on its writes prevent damage.
    Unbounded,
}

/// Checks the invariants of one event (`EventInvariants`): it observes every step and returns violations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Witness {
    clocks: Clocks,
    holder: Option<Holder>,
    /// Workers that continue without the lease.
    taken_over: BTreeSet<WorkerId>,
    lease_was_taken_over: bool,
    /// The number of the latest attempt.
    attempt: u32,
    accepted: u32,
    /// True if the ledger may lack the latest acceptance for a known reason.
    duplicate_allowed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Holder {
    worker_id: WorkerId,
    lease_until: Timestamp,
}

/// A broken invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// A claim succeeded under a running lease.
    #[error("worker {by} claims it from worker {from}, whose lease runs")]
    ClaimedUnderLease {
        /// The new holder.
        by: WorkerId,
        /// The former holder.
        from: WorkerId,
    },
    /// A lease ended before its worker, although the clocks are right.
    #[error("worker {by} claims it from worker {from}, which still works: the lease was too short")]
    LeaseTooShort {
        /// The new holder.
        by: WorkerId,
        /// The former holder.
        from: WorkerId,
    },
    /// The ledger refused a write of the holder.
    #[error("the ledger refuses worker {by}, which holds it")]
    HolderRefused {
        /// The holder.
        by: WorkerId,
    },
    /// A lease was lost before its claim returned, although the clocks are right.
    #[error("worker {by} has lost the lease before its claim returned")]
    LostAtOnce {
        /// The worker that claimed.
        by: WorkerId,
    },
    /// The ledger accepted a write of a worker without the lease.
    #[error("the ledger accepts a write of worker {by}, though another holds it")]
    LateWriteAccepted {
        /// The worker that wrote.
        by: WorkerId,
    },
    /// A delivery without a claim.
    #[error("worker {by} delivers it and does not hold it")]
    NotHeld {
        /// The worker that delivers.
        by: WorkerId,
    },
    /// A delivery after the checkpoint of an earlier one.
    #[error("worker {by} delivers it after its checkpoint")]
    DeliveredAfterCheckpoint {
        /// The worker that delivers.
        by: WorkerId,
    },
    /// An attempt number that does not increase.
    #[error("worker {by} delivers it as attempt {attempt}, after attempt {after}")]
    AttemptWentBack {
        /// The worker that delivers.
        by: WorkerId,
        /// The number of this attempt.
        attempt: u32,
        /// The number of the attempt before.
        after: u32,
    },
    /// A duplicate acceptance without a known reason.
    #[error("worker {by} gets it accepted again without a lost response or a crash")]
    DuplicateAcceptance {
        /// The worker that delivers.
        by: WorkerId,
    },
}

impl Witness {
    /// Returns a witness of an event that was not claimed yet.
    #[must_use]
    pub fn of(clocks: Clocks) -> Self {
        Self { clocks, ..Self::default() }
    }

    /// Records that `by`, whose clock shows `now`, has acquired the lease.
    ///
    /// # Errors
    /// Another worker still holds it.
    pub fn claimed(
        &mut self,
        by: WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<(), Violation> {
        // The former holder's lease may have ended since the request was sent.
        self.claiming(now);
        let worker_id = by;
        let before = self.holder.replace(Holder { worker_id, lease_until });
        self.taken_over.remove(&by);
        match before {
            Some(Holder { worker_id: from, .. }) if from == by => Ok(()),
            Some(Holder { worker_id: from, lease_until }) if lease_until >= now => {
                Err(Violation::ClaimedUnderLease { by, from })
            }
            Some(Holder { worker_id: from, .. }) => Err(Violation::LeaseTooShort { by, from }),
            None => Ok(()),
        }
    }

    /// Records the claim request of a worker whose clock shows `now`. The response comes later, or is
    /// lost.
    pub fn claiming(&mut self, now: Timestamp) {
        match self.clocks {
            Clocks::Bounded => {}
            Clocks::Unbounded => {
                if let Some(late) = self.holder.take_if(|holder| holder.lease_until < now) {
                    self.take_over(late.worker_id);
                }
            }
        }
    }

    /// Records that `by` has acquired the lease and that another worker has taken it over before the
    /// response.
    ///
    /// # Errors
    /// The clocks do not explain it.
    pub fn claimed_and_lost(&mut self, by: WorkerId) -> Result<(), Violation> {
        match self.clocks {
            Clocks::Bounded => Err(Violation::LostAtOnce { by }),
            Clocks::Unbounded => {
                self.take_over(by);
                Ok(())
            }
        }
    }

    /// Records that the ledger refused a write of `by` because it does not hold the lease.
    ///
    /// # Errors
    /// It holds the lease.
    pub fn refused(&mut self, by: WorkerId) -> Result<(), Violation> {
        if self.holder.is_some_and(|holder| holder.worker_id == by) {
            Err(Violation::HolderRefused { by })
        } else {
            Ok(())
        }
    }

    /// The former holder may still deliver, and so may the new one.
    fn take_over(&mut self, worker_id: WorkerId) {
        self.taken_over.insert(worker_id);
        self.lease_was_taken_over = true;
        self.duplicate_allowed = true;
    }

    /// Returns whether a worker other than `worker_id` certainly holds the lease.
    #[must_use]
    pub fn is_held_by_another(&self, worker_id: WorkerId) -> bool {
        self.holder.is_some_and(|holder| holder.worker_id != worker_id)
    }

    /// Records that `by` settles or releases the event.
    pub fn released(&mut self, by: WorkerId) {
        self.holder = self.holder.filter(|holder| holder.worker_id != by);
    }

    /// Records the end of a worker: it was killed, or its invocation is over.
    pub fn ended(&mut self, worker_id: WorkerId) {
        self.released(worker_id);
        self.taken_over.remove(&worker_id);
    }

    /// Records the begin of a delivery. `recorded`: the ledger has the checkpoint of an earlier one.
    ///
    /// # Errors
    /// The delivery breaks an invariant.
    pub fn delivering(
        &mut self,
        by: WorkerId,
        attempt: u32,
        recorded: bool,
    ) -> Result<(), Violation> {
        if self.taken_over.contains(&by) {
            return Ok(());
        }
        let after = self.attempt;
        self.attempt = attempt.max(after);
        if self.holder.is_none_or(|holder| holder.worker_id != by) {
            Err(Violation::NotHeld { by })
        } else if recorded {
            Err(Violation::DeliveredAfterCheckpoint { by })
        } else if attempt <= after {
            Err(Violation::AttemptWentBack { by, attempt, after })
        } else {
            Ok(())
        }
    }

    /// Records that the target accepted a delivery.
    ///
    /// # Errors
    /// It is a duplicate without a known reason.
    pub fn accepted(&mut self, by: WorkerId) -> Result<(), Violation> {
        let late = self.taken_over.contains(&by);
        let explained = self.accepted == 0 || self.duplicate_allowed || late;
        self.accepted += 1;
        // The holder cannot have recorded it.
        self.duplicate_allowed = late;
        if explained { Ok(()) } else { Err(Violation::DuplicateAcceptance { by }) }
    }

    /// Allows one more delivery, because the response or the checkpoint of the latest one was lost.
    pub fn allow_duplicate(&mut self) {
        self.duplicate_allowed = true;
    }

    /// Returns whether a lease was ever taken over from a running worker.
    #[must_use]
    pub const fn lease_was_taken_over(&self) -> bool {
        self.lease_was_taken_over
    }

    /// Returns how often the target has accepted the event.
    #[must_use]
    pub const fn accepted_times(&self) -> u32 {
        self.accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: WorkerId = 1;
    const SECOND: WorkerId = 2;
    const LEASE_ENDS: Timestamp = Timestamp::from_millis(1_000);

    /// Returns a witness of an event that the first worker has claimed.
    fn held(clocks: Clocks) -> Witness {
        let mut witness = Witness::of(clocks);
        assert_eq!(witness.claimed(FIRST, at(0), LEASE_ENDS), Ok(()));
        witness
    }

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn claim_of_a_running_lease_is_a_violation_unless_released() {
        let (by, from) = (SECOND, FIRST);
        for (now, violation) in [
            (1_000, Violation::ClaimedUnderLease { by, from }),
            (1_001, Violation::LeaseTooShort { by, from }),
        ] {
            let mut witness = held(Clocks::Bounded);
            assert_eq!(witness.claimed(SECOND, at(now), at(9_000)), Err(violation));
        }
        for leaves in [Witness::ended, Witness::released] {
            let mut witness = held(Clocks::Bounded);
            leaves(&mut witness, FIRST);
            assert_eq!(witness.claimed(SECOND, at(1), at(9_000)), Ok(()));
        }
    }

    #[test]
    fn clock_skew_allows_lease_takeover_only_after_expiry() {
        let (by, from) = (SECOND, FIRST);
        let mut witness = held(Clocks::Unbounded);
        let taken = Violation::ClaimedUnderLease { by, from };
        assert_eq!(witness.clone().claimed(SECOND, at(1_000), at(9_000)), Err(taken));
        assert_eq!(witness.claimed(SECOND, at(1_001), at(9_000)), Ok(()));
        assert_eq!(witness.refused(FIRST), Ok(()));
        assert!(witness.is_held_by_another(FIRST));
        let refused = Violation::HolderRefused { by: SECOND };
        assert_eq!(witness.refused(SECOND), Err(refused));
    }

    #[test]
    fn delivery_needs_a_claim_a_new_attempt_and_no_checkpoint() {
        let mut witness = held(Clocks::Bounded);
        let by = SECOND;
        let not_held = Violation::NotHeld { by };
        assert_eq!(witness.clone().delivering(by, 1, false), Err(not_held));
        let by = FIRST;
        let again = Violation::DeliveredAfterCheckpoint { by };
        assert_eq!(witness.clone().delivering(by, 1, true), Err(again));
        assert_eq!(witness.delivering(by, 2, false), Ok(()));
        let (attempt, after) = (2, 2);
        let back = Violation::AttemptWentBack { by, attempt, after };
        assert_eq!(witness.clone().delivering(by, attempt, false), Err(back));
        assert_eq!(witness.delivering(by, 3, false), Ok(()));
    }

    #[test]
    fn duplicate_acceptance_is_a_violation_without_an_excuse() {
        let mut witness = held(Clocks::Bounded);
        let twice = Err(Violation::DuplicateAcceptance { by: FIRST });
        assert_eq!(witness.accepted(FIRST), Ok(()));
        assert_eq!(witness.clone().accepted(FIRST), twice);
        witness.allow_duplicate();
        assert_eq!(witness.accepted(FIRST), Ok(()));
        assert_eq!(witness.accepted(FIRST), twice);
        assert_eq!(witness.accepted_times(), 3);
    }
}
