//! The possible steps of a state: the queue, the end of a lease, the end of a worker, a late call.
//! `worker.rs` has the calls of a worker.

use std::time::Duration;

use genesys_fakes::{Clocks, Status, WorkerId};
use genesys_replay::clock::Timestamp;

use crate::explore::Model;
use crate::item::{HeldLease, Ledger};
use crate::labels;
use crate::scenario::{Scenario, WorkerBug};
use crate::state::{Answer, Call, InvariantError, Message, ModelState, PendingCall, Place, Worker};
use crate::worker::begin;

/// One day less than the maximum retention of SQS.
const THIRTEEN_DAYS: Duration = Duration::from_secs(13 * 24 * 3_600);

const MAX_WORKERS: usize = 2;

/// The model of one event within the bounds of a scenario.
pub(crate) struct ClaimModel {
    pub(crate) scenario: Scenario,
    pub(crate) ledger: Ledger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A worker receives this message.
    Receive(usize),
    /// The queue parks this message.
    Park(usize),
    /// The message is visible before its visibility timeout.
    RedeliverEarly(usize),
    /// The next call of a worker.
    Call(WorkerId, CallOutcome),
    /// The queue receives the response of an invocation.
    Answer(WorkerId, ReceiptValid),
    /// The worker is killed.
    Crash(WorkerId, Effect),
    /// A deadline or a panic aborts the worker, which cleans up.
    CutOff(WorkerId, Effect),
    /// An accepted delivery fails, and its failure record arrives.
    FailLater(u32),
    /// The late call has its effect.
    ActLate,
    LeaseEnds,
    DaysPass,
}

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    Succeeded,
    /// The call has no effect and returns an error.
    Refused(NextAction),
    NoResponse(Effect, NextAction),
}

/// The effect of a call without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Never,
    Now,
    Later,
}

/// The next action of a worker after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextAction {
    Retry,
    Defer,
    Reject,
}

/// The validity of a receipt. After another receive of the message it may be invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiptValid {
    Yes,
    No,
}

impl Model for ClaimModel {
    type State = ModelState;
    type Step = Step;
    type InvariantError = InvariantError;

    fn start(&self) -> ModelState {
        ModelState::of(&self.scenario)
    }

    fn steps(&self, state: &ModelState) -> Vec<Step> {
        let mut steps = Vec::new();
        for index in 0..state.messages.len() {
            self.message_steps(state, index, &mut steps);
        }
        for worker in &state.workers {
            self.worker_steps(state, worker, &mut steps);
        }
        steps.extend(state.late_call.map(|_| Step::ActLate));
        if state.remaining.late_failures > 0 {
            steps.extend((1..=state.witness.accepted_times()).map(Step::FailLater));
        }
        if let Some((holder, until)) = state.lease()
            && self.may_end(state, holder, until)
        {
            steps.push(Step::LeaseEnds);
        }
        if state.remaining.days_may_pass && state.workers.is_empty() && state.late_call.is_none() {
            steps.push(Step::DaysPass);
        }
        steps
    }

    fn take(&self, before: &ModelState, step: Step) -> Result<ModelState, InvariantError> {
        let mut state = before.clone();
        match step {
            Step::Receive(index) => self.receive(&mut state, index),
            Step::Park(index) => state.messages[index].place = Place::Parked,
            Step::RedeliverEarly(index) => {
                state.remaining.early_redeliveries -= 1;
                state.messages[index].place = Place::Waiting;
            }
            Step::Call(worker_id, outcome) => self.call(&mut state, worker_id, outcome)?,
            Step::Answer(worker_id, receipt_valid) => {
                Self::answer(&mut state, worker_id, receipt_valid)?;
            }
            Step::Crash(worker_id, effect) => self.crash(&mut state, worker_id, effect)?,
            Step::CutOff(worker_id, effect) => self.cut_off(&mut state, worker_id, effect)?,
            Step::ActLate => self.act_late(&mut state)?,
            Step::FailLater(acceptance) => {
                state.remaining.late_failures -= 1;
                state.messages.push(Message::waiting(Some(acceptance)));
                if acceptance == state.witness.accepted_times() {
                    // The next delivery is correct.
                    state.witness.allow_duplicate();
                }
            }
            Step::LeaseEnds => {
                if let Some((_, until)) = state.lease() {
                    state.now = until.plus(Duration::from_millis(1));
                }
            }
            Step::DaysPass => {
                state.remaining.days_may_pass = false;
                state.now = state.now.plus(THIRTEEN_DAYS);
                state.item = state.item.filter(|item| item.expires_at > state.now.as_secs());
            }
        }
        state.check(before)?;
        state.normalize(self.scenario.clocks);
        Ok(state)
    }

