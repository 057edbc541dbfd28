//! What can happen in a world, and what follows from it: the queue, the end of a lease, the end of a
//! worker, a call that acts late. `worker.rs` has what a worker does by itself.

use std::time::Duration;

use genesys_fakes::{Clocks, Life, Status};
use genesys_replay::clock::Timestamp;

use crate::explore::Model;
use crate::item::{Held, Ledger};
use crate::scenario::{Mistake, Scenario};
use crate::words;
use crate::worker::begin;
use crate::world::{Answer, Call, Message, Place, Sent, Worker, World, Wrong};

/// Nearly as long as SQS keeps a message.
const LONG: Duration = Duration::from_secs(13 * 24 * 3_600);

/// Workers at the same time.
const AT_ONCE: usize = 2;

/// The life of one event, within the bounds of a scenario.
pub(crate) struct ClaimLife {
    pub(crate) scenario: Scenario,
    pub(crate) ledger: Ledger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A worker starts with this message.
    Receive(usize),
    /// The queue moves it away instead.
    Park(usize),
    /// The queue hands it out again though it should stay away.
    HandOut(usize),
    /// A worker's next call.
    Call(Life, Fate),
    /// The invocation's answer reaches the queue.
    Answer(Life, Deletes),
    /// The process is killed.
    Die(Life, Acts),
    /// The deadline or a panic: the worker has a last word.
    CutOff(Life, Acts),
    /// An accepted delivery has failed: a record of it comes.
    FailLater(u32),
    /// What nobody waits for any more.
    ActLate,
    LeaseEnds,
    DaysPass,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// It does not act, and says so.
    Refused(Then),
    Unanswered(Acts, Then),
}

/// Whether a call acts whose answer nobody gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acts {
    Never,
    Now,
    Later,
}

/// What a worker makes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Again,
    Defer,
    GiveUp,
}

/// Whether the queue heeds an answer; it need not when it has handed the message out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletes {
    Yes,
    No,
}

impl Model for ClaimLife {
    type State = World;
    type Step = Step;
    type Wrong = Wrong;

    fn start(&self) -> World {
        World::of(&self.scenario)
    }

    fn steps(&self, world: &World) -> Vec<Step> {
        let mut steps = Vec::new();
        for index in 0..world.messages.len() {
            self.message_steps(world, index, &mut steps);
        }
        for worker in &world.workers {
            self.worker_steps(world, worker, &mut steps);
        }
        steps.extend(world.late.map(|_| Step::ActLate));
        if world.left.failures > 0 {
            steps.extend((1..=world.witness.accepted_times()).map(Step::FailLater));
        }
        if let Some((holder, until)) = world.lease()
            && self.may_end(world, holder, until)
        {
            steps.push(Step::LeaseEnds);
        }
        if world.left.days && world.workers.is_empty() && world.late.is_none() {
            steps.push(Step::DaysPass);
        }
        steps
    }

    fn take(&self, before: &World, step: Step) -> Result<World, Wrong> {
        let mut world = before.clone();
        match step {
            Step::Receive(index) => self.receive(&mut world, index),
            Step::Park(index) => world.messages[index].place = Place::Parked,
            Step::HandOut(index) => {
                world.left.early -= 1;
                world.messages[index].place = Place::Waiting;
            }
            Step::Call(life, fate) => self.call(&mut world, life, fate)?,
            Step::Answer(life, deletes) => Self::answer(&mut world, life, deletes)?,
            Step::Die(life, acts) => self.die(&mut world, life, acts)?,
            Step::CutOff(life, acts) => self.cut_off(&mut world, life, acts)?,
            Step::ActLate => self.act_late(&mut world)?,
            Step::FailLater(acceptance) => {
                world.left.failures -= 1;
                world.messages.push(Message::waiting(Some(acceptance)));
                if acceptance == world.witness.accepted_times() {
                    // Whoever delivers it again, it is right to.
                    world.witness.excuse();
                }
            }
            Step::LeaseEnds => {
                if let Some((_, until)) = world.lease() {
                    world.now = until.plus(Duration::from_millis(1));
                }
            }
            Step::DaysPass => {
                world.left.days = false;
                world.now = world.now.plus(LONG);
                world.item = world
                    .item
                    .filter(|item| item.expires_at > world.now.as_secs());
            }
        }
        world.check(before)?;
        world.forget_what_does_not_matter(self.scenario.clocks);
        Ok(world)
    }

    fn check_end(&self, world: &World) -> Result<(), Wrong> {
        world.check_end(&self.scenario)
    }

    fn tell(&self, before: &World, step: Step) -> String {
        words::tell(before, step, self.take(before, step).ok().as_ref())
    }
}

impl ClaimLife {
    /// Whether a lease may end now. With clocks that can be trusted nobody outlasts a lease that it has
    /// asked for.
    fn may_end(&self, world: &World, holder: Life, until: Timestamp) -> bool {
        let outlasts = |life| world.is_at_work(life);
        let claims = |call| matches!(call, Call::Claim | Call::ClaimForBookkeeping);
        let asks = |late: Sent| claims(late.call) && outlasts(late.life);
        self.scenario.clocks == Clocks::Wild
            || self.scenario.errs(Mistake::LeaseEndsEarly)
            // Never, by the right rules: the holder has only just begun.
            || until == world.now
            || !outlasts(holder) && !world.late.is_some_and(asks)
    }

