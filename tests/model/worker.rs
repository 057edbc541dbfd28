//! The calls of a worker from its claim on, as in `src/replay/`. A call has its effect at once, later or
//! never. The steps between two calls have no effect on others.

use genesys_fakes::{LeaseLost, WorkerId};
use genesys_replay::ledger::ReopenPolicy;

use crate::item::{Asks, Change, Claimed};
use crate::scenario::WorkerBug;
use crate::state::{Answer, Call, InvariantError, LEASE, ModelState, PendingCall, Worker};
use crate::steps::{CallOutcome, ClaimModel, Effect, NextAction};

/// The result of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Done,
    /// The number of the acceptance, from 1.
    Accepted(u32),
    Claimed(Claimed),
    LeaseLost,
}

impl Worker {
    /// Returns whether the target has accepted the event and the worker has no confirmed checkpoint.
    pub(crate) fn is_unrecorded(&self) -> bool {
        match self.call {
            Call::Change(Change::Checkpoint) => true,
            Call::Change(Change::Complete) => !self.recorded,
            Call::Claim
            | Call::ClaimForSettlement
            | Call::BeginRound
            | Call::Deliver
            | Call::Archive
            | Call::Answer(_)
            | Call::Change(
                Change::NextAttempt | Change::Archived | Change::Failed | Change::Release,
            ) => false,
        }
    }
}

/// Reports a call to the witness before its effect.
pub(crate) fn begin(state: &mut ModelState, worker: &Worker) -> Result<(), InvariantError> {
    let worker_id = worker.id;
    match worker.call {
        Call::Deliver => {
            let recorded = state.is_recorded();
            state.witness.delivering(worker_id, worker.held.attempt, recorded)?;
        }
        Call::Change(Change::Complete | Change::Archived | Change::Failed | Change::Release) => {
            state.witness.released(worker_id);
        }
        Call::Change(Change::NextAttempt | Change::Checkpoint)
        | Call::Claim
        | Call::ClaimForSettlement
        | Call::BeginRound
        | Call::Archive
        | Call::Answer(_) => {}
    }
    Ok(())
}

impl ClaimModel {
    /// Returns the possible outcomes of a worker's next call.
    pub(crate) fn outcomes(&self, state: &ModelState, worker: &Worker) -> Vec<CallOutcome> {
        let is_last = state.messages[worker.message].receives >= self.scenario.last_receive;
        let exhausted = if is_last { NextAction::Reject } else { NextAction::Defer };
        let may_try = worker.attempts_this_delivery < self.scenario.max_attempts;
        let again = may_try.then_some(NextAction::Retry);
        let mut outcomes = vec![CallOutcome::Succeeded];
        match worker.call {
            // The target refuses the delivery, or the mark before it fails.
            Call::Deliver => {
                outcomes.extend(again.map(CallOutcome::Refused));
                outcomes.extend([NextAction::Defer, NextAction::Reject].map(CallOutcome::Refused));
            }
            // The mark before the call fails.
            Call::Archive if !worker.is_repeated => {
                outcomes.push(CallOutcome::Refused(NextAction::Defer));
            }
            Call::Change(Change::Complete)
                if worker.recorded && !is_last && !worker.is_repeated =>
            {
                outcomes.push(CallOutcome::Refused(NextAction::Defer));
            }
            Call::Claim
            | Call::ClaimForSettlement
            | Call::BeginRound
            | Call::Archive
            | Call::Answer(_)
            | Call::Change(_) => {}
        }
        if state.remaining.lost_responses == 0 {
            return outcomes;
        }
        let next_actions: &[NextAction] = match worker.call {
            Call::Deliver if may_try => &[NextAction::Retry, exhausted],
            Call::Deliver => &[exhausted],
            // The SDK retries the call.
            Call::Claim
            | Call::ClaimForSettlement
            | Call::BeginRound
            | Call::Archive
            | Call::Change(_) => &[NextAction::Retry, NextAction::Defer],
            Call::Answer(_) => &[],
        };
        for next_action in next_actions {
            outcomes.push(CallOutcome::NoResponse(Effect::Never, *next_action));
            outcomes.push(CallOutcome::NoResponse(Effect::Now, *next_action));
            if state.late_call.is_none() {
                outcomes.push(CallOutcome::NoResponse(Effect::Later, *next_action));
            }
        }
        outcomes
    }