    fn check_end(&self, state: &ModelState) -> Result<(), InvariantError> {
        state.check_end(&self.scenario)
    }

    fn describe(&self, before: &ModelState, step: Step) -> String {
        labels::step_label(before, step, self.take(before, step).ok().as_ref())
    }
}

impl ClaimModel {
    /// Returns whether a lease may end now. With bounded clocks, a lease outlives its worker.
    fn may_end(&self, state: &ModelState, holder: WorkerId, until: Timestamp) -> bool {
        let outlasts = |worker_id| state.is_at_work(worker_id);
        let claims = |call| matches!(call, Call::Claim | Call::ClaimForSettlement);
        let asks = |late_call: PendingCall| claims(late_call.call) && outlasts(late_call.worker_id);
        self.scenario.clocks == Clocks::Unbounded
            || self.scenario.has_bug(WorkerBug::LeaseEndsEarly)
            // Impossible with the correct rules: the lease has just begun.
            || until == state.now
            || !outlasts(holder) && !state.late_call.is_some_and(asks)
    }

    fn message_steps(&self, state: &ModelState, index: usize, steps: &mut Vec<Step>) {
        let message = state.messages[index];
        let is_visible = match message.place {
            Place::Waiting => true,
            Place::Hidden => state.lease().is_none(),
            Place::Received | Place::Acknowledged | Place::Parked => return,
        };
        if !is_visible && state.remaining.early_redeliveries > 0 {
            steps.push(Step::RedeliverEarly(index));
        } else if is_visible && message.receives >= self.scenario.max_receives {
            steps.push(Step::Park(index));
        } else if is_visible && state.workers.len() < MAX_WORKERS {
            steps.push(Step::Receive(index));
        }
    }

    fn worker_steps(&self, state: &ModelState, worker: &Worker, steps: &mut Vec<Step>) {
        let worker_id = worker.id;
        let message = state.messages[worker.message];
        if state.remaining.early_redeliveries > 0
            && message.receiver == worker_id
            && message.place == Place::Received
        {
            steps.push(Step::RedeliverEarly(worker.message));
        }
        let may_end = state.remaining.crashes > 0;
        if let Call::Answer(answer) = worker.call {
            steps.push(Step::Answer(worker_id, ReceiptValid::Yes));
            let receipt_valid =
                matches!(answer, Answer::Acknowledge | Answer::AcknowledgeUnrecorded);
            if message.receiver != worker_id && receipt_valid {
                steps.push(Step::Answer(worker_id, ReceiptValid::No));
            }
            if may_end {
                steps.push(Step::Crash(worker_id, Effect::Never));
            }
            return;
        }
        let outcomes = self.outcomes(state, worker);
        steps.extend(outcomes.into_iter().map(|outcome| Step::Call(worker_id, outcome)));
        if !may_end {
            return;
        }
        let mut effect = vec![Effect::Never];
        if state.late_call.is_none() {
            effect.push(Effect::Later);
        }
        steps.extend(effect.iter().map(|effect| Step::Crash(worker_id, *effect)));
        if !worker.is_cut_off {
            effect.push(Effect::Now);
            steps.extend(effect.iter().map(|effect| Step::CutOff(worker_id, *effect)));
        }
    }

