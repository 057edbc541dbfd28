//! Steps in words, for whoever reads a counterexample.

use crate::item::Change;
use crate::steps::{Acts, Deletes, Fate, Step, Then};
use crate::world::{Answer, Call, Place, World};

pub(crate) fn tell(before: &World, step: Step, after: Option<&World>) -> String {
    let call = |life| {
        before
            .workers
            .iter()
            .find(|worker| worker.life == life)
            .map_or_else(String::new, |worker| name(worker.call, worker.held.attempt))
    };
    let story = match step {
        Step::Receive(index) => {
            let receives = before.messages[index].receives + 1;
            let life = after
                .and_then(|world| world.workers.last())
                .map_or(0, |worker| worker.life);
            format!(
                "life {life} receives message {} (receive {receives})",
                index + 1
            )
        }
        Step::Park(index) => format!("message {} is parked", index + 1),
        Step::HandOut(index) => {
            let still = match before.messages[index].place {
                Place::Received => "while somebody works on it",
                Place::Away | Place::Waiting | Place::Acknowledged | Place::Parked => "too early",
            };
            format!("message {} is visible again {still}", index + 1)
        }
        Step::Call(life, fate) => format!("life {life} {}: {}", call(life), fate_in_words(fate)),
        Step::Answer(life, deletes) => {
            let heeded = match deletes {
                Deletes::Yes => "",
                Deletes::No => ", by an old receipt: the queue does nothing",
            };
            format!("life {life} {}{heeded}", call(life))
        }
        Step::Die(life, acts) => {
            format!("life {life} dies when it {}{}", call(life), unheard(acts))
        }
        Step::CutOff(life, acts) => format!(
            "life {life} is cut off when it {}{}",
            call(life),
            unheard(acts)
        ),
        Step::ActLate => {
            let late = before.late.map_or_else(String::new, |late| {
                format!("life {} {}", late.life, name(late.call, late.held.attempt))
            });
            format!("what was late acts: {late}")
        }
        Step::FailLater(acceptance) => {
            format!("delivery {acceptance} fails: a record of it comes")
        }
        Step::LeaseEnds => "the lease ends".to_owned(),
        Step::DaysPass => "thirteen days pass".to_owned(),
    };
    match after.and_then(|world| world.item) {
        Some(item) if before.item != Some(item) => {
            let delivered = item
                .delivered
                .map_or_else(String::new, |attempt| format!(", delivered as {attempt}"));
            format!(
                "{story}  [{} by {}, attempts {}{delivered}, round {}]",
                item.status, item.owner, item.attempts, item.round
            )
        }
        Some(_) | None => story,
    }
}

fn name(call: Call, attempt: u32) -> String {
    match call {
        Call::Claim => "claims".to_owned(),
        Call::ClaimForBookkeeping => "claims for the bookkeeping".to_owned(),
        Call::BeginRound => "begins a new round".to_owned(),
        Call::Deliver => format!("delivers attempt {attempt}"),
        Call::Archive => "archives".to_owned(),
        Call::Change(Change::NextAttempt) => format!("counts attempt {}", attempt + 1),
        Call::Change(Change::Checkpoint) => format!("writes the checkpoint of attempt {attempt}"),
        Call::Change(Change::Complete) => "settles as COMPLETED".to_owned(),
        Call::Change(Change::Archived) => "settles as ARCHIVED".to_owned(),
        Call::Change(Change::Failed) => "settles as FAILED".to_owned(),
        Call::Change(Change::Release) => "gives it back".to_owned(),
        Call::Answer(Answer::Acknowledge) => "acknowledges".to_owned(),
        Call::Answer(Answer::LetGo) => "acknowledges what the ledger does not know".to_owned(),
        Call::Answer(Answer::Back) => "sends the message back".to_owned(),
        Call::Answer(Answer::BackLater) => {
            "sends the message back until the other's lease is over".to_owned()
        }
    }
}

fn fate_in_words(fate: Fate) -> String {
    match fate {
        Fate::Answered => "answered".to_owned(),
        Fate::Refused(then) => format!("refused, {}", then_in_words(then)),
        Fate::Unanswered(acts, then) => {
            let acted = match acts {
                Acts::Never => "it does not act",
                Acts::Now => "it acts",
                Acts::Later => "it will act",
            };
            format!("no answer, {acted}, {}", then_in_words(then))
        }
    }
}

fn then_in_words(then: Then) -> &'static str {
    match then {
        Then::Again => "so once more",
        Then::Defer => "so later",
        Then::GiveUp => "so it is given up",
    }
}

fn unheard(acts: Acts) -> &'static str {
    match acts {
        Acts::Never => ", before that acts",
        Acts::Now => ", right after that acted",
        Acts::Later => ", with that still on its way",
    }
}
