//! One story: a queue of dead letters, workers that drain it, and a world that heals in the end.

use std::iter::Sum;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use genesys_fakes::{
    MemoryGenesys, MemoryLedger, MemoryQueues, MemoryTarget, Redrive, Rules, Status,
};
use genesys_replay::clock::Clock;
use genesys_replay::destination::Destination;
use genesys_replay::genesys::{Interaction, RetryStatus};
use tokio::time::Instant;
use url::Url;

use crate::bugs::Bug;
use crate::chance::{Chance, Misfortune, SkewedClock};
use crate::history::History;
use crate::late::{self, Reports};
use crate::letters::{Kind, Letter};
use crate::places::{Places, Posted};
use crate::scene::{Marking, Order, Scene, Stragglers};
use crate::worker::Worker;

const TARGET: &str = "https://crm.example/events";

/// How long the ledger remembers, and SQS keeps a message at most.
const REMEMBER: Duration = Duration::from_secs(15 * 24 * 3_600);
const RETENTION: Duration = Duration::from_secs(14 * 24 * 3_600);

/// What stories were made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) messages: u64,
    pub(crate) invocations: u64,
    pub(crate) kills: u64,
    pub(crate) faults: u64,
    pub(crate) delivered: u64,
    /// Acceptances beyond the first of an event.
    pub(crate) repeated: u64,
    pub(crate) archived: u64,
    /// Acceptances of what a worker had archived and not settled: the object stays.
    pub(crate) after_archiving: u64,
    pub(crate) parked: u64,
    pub(crate) sent_again: u64,
    pub(crate) stragglers: u64,
    /// Failure records: deliveries that failed after they were accepted.
    pub(crate) failed_later: u64,
    /// Events that were archived because SQS was about to delete their messages.
    pub(crate) expired: u64,
}

impl AddAssign for Told {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.invocations += other.invocations;
        self.kills += other.kills;
        self.faults += other.faults;
        self.delivered += other.delivered;
        self.repeated += other.repeated;
        self.archived += other.archived;
        self.after_archiving += other.after_archiving;
        self.parked += other.parked;
        self.sent_again += other.sent_again;
        self.stragglers += other.stragglers;
        self.failed_later += other.failed_later;
        self.expired += other.expired;
    }
}

impl Sum for Told {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, told| {
            sum += told;
            sum
        })
    }
}

impl Told {
    /// Whether everything that stories are about has happened: others prove nothing.
    pub(crate) fn is_eventful(&self) -> bool {
        let all = [
            self.messages,
            self.invocations,
            self.kills,
            self.faults,
            self.delivered,
            self.repeated,
            self.archived,
            self.parked,
            self.sent_again,
            self.stragglers,
            self.failed_later,
            self.expired,
        ];
        all.into_iter().all(|times| times > 0)
    }
}

/// Tells the story of a seed; `Err` is what must not have happened.
pub(crate) fn tell(seed: u64, bug: Option<Bug>) -> Result<Told, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async { World::new(seed, bug)?.run().await })
}

/// All that a story has, apart from its workers.
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) scene: Scene,
    pub(crate) started: Instant,
    pub(crate) misfortune: Arc<Misfortune>,
    pub(crate) genesys: MemoryGenesys,
    pub(crate) target: MemoryTarget,
    pub(crate) places: Arc<Places>,
    pub(crate) history: Arc<History>,
    pub(crate) bug: Option<Bug>,
    /// Counted here so that no two invocations are alike.
    pub(crate) invocations: AtomicU64,
    pub(crate) kills: AtomicU64,
}

