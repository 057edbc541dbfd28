//! The life of one dead letter inside one delivery.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::breaker::{Breaker, OpenBreaker, Permit, Watch};
use super::giving_up::Reason;
use super::policy::{AttemptFailure, NextStep, Situation, Upstream};
use super::work::{CutOff, Frame, Marker, Progress, Work};
use super::{Outcome, Ports, Replay, Verdict};
use crate::clock::millis;
use crate::error::with_causes;
use crate::failure::{Certainty, Disposition, FailureCode, Receipt};
use crate::genesys::{RetryMark, RetryStatus};
use crate::ledger::{
    About, AnswerCounts, Claim, ClaimRequest, Lease, Ledger, LedgerError, Reopen, Settlement,
};
use crate::message::Message;
use crate::target::{Delivery, Target};

impl<P: Ports> Replay<P> {
    /// Claims an event and takes it as far as it goes in this delivery.
    pub(super) async fn record(&self, work: &Work<'_>, frame: Frame<'_>) -> Verdict {
        let message = work.message;
        if self.is_kept_as_malformed(work) {
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
        let mut claim = self.claim(work, frame).await;
        if let (Ok(Claim::Delivered(accepted)), Some(report)) = (&claim, work.report()) {
            if !report.is_about(accepted, &work.destination, message.id.as_str()) {
                return self.record_of_earlier_delivery(work, frame).await;
            }
            let round = accepted.round.saturating_add(1);
            let exceeds = self.policy.exceeds_rounds(round);
            let delay = if exceeds {
                Duration::ZERO
            } else {
                self.policy.round_delay(round)
            };
            let not_before = self.clock.now().plus(delay);
            if let Err(error) = self.begin_round(work, frame, accepted, not_before).await {
                return self.ledger_failed(message, &error);
            }
            self.breakers
                .target(&work.destination)
                .failed(self.clock.now(), None);
            if !exceeds {
                return self.round_follows(round, not_before);
            }
            // Taken up once more, only to be rejected.
            claim = self.claim(work, frame).await;
        }
        match claim {
            Ok(Claim::Acquired(lease)) if work.letter.own_echo => {
                self.keep_own_echo(work, &lease).await
            }
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                self.finish(work, frame, lease, Marker::NotLookedFor).await
            }
            Ok(Claim::Acquired(lease)) if self.policy.exceeds_rounds(lease.round) => {
                work.set(Progress::Holding(lease.clone()));
                Box::pin(self.reject_after_rounds(work, frame, &lease)).await
            }
            Ok(Claim::Acquired(lease)) if lease.is_in_first_round() => {
                work.set(Progress::Holding(lease.clone()));
                match self.former_end(work, &lease).await {
                    Ok(None) => self.attempts(work, frame, lease).await,
                    Ok(Some(verdict)) => verdict,
                    Err(error) => {
                        self.release(work, &lease, FailureCode::LedgerUnavailable)
                            .await;
                        self.ledger_failed(message, &error)
                    }
                }
            }
            Ok(Claim::Acquired(lease)) => {
                work.set(Progress::Holding(lease.clone()));
                self.attempts(work, frame, lease).await
            }
            Ok(Claim::AlreadyDone) => Outcome::Duplicate.into(),
            // Changed since it was read: the next receive compares anew.
            Ok(Claim::Delivered(_)) => self.ledger_failed(message, &LedgerError::LeaseLost),
            Ok(Claim::GivenUp(code)) => {
                Verdict::from(Outcome::Returned { code }).because("the event was given up before")
            }
            Ok(Claim::Delayed { round, until }) => self.round_follows(round, until),
            Ok(Claim::HeldUntil(until)) => {
                let after = until.since(self.clock.now());
                let code = FailureCode::HeldElsewhere;
                Verdict::from(Outcome::Deferred { after, code })
                    .because("another worker holds the event")
            }
            Err(error) => self.ledger_failed(message, &error),
        }
    }