    pub(crate) fn call(
        &self,
        state: &mut ModelState,
        worker_id: WorkerId,
        outcome: CallOutcome,
    ) -> Result<(), InvariantError> {
        let Some(mut worker) = state.worker(worker_id) else {
            return Ok(());
        };
        match outcome {
            CallOutcome::Succeeded => {
                begin(state, &worker)?;
                let reply = self.act(state, &PendingCall::now(state, &worker))?;
                let report = state.messages[worker.message].report;
                self.continue_after(&mut worker, report, reply);
            }
            CallOutcome::Refused(next_action) => {
                if worker.call == Call::Deliver {
                    begin(state, &worker)?;
                }
                self.fail(&mut worker, next_action);
            }
            CallOutcome::NoResponse(effect, next_action) => {
                state.remaining.lost_responses -= 1;
                self.abandon(state, &worker, effect)?;
                match (worker.call, next_action) {
                    (Call::Deliver, _) => self.fail(&mut worker, next_action),
                    (call, NextAction::Retry) => {
                        let marks = matches!(call, Call::Archive | Call::Change(Change::Complete));
                        worker.is_repeated = marks;
                    }
                    (_, NextAction::Defer | NextAction::Reject) => {
                        if worker.call == Call::Change(Change::Checkpoint) && !state.is_recorded() {
                            state.witness.allow_duplicate();
                        }
                        self.continue_without_response(&mut worker);
                    }
                }
            }
        }
        worker.is_repeated &= Some(worker.call) == state.worker(worker_id).map(|it| it.call);
        state.put(worker);
        Ok(())
    }

    /// Applies the effect of a call.
    pub(crate) fn act(
        &self,
        state: &mut ModelState,
        pending: &PendingCall,
    ) -> Result<Reply, InvariantError> {
        let worker_id = pending.worker_id;
        match pending.call {
            Call::Claim | Call::ClaimForSettlement => {
                let lease_until = pending.at.plus(LEASE);
                let report = state.messages[pending.message].report;
                let asks = Asks {
                    reopen: self.reopen(pending.message),
                    is_failure_record: report.is_some() && pending.call == Call::Claim,
                };
                let (claimed, item) =
                    self.ledger.claim(state.item, worker_id, pending.at, lease_until, asks);
                let claim_succeeded = item != state.item;
                state.item = item;
                if let (Claimed::Ours(_), Some(item)) = (claimed, item)
                    && (claim_succeeded || pending.holder == worker_id)
                {
                    let until = item.lease_until;
                    state.witness.claimed(pending.holder, pending.at, until)?;
                }
                Ok(Reply::Claimed(claimed))
            }
            Call::Deliver => {
                // A late call belongs to an earlier round.
                if pending.holder == worker_id && state.rounds >= self.scenario.max_rounds {
                    return Err(InvariantError::TooManyRounds);
                }
                state.witness.accepted(worker_id)?;
                Ok(Reply::Accepted(state.witness.accepted_times()))
            }
            Call::BeginRound => self.begin_round(state, pending),
            Call::Archive => {
                state.is_archived = true;
                Ok(Reply::Done)
            }
            Call::Change(change) => {
                let done = state.item.as_mut().map_or(Err(LeaseLost), |item| {
                    self.ledger.change(item, change, worker_id, pending.held, pending.at)
                });
                Ok(done.map_or(Reply::LeaseLost, |()| Reply::Done))
            }
            Call::Answer(_) => Ok(Reply::Done),
        }
    }

    fn begin_round(
        &self,
        state: &mut ModelState,
        pending: &PendingCall,
    ) -> Result<Reply, InvariantError> {
        let Some(item) = &mut state.item else {
            return Ok(Reply::LeaseLost);
        };
        let before = *item;
        let begun = self.ledger.begin_round(item, pending.worker_id, pending.held, pending.at);
        if *item != before {
            let mut records = state.messages.iter().filter_map(|it| it.report);
            if !records.any(|failed| before.receipt == Some(failed)) {
                return Err(InvariantError::RoundWithoutFailure);
            }
            state.rounds += 1;
        }
        Ok(begun.map_or(Reply::LeaseLost, |()| Reply::Done))
    }

    fn reopen(&self, message: usize) -> ReopenPolicy {
        let is_sent_again = self.scenario.messages.is_sent_again(message);
        match (is_sent_again, self.scenario.archive) {
            (true, _) => ReopenPolicy::FailedAndArchived,
            (false, true) => ReopenPolicy::Failed,
            (false, false) => ReopenPolicy::Never,
        }
    }

