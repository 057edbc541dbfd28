//! The life of one dead letter inside one delivery.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::dead_letter::DeadLetter;
use crate::destination::Destination;
use crate::failure::{Certainty, Disposition, FailureCode};
use crate::genesys::{Interaction, RetryMark, RetryStatus};
use crate::ledger::{
    About, Claim, ClaimRequest, EventKey, Lease, Ledger, LedgerError, Reopen, Settlement,
};
use crate::message::Message;
use crate::target::{Delivery, Target};
use crate::telemetry::{millis, with_causes};

use super::breaker::{Breaker, OpenBreaker, Permit, Watch};
use super::giving_up::Reason;
use super::policy::{AttemptFailure, NextStep, Situation, Upstream};
use super::{Outcome, Ports, Replay, TimeBox, Verdict};

/// One record that turned out to be a dead letter.
pub(super) struct Work<'b> {
    pub(super) message: &'b Message,
    pub(super) letter: &'b DeadLetter<'b>,
    pub(super) destination: Destination,
    /// The destination as people may read it.
    pub(super) target: String,
    pub(super) key: EventKey,
    /// Looked at when the record is cut off.
    progress: Mutex<Progress>,
}

/// How far a record has come, as far as being cut off is concerned.
enum Progress {
    /// Nothing is held, nothing is sent.
    Begun,
    /// The event is ours and may be given back.
    Holding(Lease),
    /// The same, with a delivery under way.
    Sending(Lease),
    /// The target has accepted: only the end of the lease may pass the event on, since a write that
    /// says so may still be on its way.
    Accepted {
        /// Whether the ledger knows.
        known: bool,
    },
}

impl<'b> Work<'b> {
    pub(super) fn new(
        message: &'b Message,
        letter: &'b DeadLetter<'b>,
        destination: Destination,
        key: EventKey,
    ) -> Self {
        Self {
            message,
            letter,
            target: destination.to_string(),
            destination,
            key,
            progress: Mutex::new(Progress::Begun),
        }
    }

    fn set(&self, progress: Progress) -> Progress {
        let mut current = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, progress)
    }
}

/// The invocation it happens in.
#[derive(Clone, Copy)]
pub(super) struct Frame<'b> {
    pub(super) request_id: &'b str,
    pub(super) lease_until: Timestamp,
    pub(super) time: TimeBox,
}

/// What is known of the interaction.
pub(super) enum Marker {
    NotLookedFor,
    Found(Option<Interaction>),
}

impl Marker {
    fn interaction(&self) -> Option<&Interaction> {
        match self {
            Self::NotLookedFor => None,
            Self::Found(interaction) => interaction.as_ref(),
        }
    }
}

