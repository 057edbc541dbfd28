//! What a worker does from its claim on, call by call, as `src/replay/{record,finishing,giving_up,batch}.rs`
//! do it. A call acts at once or later or never; what a worker does between two calls concerns nobody.

use genesys_fakes::{LeaseLost, Life};
use genesys_replay::ledger::Reopen;

use crate::item::{Change, Claimed};
use crate::scenario::Mistake;
use crate::steps::{Acts, ClaimLife, Fate, Then};
use crate::world::{Answer, Call, LEASE, Sent, Worker, World, Wrong};

/// What a call answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Done,
    Claimed(Claimed),
    LeaseLost,
}

impl Worker {
    /// Whether the target has accepted and, as far as the worker knows, the ledger does not know.
    pub(crate) fn is_unrecorded(&self) -> bool {
        match self.call {
            Call::Change(Change::Checkpoint) => true,
            Call::Change(Change::Complete) => !self.recorded,
            Call::Claim
            | Call::Deliver
            | Call::Archive
            | Call::Answer(_)
            | Call::Change(
                Change::NextAttempt | Change::Archived | Change::Failed | Change::Release,
            ) => false,
        }
    }
}

/// A call goes out: the witness looks at what is about to happen.
pub(crate) fn begin(world: &mut World, worker: &Worker) -> Result<(), Wrong> {
    let life = worker.life;
    match worker.call {
        Call::Deliver => {
            let recorded = world.is_recorded();
            world
                .witness
                .delivering(life, worker.held.attempt, recorded)?;
        }
        Call::Change(Change::Complete | Change::Archived | Change::Failed | Change::Release) => {
            world.witness.gives_back(life);
        }
        Call::Change(Change::NextAttempt | Change::Checkpoint)
        | Call::Claim
        | Call::Archive
        | Call::Answer(_) => {}
    }
    Ok(())
}

impl ClaimLife {
    /// What may become of a worker's next call.
    pub(crate) fn fates(&self, world: &World, worker: &Worker) -> Vec<Fate> {
        let is_last = world.messages[worker.message].receives >= self.scenario.last_receive;
        let exhausted = if is_last { Then::GiveUp } else { Then::Defer };
        let may_try = worker.tries < self.scenario.tries;
        let again = may_try.then_some(Then::Again);
        let mut fates = vec![Fate::Answered];
        match worker.call {
            // A refusal by the target or, before it, of the mark.
            Call::Deliver => {
                fates.extend(again.map(Fate::Refused));
                fates.extend([Then::Defer, Then::GiveUp].map(Fate::Refused));
            }
            // The mark before it cannot be written.
            Call::Archive if !worker.is_repeated => fates.push(Fate::Refused(Then::Defer)),
            Call::Change(Change::Complete)
                if worker.recorded && !is_last && !worker.is_repeated =>
            {
                fates.push(Fate::Refused(Then::Defer));
            }
            Call::Claim | Call::Archive | Call::Answer(_) | Call::Change(_) => {}
        }
        if world.left.losses == 0 {
            return fates;
        }
        let thens: &[Then] = match worker.call {
            Call::Deliver if may_try => &[Then::Again, exhausted],
            Call::Deliver => &[exhausted],
            // The SDK asks again by itself.
            Call::Claim | Call::Archive | Call::Change(_) => &[Then::Again, Then::Defer],
            Call::Answer(_) => &[],
        };
        for then in thens {
            fates.push(Fate::Unanswered(Acts::Never, *then));
            fates.push(Fate::Unanswered(Acts::Now, *then));
            if world.late.is_none() {
                fates.push(Fate::Unanswered(Acts::Later, *then));
            }
        }
        fates
    }

    pub(crate) fn call(&self, world: &mut World, life: Life, fate: Fate) -> Result<(), Wrong> {
        let Some(mut worker) = world.worker(life) else {
            return Ok(());
        };
        match fate {
            Fate::Answered => {
                begin(world, &worker)?;
                let reply = self.act(world, &Sent::now(world, &worker))?;
                Self::go_on(&mut worker, reply);
            }
            Fate::Refused(then) => {
                if worker.call == Call::Deliver {
                    begin(world, &worker)?;
                }
                self.fail(&mut worker, then);
            }
            Fate::Unanswered(acts, then) => {
                world.left.losses -= 1;
                self.leave(world, &worker, acts)?;
                match (worker.call, then) {
                    (Call::Deliver, _) => self.fail(&mut worker, then),
                    (call, Then::Again) => {
                        let marks = matches!(call, Call::Archive | Call::Change(Change::Complete));
                        worker.is_repeated = marks;
                    }
                    (_, Then::Defer | Then::GiveUp) => {
                        if worker.call == Call::Change(Change::Checkpoint) && !world.is_recorded() {
                            world.witness.excuse();
                        }
                        self.do_without(&mut worker);
                    }
                }
            }
        }
        worker.is_repeated &= Some(worker.call) == world.worker(life).map(|it| it.call);
        world.put(worker);
        Ok(())
    }