impl World {
    fn new(seed: u64, bug: Option<Bug>) -> Result<Self, String> {
        let chance = Chance::of(seed);
        let scene = Scene::drawn(&chance);
        let started = Instant::now();
        let history = Arc::new(History::new(started, scene.clocks));
        history.write(format!("{scene:?}"));
        let (queue, parking) = if scene.order == Order::Groups {
            (
                "arn:aws:sqs:eu-central-1:271828182845:dead-letters.fifo",
                "arn:aws:sqs:eu-central-1:271828182845:parking.fifo",
            )
        } else {
            (
                "arn:aws:sqs:eu-central-1:271828182845:dead-letters",
                "arn:aws:sqs:eu-central-1:271828182845:parking",
            )
        };
        let queues = MemoryQueues::new(Arc::new(SkewedClock::right(started)));
        let redrive = Redrive {
            to: parking.to_owned(),
            max_receives: scene.max_receives() + 3,
        };
        queues.create(parking, None);
        queues.create(queue, Some(redrive));
        let rules = Rules::new(REMEMBER);
        let rules = match bug {
            Some(Bug::Ledger(flaw)) => rules.flawed(flaw),
            Some(_) | None => rules,
        };
        let url = Url::parse(TARGET).map_err(|error| error.to_string())?;
        let destination = match scene.late.reports {
            Reports::Never => Destination::Http(url),
            Reports::OnFailure | Reports::OwnQueue => Destination::of_arn(late::FUNCTION),
            Reports::Redrive => Destination::of_arn(late::QUEUE),
        };
        if let Some(retention) = scene.late.retention {
            queues.keep_for(queue, retention);
        }
        let places = Places::new(
            queues,
            (queue, parking),
            MemoryLedger::with_rules(rules),
            Arc::clone(&history),
            destination,
        );
        let genesys = MemoryGenesys::default();
        for letter in &scene.letters {
            genesys.put_participants(&letter.conversation(), &[("p-1", "customer")]);
            // Some events come in two messages.
            let twice = letter.has_own_id() && chance.happens(3);
            for _ in 0..if twice { 2 } else { 1 } {
                let draft = letter.draft(scene.order, false);
                places.post(*letter, draft).ok_or("there is no queue")?;
            }
        }
        Ok(Self {
            misfortune: Arc::new(Misfortune::new(chance.clone(), &scene, started)),
            scene,
            started,
            genesys,
            target: places.target.clone(),
            places: Arc::new(places),
            history,
            bug,
            invocations: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            chance,
        })
    }

    async fn run(self) -> Result<Told, String> {
        self.drain().await;
        let sent_again = self.operator_sends_again().await?;
        let stragglers = self.stragglers_come().await?;
        self.places.check_end();
        self.check_marks();
        self.check_keys();
        self.history.result()?;
        let posts = self.places.posted();
        let count = |counts: &dyn Fn(&Posted) -> bool| {
            posts.iter().filter(|posted| counts(posted)).count() as u64
        };
        Ok(Told {
            messages: posts.len() as u64,
            invocations: self.invocations.load(Ordering::Relaxed),
            kills: self.kills.load(Ordering::Relaxed),
            faults: self.misfortune.happened(),
            delivered: count(&|posted| self.places.is_delivered(&posted.key)),
            repeated: self.history.repeated(),
            archived: count(&|posted| self.places.is_archived(&posted.key)),
            after_archiving: self.history.after_archiving(),
            parked: self.places.queues.inside(self.places.parking).len() as u64,
            sent_again,
            stragglers,
            failed_later: count(&|posted| posted.is_record),
            expired: self.places.expired(),
        })
    }

    /// Lets workers empty the queue.
    async fn drain(&self) {
        let workers = (0..self.scene.workers).map(|_| Worker::new(self).run());
        join_all(workers).await;
    }

    /// Once all is over an operator sends again what was archived, and each must be taken up anew.
    async fn operator_sends_again(&self) -> Result<u64, String> {
        if !self.scene.resends {
            return Ok(0);
        }
        self.healed().await;
        let mut again: Vec<Letter> = Vec::new();
        for posted in self.places.posted() {
            let known = again.iter().any(|it| it.number == posted.letter.number);
            // An event that was delivered after all needs nobody.
            let item = self.places.ledger.item(&posted.key);
            let delivered = item.is_some_and(|it| it.delivered.is_some());
            let meant = self.places.is_archived(&posted.key) && !delivered && !known;
            if meant && !matches!(posted.letter.kind, Kind::Echo | Kind::Text) {
                again.push(posted.letter);
            }
        }
        let before = self.places.attempts();
        let mut sent = Vec::new();
        for letter in &again {
            let draft = letter.draft(self.scene.order, true);
            sent.extend(self.places.post(*letter, draft));
        }
        self.drain().await;
        for posted in &sent {
            let before = before.get(&posted.key).copied().unwrap_or(0);
            if !self.places.has_ended_anew(posted, before) {
                let what = "an operator sent it again, and nobody took it up";
                self.history.violated(Some(posted.key.as_str()), &what);
            }
        }
        Ok(sent.len() as u64)
    }