    /// Returns true for an event that was malformed the first time, and that nobody wants to replay all the same.
    pub(super) fn is_kept_as_malformed(&self, work: &Work<'_>) -> bool {
        let meant = self.policy.replays_malformed() || work.message.replay_plan().is_some();
        work.letter.failure.category().is_malformed() && !meant
    }

    /// Asks every upstream's breaker; `Err` tells of the first that is open.
    fn admit(&self, work: &Work<'_>) -> Result<Vec<Permit>, OpenBreaker> {
        // An echo of our own marks is only kept. All else is marked, even if nothing is sent.
        let is_replayed = !work.letter.own_echo;
        let interaction = work.letter.marked_interaction().filter(|_| is_replayed);
        let needs_genesys = self.retry_state.is_needed_for(interaction);
        let genesys = needs_genesys.then(|| self.breakers.genesys.clone());
        let target = is_replayed.then(|| self.breakers.target(&work.destination));
        let now = self.clock.now();
        [Some(self.breakers.ledger.clone()), genesys, target]
            .into_iter()
            .flatten()
            .map(|breaker| breaker.admit(now))
            .collect()
    }

    pub(super) async fn claim(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
    ) -> Result<Claim, LedgerError> {
        self.claim_by(work, &self.claim_request(work, frame)).await
    }

    pub(super) async fn claim_by(
        &self,
        work: &Work<'_>,
        request: &ClaimRequest<'_>,
    ) -> Result<Claim, LedgerError> {
        let message = work.message;
        let call = self.ledger.claim(request);
        let claim = self.ledger_latency.measure(call).await;
        if let Err(error @ LedgerError::Unreadable(_)) = &claim {
            tracing::error!(
                message_id = %message.id,
                event_id = work.event_id(),
                error = with_causes(error),
                "ledger item not readable, message deferred"
            );
        }
        self.watch(&self.breakers.ledger)
            .note(claim, |error| match error {
                LedgerError::Unavailable(_) => Disposition::Transient { after: None },
                // The ledger has answered.
                LedgerError::Unreadable(_) | LedgerError::LeaseLost => Disposition::Permanent,
            })
    }