    fn message_steps(&self, world: &World, index: usize, steps: &mut Vec<Step>) {
        let message = world.messages[index];
        let is_visible = match message.place {
            Place::Waiting => true,
            Place::Away => world.lease().is_none(),
            Place::Received | Place::Acknowledged | Place::Parked => return,
        };
        if !is_visible && world.left.early > 0 {
            steps.push(Step::HandOut(index));
        } else if is_visible && message.receives >= self.scenario.most_receives {
            steps.push(Step::Park(index));
        } else if is_visible && world.workers.len() < AT_ONCE {
            steps.push(Step::Receive(index));
        }
    }

    fn worker_steps(&self, world: &World, worker: &Worker, steps: &mut Vec<Step>) {
        let life = worker.life;
        let message = world.messages[worker.message];
        if world.left.early > 0 && message.receiver == life && message.place == Place::Received {
            steps.push(Step::HandOut(worker.message));
        }
        let may_end = world.left.deaths > 0;
        if let Call::Answer(answer) = worker.call {
            steps.push(Step::Answer(life, Deletes::Yes));
            let deletes = matches!(answer, Answer::Acknowledge | Answer::LetGo);
            if message.receiver != life && deletes {
                steps.push(Step::Answer(life, Deletes::No));
            }
            if may_end {
                steps.push(Step::Die(life, Acts::Never));
            }
            return;
        }
        let fates = self.fates(world, worker);
        steps.extend(fates.into_iter().map(|fate| Step::Call(life, fate)));
        if !may_end {
            return;
        }
        let mut acts = vec![Acts::Never];
        if world.late.is_none() {
            acts.push(Acts::Later);
        }
        steps.extend(acts.iter().map(|acts| Step::Die(life, *acts)));
        if !worker.is_cut_off {
            acts.push(Acts::Now);
            steps.extend(acts.iter().map(|acts| Step::CutOff(life, *acts)));
        }
    }

    fn receive(&self, world: &mut World, index: usize) {
        let life = 1 + world
            .messages
            .iter()
            .map(|message| Life::from(message.receives))
            .sum::<Life>();
        let message = &mut world.messages[index];
        message.receives += 1;
        message.receiver = life;
        message.place = if self.scenario.errs(Mistake::AcknowledgesFirst) {
            Place::Acknowledged
        } else {
            Place::Received
        };
        world.workers.push(Worker {
            life,
            message: index,
            held: Held::default(),
            tries: 0,
            recorded: false,
            is_cut_off: false,
            call: Call::Claim,
            is_repeated: false,
        });
    }

    fn answer(world: &mut World, life: Life, deletes: Deletes) -> Result<(), Wrong> {
        let Some(worker) = world.end(life) else {
            return Ok(());
        };
        let Call::Answer(answer) = worker.call else {
            return Ok(());
        };
        let item = world.item;
        // Or another message sees to it: the record of a later failure.
        let is_open = |(index, it): (usize, &Message)| {
            index != worker.message && it.report.is_some() && it.place != Place::Acknowledged
        };
        let is_reported = world.messages.iter().enumerate().any(is_open);
        let knows = world.has(Status::Completed) || world.is_archived || is_reported;
        let is_delivered = world.is_delivered();
        let message = &mut world.messages[worker.message];
        let back = match answer {
            Answer::Acknowledge if !knows => return Err(Wrong::AcknowledgedUnfinished),
            Answer::Acknowledge
                if message.report.is_some()
                    && item.is_some_and(|item| {
                        item.status == Status::Completed && item.receipt == message.report
                    }) =>
            {
                return Err(Wrong::FailureIgnored);
            }
            Answer::LetGo if !is_delivered => return Err(Wrong::AcknowledgedNowhere),
            Answer::Acknowledge | Answer::LetGo => {
                if deletes == Deletes::Yes && message.place != Place::Parked {
                    message.place = Place::Acknowledged;
                }
                world.let_go |= answer == Answer::LetGo;
                return Ok(());
            }
            Answer::Back => Place::Waiting,
            Answer::BackLater => Place::Away,
        };
        if message.receiver == life && message.place == Place::Received {
            message.place = back;
        }
        Ok(())
    }

    fn die(&self, world: &mut World, life: Life, acts: Acts) -> Result<(), Wrong> {
        world.left.deaths -= 1;
        let Some(worker) = world.worker(life) else {
            return Ok(());
        };
        self.leave(world, &worker, acts)?;
        if worker.is_unrecorded() && !world.is_recorded() {
            world.witness.excuse();
        }
        world.end(life);
        let message = &mut world.messages[worker.message];
        if message.receiver == life && message.place == Place::Received {
            message.place = Place::Away;
        }
        Ok(())
    }

    fn act_late(&self, world: &mut World) -> Result<(), Wrong> {
        let Some(late) = world.late.take() else {
            return Ok(());
        };
        if late.call == Call::Deliver {
            // Why it comes a second time, if it does; whoever sent it has told nobody.
            world.witness.excuse();
        }
        self.act_unheard(world, &late)?;
        world.witness.ended(late.holder);
        Ok(())
    }

    fn act_unheard(&self, world: &mut World, sent: &Sent) -> Result<(), Wrong> {
        self.act(world, sent)?;
        if sent.call == Call::Deliver {
            world.witness.excuse();
        }
        Ok(())
    }

    /// A call whose answer nobody waits for.
    pub(crate) fn leave(
        &self,
        world: &mut World,
        worker: &Worker,
        acts: Acts,
    ) -> Result<(), Wrong> {
        begin(world, worker)?;
        let sent = Sent::now(world, worker);
        match acts {
            Acts::Never => Ok(()),
            Acts::Now => self.act_unheard(world, &sent),
            Acts::Later => {
                world.late = Some(sent.late());
                Ok(())
            }
        }
    }
}
