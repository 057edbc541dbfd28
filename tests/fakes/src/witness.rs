//! What must never happen to an event, whoever tells of it: the simulation of whole workers, or the
//! model of a claim's life.

use std::collections::BTreeSet;

use genesys_replay::clock::Timestamp;

/// A worker from its start to its end; a number that is not used again.
pub type Life = u64;

/// How far the clocks of workers are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Clocks {
    /// Less than the margin by which a lease outlives its worker: nobody is ever overtaken.
    #[default]
    Near,
    /// Anything: a lease may end while its holder works. What the holder does then is late, and only
    /// the conditions on its writes keep it from doing harm.
    Wild,
}

/// What a witness of one event's life has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Witness {
    clocks: Clocks,
    holder: Option<Holder>,
    /// Who works on without holding the event any more.
    overtaken: BTreeSet<Life>,
    /// Whether anybody ever was.
    disturbed: bool,
    /// The number of the latest delivery.
    attempt: u32,
    accepted: u32,
    /// Whether it is known why the ledger may not know of the latest acceptance.
    excused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Holder {
    life: Life,
    lease_until: Timestamp,
}

/// What must not have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// A lease protects nobody.
    #[error("life {by} takes it from life {from}, whose lease runs")]
    TakenUnderLease {
        /// Who has it now.
        by: Life,
        /// Who had it.
        from: Life,
    },
    /// A lease ends before its worker, though the clocks are right.
    #[error("life {by} takes it from life {from}, which still works: the lease was too short")]
    LeaseTooShort {
        /// Who has it now.
        by: Life,
        /// Who had it.
        from: Life,
    },
    /// The ledger takes an event away from its holder.
    #[error("the ledger refuses life {by}, which holds it")]
    HolderRefused {
        /// Who holds it.
        by: Life,
    },
    /// Nobody could have taken it so soon.
    #[error("life {by} has lost it before it knows that it has it")]
    LostAtOnce {
        /// Who asked for it.
        by: Life,
    },
    /// The conditions on the ledger's writes do not hold.
    #[error("the ledger takes a write of life {by}, though another holds it")]
    LateWriteTaken {
        /// Who wrote.
        by: Life,
    },
    /// A delivery without a claim.
    #[error("life {by} delivers it and does not hold it")]
    NotHeld {
        /// Who delivers.
        by: Life,
    },
    /// A delivery of what is known to be delivered.
    #[error("life {by} delivers it although the ledger knows that it was delivered")]
    DeliveredAgain {
        /// Who delivers.
        by: Life,
    },
    /// Attempts go back.
    #[error("life {by} delivers it as attempt {attempt}, after attempt {after}")]
    AttemptWentBack {
        /// Who delivers.
        by: Life,
        /// What it is said to be.
        attempt: u32,
        /// What was before.
        after: u32,
    },
    /// A repetition that nothing explains.
    #[error("life {by} gets it accepted again, though no answer was lost and nobody died on it")]
    AcceptedTwice {
        /// Who delivers.
        by: Life,
    },
}

impl Witness {
    /// Has seen nothing yet, in a world of such clocks.
    #[must_use]
    pub fn of(clocks: Clocks) -> Self {
        Self {
            clocks,
            ..Self::default()
        }
    }