    /// Continues after the result of a call.
    fn continue_after(&self, worker: &mut Worker, report: Option<u32>, reply: Reply) {
        let is_lost = matches!(reply, Reply::LeaseLost);
        worker.call = match worker.call {
            claim @ (Call::Claim | Call::ClaimForSettlement) => match reply {
                Reply::Claimed(Claimed::Ours(held)) => {
                    worker.held = held;
                    worker.recorded = held.delivered.is_some();
                    worker.attempts_this_delivery = u8::from(!worker.recorded);
                    if worker.recorded {
                        Call::Change(Change::Complete)
                    } else if claim == Call::ClaimForSettlement {
                        Call::Change(Change::Release)
                    } else if held.round > self.scenario.max_rounds {
                        Call::Archive
                    } else {
                        Call::Deliver
                    }
                }
                Reply::Claimed(Claimed::Delivered(receipt, round)) => {
                    worker.held.receipt = receipt;
                    worker.held.round = round;
                    if self.scenario.has_bug(WorkerBug::IgnoresLaterFailures) {
                        Call::Answer(Answer::Acknowledge)
                    } else if receipt == report
                        || self.scenario.has_bug(WorkerBug::ComparesNoDeliveries)
                    {
                        Call::BeginRound
                    } else {
                        Call::ClaimForSettlement
                    }
                }
                Reply::Claimed(Claimed::Done) => Call::Answer(Answer::Acknowledge),
                Reply::Claimed(Claimed::HeldByAnother) => Call::Answer(Answer::ReturnAfterLease),
                Reply::Claimed(Claimed::PreviouslyRejected)
                | Reply::Done
                | Reply::Accepted(_)
                | Reply::LeaseLost => Call::Answer(Answer::Return),
            },
            // Claimed again, to be rejected.
            Call::BeginRound if !is_lost && worker.held.round >= self.scenario.max_rounds => {
                Call::Claim
            }
            Call::Deliver => {
                if let Reply::Accepted(acceptance) = reply {
                    worker.held.receipt = Some(acceptance);
                }
                Call::Change(Change::Checkpoint)
            }
            Call::Archive => Call::Change(Change::Archived),
            Call::Change(Change::NextAttempt) if !is_lost => {
                worker.held.attempt += 1;
                worker.attempts_this_delivery += 1;
                Call::Deliver
            }
            Call::Change(Change::Checkpoint) if !is_lost => {
                worker.held.delivered = Some(worker.held.attempt);
                worker.recorded = true;
                if worker.is_cut_off {
                    Call::Answer(Answer::Return)
                } else {
                    Call::Change(Change::Complete)
                }
            }
            Call::Change(Change::Complete | Change::Archived) if !is_lost => {
                Call::Answer(Answer::Acknowledge)
            }
            Call::Change(Change::Complete) if !worker.recorded => {
                Call::Answer(Answer::AcknowledgeUnrecorded)
            }
            Call::BeginRound | Call::Change(_) => Call::Answer(Answer::Return),
            answer @ Call::Answer(_) => answer,
        };
    }

    /// Continues without the ledger or the archive.
    fn continue_without_response(&self, worker: &mut Worker) {
        worker.call = match worker.call {
            Call::Claim if self.scenario.has_bug(WorkerBug::ContinuesWithoutClaim) => {
                worker.held.attempt = 1;
                worker.attempts_this_delivery = 1;
                Call::Deliver
            }
            Call::Change(Change::Checkpoint) if worker.is_cut_off => {
                Call::Answer(Answer::AcknowledgeUnrecorded)
            }
            Call::Change(Change::Checkpoint) => {
                worker.held.delivered = Some(worker.held.attempt);
                Call::Change(Change::Complete)
            }
            Call::Change(Change::Complete) if !worker.recorded => {
                Call::Answer(Answer::AcknowledgeUnrecorded)
            }
            Call::Archive => Call::Change(Change::Release),
            Call::Claim
            | Call::ClaimForSettlement
            | Call::BeginRound
            | Call::Deliver
            | Call::Change(_) => Call::Answer(Answer::Return),
            answer @ Call::Answer(_) => answer,
        };
    }

    /// Continues after a failed attempt or mark.
    fn fail(&self, worker: &mut Worker, next_action: NextAction) {
        worker.call = match next_action {
            NextAction::Retry if self.scenario.has_bug(WorkerBug::CountsNoRetry) => {
                worker.attempts_this_delivery += 1;
                Call::Deliver
            }
            NextAction::Retry => Call::Change(Change::NextAttempt),
            NextAction::Defer => Call::Change(Change::Release),
            NextAction::Reject if self.scenario.has_bug(WorkerBug::ArchivesLast) => {
                Call::Answer(Answer::Acknowledge)
            }
            NextAction::Reject if self.scenario.archive => Call::Archive,
            NextAction::Reject => Call::Change(Change::Failed),
        };
    }

    /// Aborts a worker before the deadline or after a panic, and lets it clean up.
    pub(crate) fn cut_off(
        &self,
        state: &mut ModelState,
        worker_id: WorkerId,
        effect: Effect,
    ) -> Result<(), InvariantError> {
        state.remaining.crashes -= 1;
        let Some(mut worker) = state.worker(worker_id) else {
            return Ok(());
        };
        self.abandon(state, &worker, effect)?;
        worker.is_cut_off = true;
        let is_begun =
            matches!(worker.call, Call::Claim | Call::ClaimForSettlement | Call::BeginRound);
        worker.call = if is_begun || worker.recorded {
            Call::Answer(Answer::Return)
        } else if worker.is_unrecorded() && !self.scenario.has_bug(WorkerBug::ReleasesAccepted) {
            worker.held.delivered = None;
            Call::Change(Change::Checkpoint)
        } else {
            Call::Change(Change::Release)
        };
        worker.is_repeated = false;
        state.put(worker);
        Ok(())
    }
}