    pub(super) fn claim_request<'w>(
        &self,
        work: &'w Work<'_>,
        frame: Frame<'_>,
    ) -> ClaimRequest<'w> {
        let (message, letter) = (work.message, work.letter);
        ClaimRequest {
            key: &work.key,
            owner: format!("{}/{}", frame.request_id, message.id),
            now: self.clock.now(),
            lease_until: frame.lease_until,
            reopen: match (message.replay_plan(), &self.archive) {
                (Some(_), _) => Reopen::FailedAndArchived,
                (None, Some(_)) => Reopen::Failed,
                (None, None) => Reopen::Nothing,
            },
            is_failure_record: work.report().is_some(),
            ignores_delay: message.replay_plan().is_some(),
            about: About {
                message_id: &message.id,
                interaction_id: letter.interaction.as_ref().map(|it| it.id.as_str()),
                category: letter.failure.category().as_str(),
                target: &work.target,
            },
        }
    }

    /// Attempts until one succeeds or policy ends them.
    async fn attempts(&self, work: &Work<'_>, frame: Frame<'_>, mut lease: Lease) -> Verdict {
        let is_wanted = work.message.replay_plan().is_some();
        if !is_wanted && self.policy.is_stale(work.letter.time, self.clock.now()) {
            return self.reject_stale(work, frame, &lease).await;
        }
        let mut marker = Marker::NotLookedFor;
        let name = work.delivery_name(&lease);
        let mut possible_duplicate = false;
        let mut tries = 1;
        let answers = lease.answers;
        loop {
            let failure = match self.attempt(work, frame, &lease, &name, &mut marker).await {
                Ok(receipt) => {
                    lease.receipt = Some(receipt);
                    let mut verdict = self.finish(work, frame, lease, marker).await;
                    verdict.possible_duplicate |= possible_duplicate;
                    return verdict;
                }
                Err(failure) => failure,
            };
            possible_duplicate |= failure.certainty == Certainty::Unknown;
            lease.note(answers, &failure);
            if failure.upstream != Upstream::Deadline {
                // Cut off from now on, the record is released with these counts.
                work.set(Progress::Holding(lease.clone()));
            }
            let situation = Situation {
                is_last: self.is_last(work, &lease).await,
                answers: lease.answers,
                target_works: self.target_works(work, &lease),
                ..self.situation(work, frame, &failure, lease.attempt, tries)
            };
            let next = self
                .policy
                .next_step(&failure, &situation, self.random.unit());
            let verdict = match next {
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
                    // Not looked for again: that may be what has failed.
                    let marker = Marker::Found(marker.interaction().cloned());
                    self.give_up(work, frame, &lease, marker, status, reason)
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
        frame: Frame<'_>,
        lease: &Lease,
        name: &str,
        marker: &mut Marker,
    ) -> Result<Receipt, AttemptFailure> {
        let letter = work.letter;
        let mark = RetryMark {
            attempt: lease.attempt,
            status: RetryStatus::Retrying,
        };
        self.find_and_mark(work, marker, mark).await?;
        let margin = self.ledger_latency.checkpoint_margin();
        if !frame.time.allows_delivery(margin) {
            return Err(AttemptFailure::out_of_time(
                Certainty::Refused,
                "the deadline is too near to deliver",
            ));
        }
        let delivery = Delivery {
            destination: &work.destination,
            payload: work.payload(),
            attempt_count: letter.failure.retry_attempts.saturating_add(lease.attempt),
            key: &work.key,
            name,
            maybe_delivered: lease.maybe_delivered,
            attributes: &work.attributes(),
            group: work.message.group.as_deref(),
            event_type: letter.event_type.as_deref(),
            interaction_id: letter.interaction.as_ref().map(|it| it.id.as_str()),
        };
        work.set(Progress::Sending(lease.clone()));
        // Before the call: the target may fail before it has answered.
        let at = self.clock.now();
        let call = self.target.deliver(&delivery);
        let Ok(delivered) = timeout_at(frame.time.delivery_end(margin), call).await else {
            // Progress stays `Sending`: the target may accept it all the same.
            return Err(AttemptFailure::out_of_time(
                Certainty::Unknown,
                "delivery cut off just before the deadline",
            ));
        };
        work.set(Progress::Holding(lease.clone()));
        let delivery_id = self
            .watch(&self.breakers.target(&work.destination))
            .note(delivered, |error| error.disposition)?;
        Ok(Receipt { delivery_id, at })
    }

    pub(super) async fn find_and_mark(
        &self,
        work: &Work<'_>,
        marker: &mut Marker,
        mark: RetryMark,
    ) -> Result<(), AttemptFailure> {
        let watch = self.watch(&self.breakers.genesys);
        let miss = |missed| work.miss(missed);
        if matches!(marker, Marker::NotLookedFor) {
            let interaction = work.letter.marked_interaction();
            *marker = Marker::Found(self.retry_state.find(interaction, &watch, miss).await?);
        }
        if marker.interaction().is_some() {
            // A later mark says all that the missed one would have.
            work.take_missed();
        }
        self.retry_state
            .mark(marker.interaction(), mark, &watch, miss)
            .await?;
        Ok(())
    }

    fn watch(&self, breaker: &Breaker) -> Watch<'_> {
        Watch {
            breaker: breaker.clone(),
            clock: self.clock.as_ref(),
        }
    }

    /// Returns true if an attempt of this claim that fails now is the last one.
    pub(super) async fn is_last(&self, work: &Work<'_>, lease: &Lease) -> bool {
        let max_receives = match work.message.queue_arn.as_deref() {
            Some(queue_arn) => self.queue_limits(queue_arn).await.max_receives,
            None => None,
        };
        let retried_for = self.clock.now().since(lease.retry_since);
        self.policy
            .is_last(retried_for, work.message.receive_count, max_receives)
    }

    /// Whether the target has accepted another event since the last failure of this one.
    fn target_works(&self, work: &Work<'_>, lease: &Lease) -> bool {
        let accepted = self.breakers.target(&work.destination).accepted_at();
        let failed = lease.processed;
        failed.is_some_and(|failed| accepted.is_some_and(|accepted| accepted >= failed))
    }

    /// Where a record stands whose bookkeeping or attempt failed; the caller knows whether it is the last one.
    pub(super) fn situation(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        failure: &AttemptFailure,
        attempt: u32,
        tries: u32,
    ) -> Situation {
        let breaker = match failure.upstream {
            Upstream::Genesys | Upstream::Interaction | Upstream::OwnPace => {
                self.breakers.genesys.clone()
            }
            Upstream::Target | Upstream::Deadline => self.breakers.target(&work.destination),
        };
        Situation {
            attempt,
            tries,
            is_last: false,
            answers: AnswerCounts::default(),
            target_works: false,
            may_ask_again: !breaker.is_open(self.clock.now()),
            time_for_wait: frame
                .time
                .longest_wait(self.ledger_latency.checkpoint_margin()),
        }
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
                event_id = work.event_id(),
                failure_code = FailureCode::LedgerUnavailable.as_str(),
                error = with_causes(&error),
                "event not released, held until its lease ends"
            );
        }
    }

    /// Gives the event of a record back that was cut off, or says once more that it was delivered.
    /// Nothing else is given back then: only the end of the lease may pass it on.
    pub(super) async fn wind_up(&self, work: &Work<'_>, code: FailureCode, end: Instant) -> CutOff {
        match work.set(Progress::Begun) {
            Progress::Begun | Progress::Recorded => CutOff::Clean,
            Progress::Holding(lease) => {
                // Out of time it stays held until the lease ends.
                let _ = timeout_at(end, self.release(work, &lease, code)).await;
                CutOff::Clean
            }
            Progress::Sending(lease) => {
                let mut lease = lease;
                lease.maybe_delivered = true;
                if code == FailureCode::OutOfTime {
                    // The target had until the deadline.
                    lease.answers.unanswered = lease.answers.unanswered.saturating_add(1);
                }
                let _ = timeout_at(end, self.release(work, &lease, code)).await;
                CutOff::Doubtful
            }
            Progress::Accepted(lease) => {
                match timeout_at(end, self.ledger.checkpoint(&lease)).await {
                    Ok(Ok(_)) => CutOff::Clean,
                    Ok(Err(LedgerError::LeaseLost)) => CutOff::Doubtful,
                    Ok(Err(LedgerError::Unavailable(_) | LedgerError::Unreadable(_))) | Err(_) => {
                        CutOff::Unrecorded
                    }
                }
            }
        }
    }

    /// How long a message stays away whose attempt says nothing of it.
    pub(super) fn pause(&self, message: &Message) -> Duration {
        self.policy.pause(message.receive_count, self.random.unit())
    }

    pub(super) fn ledger_failed(&self, message: &Message, error: &LedgerError) -> Verdict {
        let code = match error {
            LedgerError::Unavailable(_) | LedgerError::Unreadable(_) => {
                FailureCode::LedgerUnavailable
            }
            LedgerError::LeaseLost => FailureCode::HeldElsewhere,
        };
        let after = self.pause(message);
        Verdict::from(Outcome::Deferred { after, code }).because(&with_causes(error))
    }
}

impl Lease {
    /// Counts a failed attempt that may be the event's fault or the target's, once in a receive: `before` are the
    /// counts of earlier receives.
    fn note(&mut self, before: AnswerCounts, failure: &AttemptFailure) {
        self.maybe_delivered |= failure.certainty == Certainty::Unknown;
        if failure.is_configuration() {
            self.answers.configuration = before.configuration.saturating_add(1);
        }
        if failure.is_unanswered() {
            self.answers.unanswered = before.unanswered.saturating_add(1);
        }
    }
}

pub(super) fn note_retry(work: &Work<'_>, failure: &AttemptFailure, attempt: u32, after: Duration) {
    tracing::info!(
        message_id = %work.message.id,
        event_id = work.event_id(),
        failure_code = failure.code.as_str(),
        attempt,
        delay_ms = millis(after),
        reason = failure.reason,
        "attempt failed, trying again"
    );
}