    /// The ledger has told `by`, whose clock shows `now`, that the event is its own.
    ///
    /// # Errors
    /// Another still holds it.
    pub fn claimed(
        &mut self,
        by: Life,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<(), Violation> {
        // Who holds it now may not have known so when this was asked.
        self.claiming(now);
        let life = by;
        let before = self.holder.replace(Holder { life, lease_until });
        self.overtaken.remove(&by);
        match before {
            Some(Holder { life: from, .. }) if from == by => Ok(()),
            Some(Holder {
                life: from,
                lease_until,
            }) if lease_until >= now => Err(Violation::TakenUnderLease { by, from }),
            Some(Holder { life: from, .. }) => Err(Violation::LeaseTooShort { by, from }),
            None => Ok(()),
        }
    }

    /// Somebody whose clock shows `now` asks the ledger for the event. Whether it is granted shows
    /// later, or never: the answer takes its time and may be lost.
    pub fn claiming(&mut self, now: Timestamp) {
        match self.clocks {
            Clocks::Near => {}
            Clocks::Wild => {
                if let Some(late) = self.holder.take_if(|holder| holder.lease_until < now) {
                    self.overtakes(late.life);
                }
            }
        }
    }

    /// The ledger has told `by` that the event is its own, and by then somebody else had taken it.
    ///
    /// # Errors
    /// Clocks do not explain it.
    pub fn claimed_and_lost(&mut self, by: Life) -> Result<(), Violation> {
        match self.clocks {
            Clocks::Near => Err(Violation::LostAtOnce { by }),
            Clocks::Wild => {
                self.overtakes(by);
                Ok(())
            }
        }
    }

    /// The ledger has told `by` that it does not hold the event.
    ///
    /// # Errors
    /// But it does.
    pub fn refused(&mut self, by: Life) -> Result<(), Violation> {
        if self.holder.is_some_and(|holder| holder.life == by) {
            Err(Violation::HolderRefused { by })
        } else {
            Ok(())
        }
    }

    /// What was overtaken may still deliver, and so may who comes after it.
    fn overtakes(&mut self, life: Life) {
        self.overtaken.insert(life);
        self.disturbed = true;
        self.excused = true;
    }

    /// Whether somebody else than `life` holds the event for certain.
    #[must_use]
    pub fn is_held_without(&self, life: Life) -> bool {
        self.holder.is_some_and(|holder| holder.life != life)
    }

    /// `by` asks the ledger to end its work on the event.
    pub fn gives_back(&mut self, by: Life) {
        self.holder = self.holder.filter(|holder| holder.life != by);
    }

    /// A worker is no more: it was killed, or its invocation is over.
    pub fn ended(&mut self, life: Life) {
        self.gives_back(life);
        self.overtaken.remove(&life);
    }

    /// A delivery begins; `recorded` says whether the ledger knows of an earlier one.
    ///
    /// # Errors
    /// It should not.
    pub fn delivering(&mut self, by: Life, attempt: u32, recorded: bool) -> Result<(), Violation> {
        if self.overtaken.contains(&by) {
            return Ok(());
        }
        let after = self.attempt;
        self.attempt = attempt.max(after);
        if self.holder.is_none_or(|holder| holder.life != by) {
            Err(Violation::NotHeld { by })
        } else if recorded {
            Err(Violation::DeliveredAgain { by })
        } else if attempt <= after {
            Err(Violation::AttemptWentBack { by, attempt, after })
        } else {
            Ok(())
        }
    }

    /// The target has accepted.
    ///
    /// # Errors
    /// It had before, and nothing explains why it was asked again.
    pub fn accepted(&mut self, by: Life) -> Result<(), Violation> {
        let late = self.overtaken.contains(&by);
        let explained = self.accepted == 0 || self.excused || late;
        self.accepted += 1;
        // Who holds the event cannot know of it.
        self.excused = late;
        if explained {
            Ok(())
        } else {
            Err(Violation::AcceptedTwice { by })
        }
    }

    /// The answer to the latest acceptance was lost, or its worker died, or the ledger could not be
    /// told: the event may be delivered once more.
    pub fn excuse(&mut self) {
        self.excused = true;
    }

    /// Whether anybody has worked on it whose lease had ended.
    #[must_use]
    pub const fn was_disturbed(&self) -> bool {
        self.disturbed
    }

    /// How often the target has accepted it.
    #[must_use]
    pub const fn accepted_times(&self) -> u32 {
        self.accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Life = 1;
    const SECOND: Life = 2;
    const LEASE_ENDS: Timestamp = Timestamp::from_millis(1_000);

    /// The first worker has claimed the event.
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
            (1_000, Violation::TakenUnderLease { by, from }),
            (1_001, Violation::LeaseTooShort { by, from }),
        ] {
            let mut witness = held(Clocks::Near);
            assert_eq!(witness.claimed(SECOND, at(now), at(9_000)), Err(violation));
        }
        for leaves in [Witness::ended, Witness::gives_back] {
            let mut witness = held(Clocks::Near);
            leaves(&mut witness, FIRST);
            assert_eq!(witness.claimed(SECOND, at(1), at(9_000)), Ok(()));
        }
    }

    #[test]
    fn clock_skew_allows_lease_takeover_only_after_expiry() {
        let (by, from) = (SECOND, FIRST);
        let mut witness = held(Clocks::Wild);
        let taken = Violation::TakenUnderLease { by, from };
        assert_eq!(
            witness.clone().claimed(SECOND, at(1_000), at(9_000)),
            Err(taken)
        );
        assert_eq!(witness.claimed(SECOND, at(1_001), at(9_000)), Ok(()));
        assert_eq!(witness.refused(FIRST), Ok(()));
        assert!(witness.is_held_without(FIRST));
        let refused = Violation::HolderRefused { by: SECOND };
        assert_eq!(witness.refused(SECOND), Err(refused));
    }

    #[test]
    fn delivery_needs_a_claim_a_new_attempt_and_no_checkpoint() {
        let mut witness = held(Clocks::Near);
        let by = SECOND;
        let not_held = Violation::NotHeld { by };
        assert_eq!(witness.clone().delivering(by, 1, false), Err(not_held));
        let by = FIRST;
        let again = Violation::DeliveredAgain { by };
        assert_eq!(witness.clone().delivering(by, 1, true), Err(again));
        assert_eq!(witness.delivering(by, 2, false), Ok(()));
        let (attempt, after) = (2, 2);
        let back = Violation::AttemptWentBack { by, attempt, after };
        assert_eq!(witness.clone().delivering(by, attempt, false), Err(back));
        assert_eq!(witness.delivering(by, 3, false), Ok(()));
    }

    #[test]
    fn duplicate_acceptance_is_a_violation_without_an_excuse() {
        let mut witness = held(Clocks::Near);
        let twice = Err(Violation::AcceptedTwice { by: FIRST });
        assert_eq!(witness.accepted(FIRST), Ok(()));
        assert_eq!(witness.clone().accepted(FIRST), twice);
        witness.excuse();
        assert_eq!(witness.accepted(FIRST), Ok(()));
        assert_eq!(witness.accepted(FIRST), twice);
        assert_eq!(witness.accepted_times(), 3);
    }
}
