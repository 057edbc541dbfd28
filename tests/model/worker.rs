//! What a worker does from its claim on, call by call, as `src/replay/{record,finishing,giving_up,batch}.rs`
//! do it. A call acts at once or later or never; what a worker does between two calls concerns nobody.

use genesys_fakes::{LeaseLost, Life};
use genesys_replay::ledger::ReopenPolicy;

use crate::item::{Asks, Change, Claimed};
use crate::scenario::Mistake;
use crate::steps::{Acts, ClaimLife, Fate, Then};
use crate::world::{Answer, Call, LEASE, Sent, Worker, World, Wrong};

/// What a call answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Done,
    /// The target has accepted it, for the n-th time.
    Accepted(u32),
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
            | Call::ClaimForBookkeeping
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
        | Call::ClaimForBookkeeping
        | Call::BeginRound
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
            Call::Claim
            | Call::ClaimForBookkeeping
            | Call::BeginRound
            | Call::Archive
            | Call::Answer(_)
            | Call::Change(_) => {}
        }
        if world.left.losses == 0 {
            return fates;
        }
        let thens: &[Then] = match worker.call {
            Call::Deliver if may_try => &[Then::Again, exhausted],
            Call::Deliver => &[exhausted],
            // The SDK asks again by itself.
            Call::Claim
            | Call::ClaimForBookkeeping
            | Call::BeginRound
            | Call::Archive
            | Call::Change(_) => &[Then::Again, Then::Defer],
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
                let report = world.messages[worker.message].report;
                self.go_on(&mut worker, report, reply);
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
            Call::Claim | Call::ClaimForBookkeeping => {
                let lease_until = sent.at.plus(LEASE);
                let report = world.messages[sent.message].report;
                let asks = Asks {
                    reopen: self.reopen(sent.message),
                    is_failure_record: report.is_some() && sent.call == Call::Claim,
                };
                let (claimed, item) =
                    self.ledger
                        .claim(world.item, life, sent.at, lease_until, asks);
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
                // One that acts late belongs to an earlier round.
                if sent.holder == life && world.rounds >= self.scenario.max_rounds {
                    return Err(Wrong::TooManyRounds);
                }
                world.witness.accepted(life)?;
                Ok(Reply::Accepted(world.witness.accepted_times()))
            }
            Call::BeginRound => self.begin_round(world, sent),
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

    fn begin_round(&self, world: &mut World, sent: &Sent) -> Result<Reply, Wrong> {
        let Some(item) = &mut world.item else {
            return Ok(Reply::LeaseLost);
        };
        let before = *item;
        let begun = self.ledger.begin_round(item, sent.life, sent.held, sent.at);
        if *item != before {
            let mut records = world.messages.iter().filter_map(|it| it.report);
            if !records.any(|failed| before.receipt == Some(failed)) {
                return Err(Wrong::RoundWithoutFailure);
            }
            world.rounds += 1;
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

    /// The call was answered.
    fn go_on(&self, worker: &mut Worker, report: Option<u32>, reply: Reply) {
        let is_lost = matches!(reply, Reply::LeaseLost);
        worker.call = match worker.call {
            claim @ (Call::Claim | Call::ClaimForBookkeeping) => match reply {
                Reply::Claimed(Claimed::Ours(held)) => {
                    worker.held = held;
                    worker.recorded = held.delivered.is_some();
                    worker.tries = u8::from(!worker.recorded);
                    if worker.recorded {
                        Call::Change(Change::Complete)
                    } else if claim == Call::ClaimForBookkeeping {
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
                    if self.scenario.errs(Mistake::IgnoresLaterFailures) {
                        Call::Answer(Answer::Acknowledge)
                    } else if receipt == report || self.scenario.errs(Mistake::ComparesNoDeliveries)
                    {
                        Call::BeginRound
                    } else {
                        Call::ClaimForBookkeeping
                    }
                }
                Reply::Claimed(Claimed::Done) => Call::Answer(Answer::Acknowledge),
                Reply::Claimed(Claimed::Held) => Call::Answer(Answer::BackLater),
                Reply::Claimed(Claimed::GivenUp)
                | Reply::Done
                | Reply::Accepted(_)
                | Reply::LeaseLost => Call::Answer(Answer::Back),
            },
            // Taken up once more, only to be rejected.
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
            Call::BeginRound | Call::Change(_) => Call::Answer(Answer::Back),
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
            Call::Claim
            | Call::ClaimForBookkeeping
            | Call::BeginRound
            | Call::Deliver
            | Call::Change(_) => Call::Answer(Answer::Back),
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
        let is_begun = matches!(
            worker.call,
            Call::Claim | Call::ClaimForBookkeeping | Call::BeginRound
        );
        worker.call = if is_begun || worker.recorded {
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