impl<P: Ports> Replay<P> {
    /// Claims an event and takes it as far as it goes in this delivery.
    pub(super) async fn record(&self, work: &Work<'_>, frame: Frame<'_>) -> Verdict {
        let message = work.message;
        let meant = self.policy.replays_malformed() || message.replay_plan().is_some();
        if work.letter.failure.category().is_malformed() && !meant {
            return self.keep_malformed(work).await;
        }
        let _permits = match self.admit(work) {
            Ok(permits) => permits,
            Err(refusal) => {
                // Receives go by even so: in a long outage they must last.
                let after = refusal.after.max(self.pause(message));
                let code = FailureCode::BreakerOpen;
                return Verdict::from(Outcome::NotAttempted { after, code }).because(&refusal);
            }
        };
        match self.claim(work, frame).await {
            Ok(Claim::Acquired(lease)) if work.letter.own_echo => {
                self.keep_own_echo(work, &lease).await
            }
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                self.finish(work, frame, lease, Marker::NotLookedFor).await
            }
            Ok(Claim::Acquired(lease)) => {
                work.set(Progress::Holding(lease.clone()));
                self.attempts(work, frame, lease).await
            }
            Ok(Claim::AlreadyDone) => Outcome::Duplicate.into(),
            Ok(Claim::GivenUp(code)) => {
                Verdict::from(Outcome::Returned { code }).because("the event was given up before")
            }
            Ok(Claim::HeldUntil(until)) => {
                let after = until.since(self.clock.now());
                let code = FailureCode::HeldElsewhere;
                Verdict::from(Outcome::Deferred { after, code })
                    .because("another worker holds the event")
            }
            Err(error) => self.ledger_failed(message, &error),
        }
    }

    /// Asks every upstream's breaker; `Err` tells of the first that is open.
    fn admit(&self, work: &Work<'_>) -> Result<Vec<Permit>, OpenBreaker> {
        let is_sent = !work.letter.own_echo && work.destination.can_be_called();
        let interaction = work.letter.interaction.as_ref().filter(|_| is_sent);
        let needs_genesys = self.retry_state.is_needed_for(interaction);
        let genesys = needs_genesys.then(|| self.breakers.genesys.clone());
        let target = is_sent.then(|| self.breakers.target(&work.destination));
        let now = self.clock.now();
        [Some(self.breakers.ledger.clone()), genesys, target]
            .into_iter()
            .flatten()
            .map(|breaker| breaker.admit(now))
            .collect()
    }

    async fn claim(&self, work: &Work<'_>, frame: Frame<'_>) -> Result<Claim, LedgerError> {
        let message = work.message;
        let letter = work.letter;
        let claim = self
            .ledger
            .claim(&ClaimRequest {
                key: &work.key,
                owner: format!("{}/{}", frame.request_id, message.id),
                now: self.clock.now(),
                lease_until: frame.lease_until,
                reopen: match (message.replay_plan(), &self.archive) {
                    (Some(_), _) => Reopen::FailedAndArchived,
                    (None, Some(_)) => Reopen::Failed,
                    (None, None) => Reopen::Nothing,
                },
                about: About {
                    message_id: &message.id,
                    interaction_id: letter.interaction.as_ref().map(|it| it.id.as_str()),
                    category: letter.failure.category().as_str(),
                    target: &work.target,
                },
            })
            .await;
        let transient = |_: &LedgerError| Disposition::Transient { after: None };
        self.watch(&self.breakers.ledger).note(claim, transient)
    }

    /// Attempts until one succeeds or policy ends them.
    async fn attempts(&self, work: &Work<'_>, frame: Frame<'_>, mut lease: Lease) -> Verdict {
        let mut marker = Marker::NotLookedFor;
        let mut possible_duplicate = false;
        let mut tries = 1;
        loop {
            let Err(failure) = self.attempt(work, &lease, &mut marker).await else {
                let mut verdict = self.finish(work, frame, lease, marker).await;
                verdict.possible_duplicate |= possible_duplicate;
                return verdict;
            };
            possible_duplicate |= failure.certainty == Certainty::Unknown;
            let verdict = match self.next_step(work, frame, &failure, lease.attempt, tries) {
                NextStep::Again { after } => {
                    note_retry(work, &failure, lease.attempt, after);
                    tokio::time::sleep(after).await;
                    match self.ledger.next_attempt(&lease).await {
                        Ok(next) => lease = next,
                        Err(error) => {
                            return Verdict {
                                possible_duplicate,
                                ..self.ledger_failed(work.message, &error)
                            };
                        }
                    }
                    work.set(Progress::Holding(lease.clone()));
                    tries += 1;
                    continue;
                }
                NextStep::Defer { after } => {
                    let code = failure.code;
                    self.release(work, &lease, code).await;
                    Verdict::from(Outcome::Deferred { after, code })
                }
                NextStep::GiveUp { code, status } => {
                    let words = &failure.reason;
                    let reason = Reason { code, words };
                    self.give_up(work, frame, &lease, marker.interaction(), status, reason)
                        .await
                }
            };
            return Verdict {
                attempt: Some(lease.attempt),
                disposition: Some(failure.disposition),
                possible_duplicate,
                ..verdict.because(&failure.reason)
            };
        }
    }

    /// One attempt: find the interaction unless it was found before, mark it, deliver.
    async fn attempt(
        &self,
        work: &Work<'_>,
        lease: &Lease,
        marker: &mut Marker,
    ) -> Result<(), AttemptFailure> {
        let letter = work.letter;
        let mark = RetryMark {
            attempt: lease.attempt,
            status: RetryStatus::Retrying,
        };
        self.find_and_mark(work, marker, mark).await?;
        work.set(Progress::Sending(lease.clone()));
        let delivered = self
            .target
            .deliver(&Delivery {
                destination: &work.destination,
                payload: &letter.payload,
                attempt_count: letter.failure.retry_attempts.saturating_add(lease.attempt),
                key: &work.key,
                event_type: letter.event_type.as_deref(),
                interaction_id: letter.interaction.as_ref().map(|it| it.id.as_str()),
            })
            .await;
        work.set(Progress::Holding(lease.clone()));
        self.watch(&self.breakers.target(&work.destination))
            .note(delivered, |error| error.disposition)?;
        Ok(())
    }

    /// After the target accepted: write that down first, then mark and complete.
    async fn finish(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        lease: Lease,
        marker: Marker,
    ) -> Verdict {
        work.set(Progress::Accepted {
            known: lease.delivered.is_some(),
        });
        // Once the target has accepted, coming back means delivering again unless the ledger knows.
        let (lease, known) = if lease.delivered.is_some() {
            (lease, true)
        } else {
            match self.ledger.checkpoint(&lease).await {
                Ok(lease) => {
                    work.set(Progress::Accepted { known: true });
                    (lease, true)
                }
                // Delivered, and whoever holds the event now cannot know.
                Err(error @ LedgerError::LeaseLost) => {
                    return Verdict {
                        possible_duplicate: true,
                        ..self.ledger_failed(work.message, &error)
                    };
                }
                Err(LedgerError::Unavailable(_)) => {
                    let delivered = Some(lease.attempt);
                    (Lease { delivered, ..lease }, false)
                }
            }
        };
        let attempt = Some(lease.shown_attempt());
        let in_the_end = self
            .mark_in_the_end(work, frame, &lease, marker, RetryStatus::ReplaySuccessful)
            .await;
        let shortfall = in_the_end
            .is_err()
            .then_some(FailureCode::RetryStateNotWritten);
        if let Err(failure) = &in_the_end
            && known
            && !self.policy.is_last(work.message.receive_count)
        {
            let code = FailureCode::RetryStateNotWritten;
            let after = self.deferral(work.message, failure);
            self.release(work, &lease, code).await;
            return Verdict {
                attempt,
                disposition: Some(failure.disposition),
                ..Verdict::from(Outcome::Deferred { after, code }).because(&failure.reason)
            };
        }
        let verdict = Verdict {
            attempt,
            shortfall,
            reason: in_the_end.err().map(|failure| failure.reason),
            ..Outcome::Replayed.into()
        };
        let settlement = Settlement::Completed(shortfall);
        match self
            .ledger
            .settle(&lease, settlement, self.clock.now())
            .await
        {
            Ok(()) => verdict,
            Err(error) if known => Verdict {
                attempt,
                ..self.ledger_failed(work.message, &error)
            },
            // Neither write came through. The event is where it belongs, and sending the message
            // back would deliver it a second time: better an item that stays unfinished.
            Err(error) => Verdict {
                shortfall: Some(FailureCode::LedgerUnavailable),
                reason: Some(with_causes(&error)),
                ..verdict
            },
        }
    }

    /// Writes the closing mark, waiting here as long as policy allows.
    pub(super) async fn mark_in_the_end(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        lease: &Lease,
        mut marker: Marker,
        status: RetryStatus,
    ) -> Result<(), AttemptFailure> {
        let mark = RetryMark {
            attempt: lease.shown_attempt(),
            status,
        };
        let mut tries = 1;
        loop {
            let Err(failure) = self.find_and_mark(work, &mut marker, mark).await else {
                return Ok(());
            };
            match self.next_step(work, frame, &failure, tries, tries) {
                NextStep::Again { after } => {
                    note_retry(work, &failure, mark.attempt, after);
                    tokio::time::sleep(after).await;
                    tries += 1;
                }
                NextStep::Defer { .. } | NextStep::GiveUp { .. } => return Err(failure),
            }
        }
    }

    async fn find_and_mark(
        &self,
        work: &Work<'_>,
        marker: &mut Marker,
        mark: RetryMark,
    ) -> Result<(), AttemptFailure> {
        let watch = self.watch(&self.breakers.genesys);
        if matches!(marker, Marker::NotLookedFor) {
            let interaction = work.letter.interaction.as_ref();
            *marker = Marker::Found(self.retry_state.find(interaction, &watch).await?);
        }
        self.retry_state
            .mark(marker.interaction(), mark, &watch)
            .await?;
        Ok(())
    }

    fn watch(&self, breaker: &Breaker) -> Watch<'_> {
        Watch {
            breaker: breaker.clone(),
            clock: self.clock.as_ref(),
        }
    }

    fn next_step(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        failure: &AttemptFailure,
        attempt: u32,
        tries: u32,
    ) -> NextStep {
        let breaker = match failure.upstream {
            Upstream::Genesys | Upstream::OwnPace => self.breakers.genesys.clone(),
            Upstream::Target => self.breakers.target(&work.destination),
        };
        let situation = Situation {
            attempt,
            tries,
            last_receive: self.policy.is_last(work.message.receive_count),
            may_ask_again: !breaker.is_open(self.clock.now()),
            time_for_wait: frame.time.longest_wait(),
        };
        self.policy
            .next_step(failure, &situation, self.random.unit())
    }

    /// How long a message stays away whose bookkeeping is all that is left.
    /// It grows with the receives, since the number of the attempt stays.
    pub(super) fn deferral(&self, message: &Message, failure: &AttemptFailure) -> Duration {
        let attempt = message.receive_count;
        self.policy
            .deferral(failure.disposition, attempt, self.random.unit())
    }

    /// Gives the event back. Should that fail, it stays held until the lease ends; a message that
    /// comes back sooner is deferred once more.
    pub(super) async fn release(&self, work: &Work<'_>, lease: &Lease, code: FailureCode) {
        let settlement = Settlement::Deferred(code);
        if let Err(error) = self
            .ledger
            .settle(lease, settlement, self.clock.now())
            .await
        {
            tracing::warn!(
                message_id = %work.message.id,
                failure_code = FailureCode::LedgerUnavailable.as_str(),
                error = with_causes(&error),
                "event not released, held until its lease ends"
            );
        }
    }

    /// Gives the event of a record back that was cut off, where that may be. Says whether the
    /// target may have acted.
    pub(super) async fn release_cut_off(&self, work: &Work<'_>, code: FailureCode) -> bool {
        match work.set(Progress::Begun) {
            Progress::Begun => false,
            Progress::Holding(lease) => {
                self.release(work, &lease, code).await;
                false
            }
            Progress::Sending(lease) => {
                self.release(work, &lease, code).await;
                true
            }
            Progress::Accepted { known } => !known,
        }
    }

    /// How long a message stays away whose attempt says nothing of it.
    pub(super) fn pause(&self, message: &Message) -> Duration {
        self.policy.pause(message.receive_count, self.random.unit())
    }

    pub(super) fn ledger_failed(&self, message: &Message, error: &LedgerError) -> Verdict {
        let code = match error {
            LedgerError::Unavailable(_) => FailureCode::LedgerUnavailable,
            LedgerError::LeaseLost => FailureCode::HeldElsewhere,
        };
        let after = self.pause(message);
        Verdict::from(Outcome::Deferred { after, code }).because(&with_causes(error))
    }
}

fn note_retry(work: &Work<'_>, failure: &AttemptFailure, attempt: u32, after: Duration) {
    tracing::info!(
        message_id = %work.message.id,
        failure_code = failure.code.as_str(),
        attempt,
        delay_ms = millis(after),
        error = failure.reason,
        "attempt failed, trying again"
    );
}