    fn receive(&self, state: &mut ModelState, index: usize) {
        let worker_id = 1 + state
            .messages
            .iter()
            .map(|message| WorkerId::from(message.receives))
            .sum::<WorkerId>();
        let message = &mut state.messages[index];
        message.receives += 1;
        message.receiver = worker_id;
        message.place = if self.scenario.has_bug(WorkerBug::AcknowledgesFirst) {
            Place::Acknowledged
        } else {
            Place::Received
        };
        state.workers.push(Worker {
            id: worker_id,
            message: index,
            held: HeldLease::default(),
            attempts_this_delivery: 0,
            recorded: false,
            is_cut_off: false,
            call: Call::Claim,
            is_repeated: false,
        });
    }

    fn answer(
        state: &mut ModelState,
        worker_id: WorkerId,
        receipt_valid: ReceiptValid,
    ) -> Result<(), InvariantError> {
        let Some(worker) = state.end(worker_id) else {
            return Ok(());
        };
        let Call::Answer(answer) = worker.call else {
            return Ok(());
        };
        let item = state.item;
        // A failure record of the event counts as well.
        let is_open = |(index, it): (usize, &Message)| {
            index != worker.message && it.report.is_some() && it.place != Place::Acknowledged
        };
        let is_reported = state.messages.iter().enumerate().any(is_open);
        let knows = state.has(Status::Completed) || state.is_archived || is_reported;
        let is_delivered = state.is_delivered();
        let message = &mut state.messages[worker.message];
        let back = match answer {
            Answer::Acknowledge if !knows => return Err(InvariantError::AcknowledgedUnfinished),
            Answer::Acknowledge
                if message.report.is_some()
                    && item.is_some_and(|item| {
                        item.status == Status::Completed && item.receipt == message.report
                    }) =>
            {
                return Err(InvariantError::FailureIgnored);
            }
            Answer::AcknowledgeUnrecorded if !is_delivered => {
                return Err(InvariantError::AcknowledgedWithoutLocation);
            }
            Answer::Acknowledge | Answer::AcknowledgeUnrecorded => {
                if receipt_valid == ReceiptValid::Yes && message.place != Place::Parked {
                    message.place = Place::Acknowledged;
                }
                state.acknowledged_unrecorded |= answer == Answer::AcknowledgeUnrecorded;
                return Ok(());
            }
            Answer::Return => Place::Waiting,
            Answer::ReturnAfterLease => Place::Hidden,
        };
        if message.receiver == worker_id && message.place == Place::Received {
            message.place = back;
        }
        Ok(())
    }

    fn crash(
        &self,
        state: &mut ModelState,
        worker_id: WorkerId,
        effect: Effect,
    ) -> Result<(), InvariantError> {
        state.remaining.crashes -= 1;
        let Some(worker) = state.worker(worker_id) else {
            return Ok(());
        };
        self.abandon(state, &worker, effect)?;
        if worker.is_unrecorded() && !state.is_recorded() {
            state.witness.allow_duplicate();
        }
        state.end(worker_id);
        let message = &mut state.messages[worker.message];
        if message.receiver == worker_id && message.place == Place::Received {
            message.place = Place::Hidden;
        }
        Ok(())
    }

    fn act_late(&self, state: &mut ModelState) -> Result<(), InvariantError> {
        let Some(late_call) = state.late_call.take() else {
            return Ok(());
        };
        if late_call.call == Call::Deliver {
            // A duplicate is possible, because the sender has not recorded the delivery.
            state.witness.allow_duplicate();
        }
        self.act_without_response(state, &late_call)?;
        state.witness.ended(late_call.holder);
        Ok(())
    }

    fn act_without_response(
        &self,
        state: &mut ModelState,
        pending: &PendingCall,
    ) -> Result<(), InvariantError> {
        self.act(state, pending)?;
        if pending.call == Call::Deliver {
            state.witness.allow_duplicate();
        }
        Ok(())
    }

    /// Starts a call without waiting for its response.
    pub(crate) fn abandon(
        &self,
        state: &mut ModelState,
        worker: &Worker,
        effect: Effect,
    ) -> Result<(), InvariantError> {
        begin(state, worker)?;
        let pending = PendingCall::now(state, worker);
        match effect {
            Effect::Never => Ok(()),
            Effect::Now => self.act_without_response(state, &pending),
            Effect::Later => {
                state.late_call = Some(pending.late_call());
                Ok(())
            }
        }
    }
}
