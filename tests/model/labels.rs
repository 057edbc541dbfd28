//! Steps as text, for the readers of a counterexample.

use crate::item::Change;
use crate::state::{Answer, Call, ModelState, Place};
use crate::steps::{CallOutcome, Effect, NextAction, ReceiptValid, Step};

pub(crate) fn step_label(before: &ModelState, step: Step, after: Option<&ModelState>) -> String {
    let call = |worker_id| {
        before
            .workers
            .iter()
            .find(|worker| worker.id == worker_id)
            .map_or_else(String::new, |worker| call_label(worker.call, worker.held.attempt))
    };
    let label = match step {
        Step::Receive(index) => {
            let receives = before.messages[index].receives + 1;
            let worker_id =
                after.and_then(|state| state.workers.last()).map_or(0, |worker| worker.id);
            format!("worker {worker_id} receives message {} (receive {receives})", index + 1)
        }
        Step::Park(index) => format!("message {} is parked", index + 1),
        Step::RedeliverEarly(index) => {
            let reason = match before.messages[index].place {
                Place::Received => "while a worker has it",
                Place::Hidden | Place::Waiting | Place::Acknowledged | Place::Parked => "too early",
            };
            format!("message {} is visible again {reason}", index + 1)
        }
        Step::Call(worker_id, outcome) => {
            format!("worker {worker_id} {}: {}", call(worker_id), outcome_label(outcome))
        }
        Step::Answer(worker_id, receipt_valid) => {
            let suffix = match receipt_valid {
                ReceiptValid::Yes => "",
                ReceiptValid::No => ", by an old receipt: the queue does nothing",
            };
            format!("worker {worker_id} {}{suffix}", call(worker_id))
        }
        Step::Crash(worker_id, effect) => {
            format!(
                "worker {worker_id} crashes when it {}{}",
                call(worker_id),
                effect_label(effect)
            )
        }
        Step::CutOff(worker_id, effect) => format!(
            "worker {worker_id} is cut off when it {}{}",
            call(worker_id),
            effect_label(effect)
        ),
        Step::ActLate => {
            let late_call = before.late_call.map_or_else(String::new, |late_call| {
                format!(
                    "worker {} {}",
                    late_call.worker_id,
                    call_label(late_call.call, late_call.held.attempt)
                )
            });
            format!("late call has its effect: {late_call}")
        }
        Step::FailLater(acceptance) => {
            format!("delivery {acceptance} fails: its failure record arrives")
        }
        Step::LeaseEnds => "the lease ends".to_owned(),
        Step::DaysPass => "thirteen days pass".to_owned(),
    };
    match after.and_then(|state| state.item) {
        Some(item) if before.item != Some(item) => {
            let delivered = item
                .delivered
                .map_or_else(String::new, |attempt| format!(", delivered as {attempt}"));
            format!(
                "{label}  [{} by {}, attempts {}{delivered}, round {}]",
                item.status, item.owner, item.attempts, item.round
            )
        }
        Some(_) | None => label,
    }
}

fn call_label(call: Call, attempt: u32) -> String {
    match call {
        Call::Claim => "claims".to_owned(),
        Call::ClaimForSettlement => "claims for the settlement".to_owned(),
        Call::BeginRound => "begins a new round".to_owned(),
        Call::Deliver => format!("delivers attempt {attempt}"),
        Call::Archive => "archives".to_owned(),
        Call::Change(Change::NextAttempt) => format!("counts attempt {}", attempt + 1),
        Call::Change(Change::Checkpoint) => format!("writes the checkpoint of attempt {attempt}"),
        Call::Change(Change::Complete) => "settles as COMPLETED".to_owned(),
        Call::Change(Change::Archived) => "settles as ARCHIVED".to_owned(),
        Call::Change(Change::Failed) => "settles as FAILED".to_owned(),
        Call::Change(Change::Release) => "releases the event".to_owned(),
        Call::Answer(Answer::Acknowledge) => "acknowledges".to_owned(),
        Call::Answer(Answer::AcknowledgeUnrecorded) => {
            "acknowledges without a checkpoint".to_owned()
        }
        Call::Answer(Answer::Return) => "returns the message".to_owned(),
        Call::Answer(Answer::ReturnAfterLease) => {
            "returns the message until the end of the other lease".to_owned()
        }
    }
}

fn outcome_label(outcome: CallOutcome) -> String {
    match outcome {
        CallOutcome::Succeeded => "succeeds".to_owned(),
        CallOutcome::Refused(next_action) => format!("refused, {}", next_action_label(next_action)),
        CallOutcome::NoResponse(effect, next_action) => {
            let effect = match effect {
                Effect::Never => "no effect",
                Effect::Now => "effect",
                Effect::Later => "late effect",
            };
            format!("no response, {effect}, {}", next_action_label(next_action))
        }
    }
}

fn next_action_label(next_action: NextAction) -> &'static str {
    match next_action {
        NextAction::Retry => "so it retries",
        NextAction::Defer => "so it defers",
        NextAction::Reject => "so it rejects",
    }
}

fn effect_label(effect: Effect) -> &'static str {
    match effect {
        Effect::Never => ", before its effect",
        Effect::Now => ", after its effect",
        Effect::Later => ", with a late effect",
    }
}