    /// Copies of events come long after; all that is finished must be known.
    async fn stragglers_come(&self) -> Result<u64, String> {
        let (after, swept) = match self.scene.stragglers {
            Stragglers::None => return Ok(0),
            Stragglers::WhileKept => (RETENTION, true),
            Stragglers::NotYetSwept => (REMEMBER + Duration::from_secs(24 * 3_600), false),
        };
        self.healed().await;
        tokio::time::sleep(after).await;
        if swept {
            let now = SkewedClock::right(self.started).now();
            self.places.ledger.sweep(now);
        }
        let mut late = 0;
        for letter in &self.scene.letters {
            if letter.kind == Kind::Event {
                let draft = letter.draft(self.scene.order, false);
                self.places
                    .post(*letter, draft)
                    .ok_or("there is no queue")?;
                late += 1;
            }
        }
        self.drain().await;
        Ok(late)
    }

    async fn healed(&self) {
        tokio::time::sleep_until(self.started + self.scene.heals_after).await;
    }

    /// What an interaction shows last agrees with what the ledger says of its event.
    fn check_marks(&self) {
        let marks = self.genesys.marks();
        for posted in self.places.posted() {
            let conversation = posted.letter.conversation();
            let of_it = |interaction: &Interaction| match interaction {
                Interaction::Conversation { id, .. } | Interaction::Record { id } => {
                    id.as_str() == conversation
                }
            };
            let last = marks.iter().rfind(|(interaction, _)| of_it(interaction));
            let last = last.map(|(_, mark)| mark.status);
            let key = posted.key.as_str();
            let violated = |what: String| self.history.violated(Some(key), &what);
            let is_marked = match posted.letter.kind {
                Kind::Event | Kind::Nameless | Kind::Malformed => {
                    self.scene.marking != Marking::Off
                }
                Kind::Audit | Kind::Echo | Kind::Text => false,
            };
            if last.is_some() && !is_marked {
                violated(format!("marked {last:?} although it must not be"));
            }
            let Some(item) = self.places.ledger.item(&posted.key) else {
                continue;
            };
            // Who was overtaken may have marked last; an event without an id may be another one when it is resent,
            // or when its failure record comes and its delivery is not indexed.
            if self.scene.marking != Marking::Required
                || !is_marked
                || self.history.was_disturbed(key)
                || !posted.letter.has_own_id()
                    && (self.scene.resends || self.places.late.failed(&posted.letter.body()) > 0)
            {
                continue;
            }
            let says = match last {
                Some(RetryStatus::ReplaySuccessful) => "success",
                Some(RetryStatus::ReplayFailed | RetryStatus::ExhaustedRetries) => "failure",
                Some(RetryStatus::Retrying) | None => "nothing final",
            };
            match item.status {
                Status::Completed if item.code.is_none() && says != "success" => {
                    violated(format!("completed, and its interaction says {says}"));
                }
                // Where no call has failed there is no excuse.
                Status::Archived | Status::Failed
                    if !self.places.is_delivered(&posted.key)
                        // The mark of an earlier round stays where no other can be written.
                        && (says == "success" && (self.places.late.failed(&posted.letter.body()) == 0 || self.history.is_marked(&conversation))
                            || says != "failure" && self.history.is_marked(&conversation)) =>
                {
                    violated(format!("archived, and its interaction says {says}"));
                }
                Status::InProgress
                | Status::Deferred
                | Status::Completed
                | Status::Archived
                | Status::Failed
                | Status::Discarded => {}
            }
        }
    }

    /// A target tells a repetition by its key.
    fn check_keys(&self) {
        let accepted = self.target.accepted();
        for one in &accepted {
            let mut same = accepted.iter().filter(|it| it.payload == one.payload);
            let nameless = one.payload.starts_with("{\"interactionId\"");
            if !nameless && same.any(|it| it.key != one.key) {
                let what = "accepted twice under different keys";
                self.history.violated(Some(&one.key), &what);
            }
        }
    }
}