    /// What a call does to the world.
    pub(crate) fn act(&self, world: &mut World, sent: &Sent) -> Result<Reply, Wrong> {
        let life = sent.life;
        match sent.call {
            Call::Claim => {
                let lease_until = sent.at.plus(LEASE);
                let reopen = self.reopen(sent.message);
                let (claimed, item) =
                    self.ledger
                        .claim(world.item, life, sent.at, lease_until, reopen);
                let granted = item != world.item;
                world.item = item;
                if let (Claimed::Ours(_), Some(item)) = (claimed, item)
                    && (granted || sent.holder == life)
                {
                    let until = item.lease_until;
                    world.witness.claimed(sent.holder, sent.at, until)?;
                }
                Ok(Reply::Claimed(claimed))
            }
            Call::Deliver => {
                world.witness.accepted(life)?;
                Ok(Reply::Done)
            }
            Call::Archive => {
                world.is_archived = true;
                Ok(Reply::Done)
            }
            Call::Change(change) => {
                let done = world.item.as_mut().map_or(Err(LeaseLost), |item| {
                    self.ledger.change(item, change, life, sent.held, sent.at)
                });
                Ok(done.map_or(Reply::LeaseLost, |()| Reply::Done))
            }
            Call::Answer(_) => Ok(Reply::Done),
        }
    }

    fn reopen(&self, message: usize) -> Reopen {
        let is_sent_again = self.scenario.messages.is_sent_again(message);
        match (is_sent_again, self.scenario.archive) {
            (true, _) => Reopen::FailedAndArchived,
            (false, true) => Reopen::Failed,
            (false, false) => Reopen::Nothing,
        }
    }

    /// The call was answered.
    fn go_on(worker: &mut Worker, reply: Reply) {
        let is_lost = matches!(reply, Reply::LeaseLost);
        worker.call = match worker.call {
            Call::Claim => match reply {
                Reply::Claimed(Claimed::Ours(held)) => {
                    worker.held = held;
                    worker.recorded = held.delivered.is_some();
                    worker.tries = u8::from(!worker.recorded);
                    if worker.recorded {
                        Call::Change(Change::Complete)
                    } else {
                        Call::Deliver
                    }
                }
                Reply::Claimed(Claimed::Done) => Call::Answer(Answer::Acknowledge),
                Reply::Claimed(Claimed::Held) => Call::Answer(Answer::BackLater),
                Reply::Claimed(Claimed::GivenUp) | Reply::Done | Reply::LeaseLost => {
                    Call::Answer(Answer::Back)
                }
            },
            Call::Deliver => Call::Change(Change::Checkpoint),
            Call::Archive => Call::Change(Change::Archived),
            Call::Change(Change::NextAttempt) if !is_lost => {
                worker.held.attempt += 1;
                worker.tries += 1;
                Call::Deliver
            }
            Call::Change(Change::Checkpoint) if !is_lost => {
                worker.held.delivered = Some(worker.held.attempt);
                worker.recorded = true;
                if worker.is_cut_off {
                    Call::Answer(Answer::Back)
                } else {
                    Call::Change(Change::Complete)
                }
            }
            Call::Change(Change::Complete | Change::Archived) if !is_lost => {
                Call::Answer(Answer::Acknowledge)
            }
            Call::Change(Change::Complete) if !worker.recorded => Call::Answer(Answer::LetGo),
            Call::Change(_) => Call::Answer(Answer::Back),
            answer @ Call::Answer(_) => answer,
        };
    }

    /// The ledger or the archive cannot be reached.
    fn do_without(&self, worker: &mut Worker) {
        worker.call = match worker.call {
            Call::Claim if self.scenario.errs(Mistake::GoesOnWithoutClaim) => {
                worker.held.attempt = 1;
                worker.tries = 1;
                Call::Deliver
            }
            Call::Change(Change::Checkpoint) if worker.is_cut_off => Call::Answer(Answer::LetGo),
            Call::Change(Change::Checkpoint) => {
                worker.held.delivered = Some(worker.held.attempt);
                Call::Change(Change::Complete)
            }
            Call::Change(Change::Complete) if !worker.recorded => Call::Answer(Answer::LetGo),
            Call::Archive => Call::Change(Change::Release),
            Call::Claim | Call::Deliver | Call::Change(_) => Call::Answer(Answer::Back),
            answer @ Call::Answer(_) => answer,
        };
    }

    /// An attempt failed, or a mark was not written.
    fn fail(&self, worker: &mut Worker, then: Then) {
        worker.call = match then {
            Then::Again if self.scenario.errs(Mistake::CountsNoRetry) => {
                worker.tries += 1;
                Call::Deliver
            }
            Then::Again => Call::Change(Change::NextAttempt),
            Then::Defer => Call::Change(Change::Release),
            Then::GiveUp if self.scenario.errs(Mistake::ArchivesLast) => {
                Call::Answer(Answer::Acknowledge)
            }
            Then::GiveUp if self.scenario.archive => Call::Archive,
            Then::GiveUp => Call::Change(Change::Failed),
        };
    }

    /// The worker's last word before the deadline, or after a panic.
    pub(crate) fn cut_off(&self, world: &mut World, life: Life, acts: Acts) -> Result<(), Wrong> {
        world.left.deaths -= 1;
        let Some(mut worker) = world.worker(life) else {
            return Ok(());
        };
        self.leave(world, &worker, acts)?;
        worker.is_cut_off = true;
        worker.call = if worker.call == Call::Claim || worker.recorded {
            Call::Answer(Answer::Back)
        } else if worker.is_unrecorded() && !self.scenario.errs(Mistake::GivesBackAccepted) {
            worker.held.delivered = None;
            Call::Change(Change::Checkpoint)
        } else {
            Call::Change(Change::Release)
        };
        worker.is_repeated = false;
        world.put(worker);
        Ok(())
    }
}
