//! The life of one dead letter inside one delivery.

use crate::clock::Timestamp;
use crate::dead_letter::DeadLetter;
use crate::destination::Destination;
use crate::failure::{Certainty, Disposition, FailureCode};
use crate::genesys::{Genesys, GenesysError, Interaction, RetryMark, RetryStatus};
use crate::ledger::{About, Claim, ClaimRequest, EventKey, Lease, Ledger, LedgerError, Settlement};
use crate::message::Message;
use crate::target::{Delivery, Target};
use crate::telemetry::{millis, with_causes};

use super::policy::{AttemptFailure, NextStep, Situation};
use super::{Outcome, Replay, TimeBox, Verdict};

/// One record that turned out to be a dead letter.
pub(super) struct Work<'b> {
    pub(super) message: &'b Message,
    pub(super) letter: &'b DeadLetter<'b>,
    pub(super) destination: Destination,
    pub(super) key: EventKey,
}

/// The invocation it happens in.
#[derive(Clone, Copy)]
pub(super) struct Frame<'b> {
    pub(super) request_id: &'b str,
    pub(super) lease_until: Timestamp,
    pub(super) time: TimeBox,
}

/// What is known of the interaction.
enum Marker {
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

impl<L: Ledger, G: Genesys, T: Target> Replay<L, G, T> {
    /// Claims an event and takes it as far as it goes in this delivery.
    pub(super) async fn record(&self, work: &Work<'_>, frame: Frame<'_>) -> Verdict {
        let message = work.message;
        let original = work.letter.failure.category();
        if original.is_malformed() && !self.policy.replays_malformed() {
            let code = FailureCode::PayloadMalformed;
            return Verdict::from(Outcome::Returned { code })
                .because("the first delivery failed because the payload was malformed");
        }
        let now = self.clock.now();
        let claim = self
            .ledger
            .claim(&ClaimRequest {
                key: &work.key,
                owner: format!("{}/{}", frame.request_id, message.id),
                now,
                lease_until: frame.lease_until,
                about: About {
                    message_id: &message.id,
                    interaction_id: work.letter.interaction.as_ref().map(|it| it.id.as_str()),
                    category: original.as_str(),
                    target: &work.destination.to_string(),
                },
            })
            .await;
        match claim {
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                self.finish(work, frame, lease, Marker::NotLookedFor).await
            }
            Ok(Claim::Acquired(lease)) => self.attempts(work, frame, lease).await,
            Ok(Claim::AlreadyDone) => Outcome::Duplicate.into(),
            Ok(Claim::GivenUp(code)) => {
                Verdict::from(Outcome::Returned { code }).because("the event was given up before")
            }
            Ok(Claim::HeldUntil(until)) => {
                let (after, code) = (until.since(now), FailureCode::HeldElsewhere);
                Verdict::from(Outcome::Deferred { after, code })
                    .because("another worker holds the event")
            }
            Err(error) => self.ledger_failed(message, &error),
        }
    }

    /// Attempts until one succeeds or policy ends them.
    async fn attempts(&self, work: &Work<'_>, frame: Frame<'_>, mut lease: Lease) -> Verdict {
        let mut marker = Marker::NotLookedFor;
        let mut possible_duplicate = false;
        let mut tries = 1;
        loop {
            let Err(failure) = self.attempt(work, &lease, &mut marker).await else {
                let verdict = self.finish(work, frame, lease, marker).await;
                return Verdict {
                    possible_duplicate,
                    ..verdict
                };
            };
            possible_duplicate |= failure.certainty == Certainty::Unknown;
            let verdict = match self.next_step(work, frame, &failure, lease.attempt, tries) {
                NextStep::Again { after } => {
                    note_retry(work, &failure, lease.attempt, after);
                    tokio::time::sleep(after).await;
                    match self.ledger.next_attempt(&lease).await {
                        Ok(next) => lease = next,
                        Err(error) => return self.ledger_failed(work.message, &error),
                    }
                    tries += 1;
                    continue;
                }
                NextStep::Defer { after } => {
                    let code = failure.code;
                    self.release(&lease, code).await;
                    Verdict::from(Outcome::Deferred { after, code })
                }
                NextStep::GiveUp { code, status } => {
                    self.give_up(work, frame, &lease, marker.interaction(), code, status)
                        .await
                }
            };
            return Verdict {
                attempt: Some(lease.attempt),
                disposition: Some(failure.disposition),
                possible_duplicate,
                reason: Some(failure.reason),
                ..verdict
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
        if matches!(marker, Marker::NotLookedFor) {
            *marker = Marker::Found(
                self.retry_state
                    .find(work.letter.interaction.as_ref())
                    .await?,
            );
        }
        let mark = RetryMark {
            attempt: lease.attempt,
            status: RetryStatus::Retrying,
        };
        self.retry_state.mark(marker.interaction(), mark).await?;
        self.target
            .deliver(&Delivery {
                destination: &work.destination,
                payload: &work.letter.payload,
                attempt_count: work
                    .letter
                    .failure
                    .retry_attempts
                    .saturating_add(lease.attempt),
                key: &work.key,
            })
            .await?;
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
        // Once the target has accepted, coming back means delivering again unless the ledger knows.
        let (lease, known) = if lease.delivered.is_some() {
            (lease, true)
        } else {
            match self.ledger.checkpoint(&lease).await {
                Ok(lease) => (lease, true),
                Err(error @ LedgerError::LeaseLost) => {
                    return self.ledger_failed(work.message, &error);
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
            let after = self.deferral(&lease, failure);
            self.release(&lease, code).await;
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
        let settled = self
            .ledger
            .settle(&lease, Settlement::Completed(shortfall), self.clock.now())
            .await;
        match settled {
            Ok(()) => verdict,
            Err(error) if known => Verdict {
                attempt,
                ..self.ledger_failed(work.message, &error)
            },
            // Neither write came through. The event is where it belongs, and sending the message
            // back would deliver it a second time: better an item that stays unfinished.
            Err(error) => Verdict {
                shortfall: Some(FailureCode::LedgerUnavailable),
                ..verdict.because(&with_causes(&error))
            },
        }
    }

    /// Marks the interaction as given up and the event as failed.
    async fn give_up(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        lease: &Lease,
        interaction: Option<&Interaction>,
        code: FailureCode,
        status: RetryStatus,
    ) -> Verdict {
        let marker = Marker::Found(interaction.cloned());
        if let Err(failure) = self
            .mark_in_the_end(work, frame, lease, marker, status)
            .await
        {
            let worth_another_delivery = match failure.disposition {
                Disposition::Permanent => false,
                Disposition::Transient { .. } => !self.policy.is_last(work.message.receive_count),
                Disposition::Operator => true,
            };
            if worth_another_delivery {
                let after = self.deferral(lease, &failure);
                self.release(lease, failure.code).await;
                return Outcome::Deferred {
                    after,
                    code: failure.code,
                }
                .into();
            }
            tracing::warn!(
                message_id = %work.message.id,
                failure_code = FailureCode::RetryStateNotWritten.as_str(),
                error = failure.reason,
                "event given up without its mark"
            );
        }
        match self
            .ledger
            .settle(lease, Settlement::Failed(code), self.clock.now())
            .await
        {
            Ok(()) => Outcome::Returned { code }.into(),
            Err(error) => self.ledger_failed(work.message, &error),
        }
    }

    /// Writes the closing mark, waiting here as long as policy allows.
    async fn mark_in_the_end(
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
            let Err(error) = self.find_and_mark(work, &mut marker, mark).await else {
                return Ok(());
            };
            let failure = AttemptFailure::from(error);
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
    ) -> Result<(), GenesysError> {
        if matches!(marker, Marker::NotLookedFor) {
            *marker = Marker::Found(
                self.retry_state
                    .find(work.letter.interaction.as_ref())
                    .await?,
            );
        }
        self.retry_state.mark(marker.interaction(), mark).await
    }

    fn next_step(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        failure: &AttemptFailure,
        attempt: u32,
        tries: u32,
    ) -> NextStep {
        let situation = Situation {
            attempt,
            tries,
            last_receive: self.policy.is_last(work.message.receive_count),
            time_for_wait: frame.time.longest_wait(),
        };
        self.policy
            .next_step(failure, &situation, self.random.unit())
    }

    /// How long a message stays away whose bookkeeping is all that is left.
    fn deferral(&self, lease: &Lease, failure: &AttemptFailure) -> std::time::Duration {
        self.policy.deferral(
            failure.disposition,
            lease.shown_attempt(),
            self.random.unit(),
        )
    }

    /// Gives the event back. Should that fail, it stays held until the lease ends, which is before
    /// the queue shows the message again.
    async fn release(&self, lease: &Lease, code: FailureCode) {
        let settled = self
            .ledger
            .settle(lease, Settlement::Deferred(code), self.clock.now())
            .await;
        if let Err(error) = settled {
            tracing::warn!(
                failure_code = FailureCode::LedgerUnavailable.as_str(),
                error = with_causes(&error),
                "event not released, held until its lease ends"
            );
        }
    }

    fn ledger_failed(&self, message: &Message, error: &LedgerError) -> Verdict {
        let code = match error {
            LedgerError::Unavailable(_) => FailureCode::LedgerUnavailable,
            LedgerError::LeaseLost => FailureCode::HeldElsewhere,
        };
        let after = self.policy.pause(message.receive_count, self.random.unit());
        Verdict::from(Outcome::Deferred { after, code }).because(&with_causes(error))
    }
}

fn note_retry(work: &Work<'_>, failure: &AttemptFailure, attempt: u32, after: std::time::Duration) {
    tracing::info!(
        message_id = %work.message.id,
        failure_code = failure.code.as_str(),
        attempt,
        delay_ms = millis(after),
        error = failure.reason,
        "attempt failed, trying again"
    );
}
