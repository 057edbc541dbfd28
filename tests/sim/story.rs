//! One story: a queue of dead letters, workers that drain it, and a world that heals in the end.

use std::future::Future;
use std::ops::AddAssign;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join_all;
use genesys_fakes::{
    MemoryArchive, MemoryGenesys, MemoryLedger, MemoryQueues, MemoryTarget, Received, Redrive,
    Status,
};
use genesys_replay::backoff::Backoff;
use genesys_replay::clock::Clock;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::genesys::RetryStatus;
use genesys_replay::ledger::EventKey;
use genesys_replay::message::Message;
use genesys_replay::meter::Meter;
use genesys_replay::replay::{
    Breakers, Handled, Invocation, Limits, Outcome, Policy, Replay, RetryState, Stop,
};
use tokio::time::Instant;
use url::Url;

use crate::bugs::Bug;
use crate::chance::{Chance, Misfortune, SkewedClock};
use crate::history::History;
use crate::watched::{Simulated, WatchedArchive, WatchedLedger, WatchedTarget};

const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:dead-letters";
const PARKING: &str = "arn:aws:sqs:eu-central-1:271828182845:parking";
const TARGET: &str = "https://crm.example/events";

/// As the template has them.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(60);
const VISIBILITY: Duration = Duration::from_secs(360);
const MAX_RECEIVES: u32 = 10;

/// Long after everything must have ended.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// What stories were made of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) invocations: u64,
    pub(crate) kills: u64,
    pub(crate) faults: u64,
    /// Acceptances beyond the first of an event.
    pub(crate) repeated: u64,
    pub(crate) parked: u64,
}

impl AddAssign for Told {
    fn add_assign(&mut self, other: Self) {
        self.invocations += other.invocations;
        self.kills += other.kills;
        self.faults += other.faults;
        self.repeated += other.repeated;
        self.parked += other.parked;
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

struct World {
    chance: Chance,
    started: Instant,
    misfortune: Arc<Misfortune>,
    ledger: MemoryLedger,
    genesys: MemoryGenesys,
    target: MemoryTarget,
    archive: MemoryArchive,
    queues: MemoryQueues,
    history: Arc<History>,
    bug: Option<Bug>,
    url: Url,
    events: u32,
    invocations: AtomicU64,
    kills: AtomicU64,
}

impl World {
    fn new(seed: u64, bug: Option<Bug>) -> Result<Self, String> {
        let chance = Chance::of(seed);
        let started = Instant::now();
        let one_in = chance.draw(|rng| rng.u32(3..40));
        let heals_at = started + Duration::from_secs(chance.draw(|rng| rng.u64(60..3_600)));
        let queues = MemoryQueues::new(Arc::new(SkewedClock::right(started)));
        let redrive = Redrive {
            to: PARKING.to_owned(),
            max_receives: MAX_RECEIVES + 3,
        };
        queues.create(PARKING, None);
        queues.create(QUEUE, Some(redrive));
        let world = Self {
            misfortune: Arc::new(Misfortune::new(chance.clone(), one_in, heals_at)),
            started,
            ledger: MemoryLedger::new(Duration::from_secs(15 * 24 * 3_600)),
            genesys: MemoryGenesys::default(),
            target: MemoryTarget::default(),
            archive: MemoryArchive::default(),
            queues,
            history: Arc::default(),
            bug,
            url: Url::parse(TARGET).map_err(|error| error.to_string())?,
            events: chance.draw(|rng| rng.u32(1..=6)),
            invocations: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            chance,
        };
        for number in 0..world.events {
            world
                .genesys
                .put_participants(&format!("c-{number}"), &[("p-1", "customer")]);
            // Some events come in two messages.
            let copies = if world.chance.happens(3) { 2 } else { 1 };
            for _ in 0..copies {
                world.queues.send(QUEUE, &body(number)).ok_or("no queue")?;
            }
        }
        Ok(world)
    }

    fn key(&self, number: u32) -> Option<EventKey> {
        // As the function makes it; the message's id does not matter for events with an id.
        let message = genesys_replay::message::MessageId::new("any")?;
        let opened = Message::new(message, body(number));
        match genesys_replay::dead_letter::open(&opened) {
            genesys_replay::dead_letter::Opened::DeadLetter(letter) => Some(EventKey::new(
                letter.event_id.as_ref(),
                &opened.id,
                &Destination::Http(self.url.clone()),
            )),
            genesys_replay::dead_letter::Opened::NotAnEvent(_) => None,
        }
    }

    async fn run(self) -> Result<Told, String> {
        let workers = self.chance.draw(|rng| rng.u32(1..=3));
        join_all((0..workers).map(|_| self.worker())).await;
        self.check_end();
        self.history.verdict()?;
        Ok(Told {
            invocations: self.invocations.load(Ordering::Relaxed),
            kills: self.kills.load(Ordering::Relaxed),
            faults: self.misfortune.happened(),
            repeated: self.history.repeated(),
            parked: self.queues.waits(PARKING).len() as u64,
        })
    }

    /// Polls the queue until it is empty; dies now and then and is born again.
    async fn worker(&self) {
        let ahead = self.chance.millis(4_000);
        let clock: Arc<dyn Clock> = Arc::new(SkewedClock::wrong(self.started, ahead));
        let life = Arc::new(AtomicU64::new(0));
        let mut replay = self.function(&clock, &life);
        while !self.queues.waits(QUEUE).is_empty() {
            if self.started.elapsed() > PATIENCE {
                self.history.violated("it does not end".to_owned());
                return;
            }
            tokio::time::sleep(Duration::from_millis(1) + self.chance.millis(5_000)).await;
            let most = self.chance.draw(|rng| rng.usize(1..=10));
            let received = self.queues.receive(QUEUE, most, self.visibility());
            if received.is_empty() {
                continue;
            }
            let number = self.invocations.fetch_add(1, Ordering::Relaxed) + 1;
            life.store(number, Ordering::Relaxed);
            if !self
                .invocation(&replay, &received, number, clock.as_ref())
                .await
            {
                replay = self.function(&clock, &life);
            }
        }
    }

    /// How long received messages stay away: now and then SQS hands a message out once more while
    /// somebody still works on it.
    fn visibility(&self) -> Duration {
        if !self.misfortune.is_over() && self.chance.happens(6) {
            self.chance.millis(5_000)
        } else {
            VISIBILITY
        }
    }

    /// One invocation; false when it was killed.
    async fn invocation(
        &self,
        replay: &Replay<Simulated>,
        received: &[Received],
        number: u64,
        clock: &dyn Clock,
    ) -> bool {
        let messages: Vec<Message> = received.iter().map(message).collect();
        if self.bug == Some(Bug::AcknowledgeFirst) {
            for one in received {
                let _ = self.queues.delete(QUEUE, &one.receipt_handle);
            }
        }
        let invocation = Invocation {
            request_id: format!("request-{number}"),
            function_arn: String::new(),
            deadline: clock.now().plus(FUNCTION_TIMEOUT),
        };
        let dies = !self.misfortune.is_over() && self.chance.happens(2);
        let polls = if dies {
            self.chance.draw(|rng| rng.u32(1..80))
        } else {
            u32::MAX
        };
        let batch = Mortal {
            inner: pin!(replay.batch(&messages, &invocation)),
            polls,
        };
        let handled = tokio::time::timeout(FUNCTION_TIMEOUT, batch).await;
        self.history.died(number);
        let Ok(Some(handled)) = handled else {
            self.kills.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        self.acknowledge(received, &handled);
        true
    }

    /// What Lambda does with the answer, which it may lose.
    fn acknowledge(&self, received: &[Received], handled: &[Handled]) {
        if handled.len() != received.len() {
            self.history.violated(format!(
                "{} of {} have an outcome",
                handled.len(),
                received.len()
            ));
        }
        let lost = !self.misfortune.is_over() && self.chance.happens(20);
        for (one, handled) in received.iter().zip(handled) {
            let outcome = handled.verdict.outcome;
            self.history.write(format!(
                "{} is {} {:?}",
                one.message_id,
                outcome.as_str(),
                handled.verdict.code()
            ));
            if outcome.comes_back() && self.bug != Some(Bug::LostFailures) || lost {
                continue;
            }
            self.check_place(one, outcome);
            // An old receipt deletes nothing: somebody else has the message by now.
            let _ = self.queues.delete(QUEUE, &one.receipt_handle);
        }
    }

    /// What is acknowledged must be somewhere.
    fn check_place(&self, message: &Received, outcome: Outcome) {
        let Some(key) = (0..self.events)
            .find(|number| message.body == body(*number))
            .and_then(|number| self.key(number))
        else {
            return;
        };
        let delivered = self.history.accepted_times(key.as_str()) > 0;
        let archived = self.is_archived(&key);
        let kept = match outcome {
            Outcome::Replayed => delivered,
            Outcome::Archived { .. } => archived,
            Outcome::Duplicate => delivered || archived,
            Outcome::Deferred { .. } | Outcome::Returned { .. } | Outcome::NotAttempted { .. } => {
                false
            }
        };
        if !kept {
            self.history.violated(format!(
                "{key} is acknowledged as {} and is nowhere",
                outcome.as_str()
            ));
        }
    }

    fn is_archived(&self, key: &EventKey) -> bool {
        let id = key.as_str().split('|').next().unwrap_or_default();
        let named = format!("\"event_id\":\"{id}\"");
        self.archive
            .documents()
            .values()
            .any(|document| document.contains(&named))
    }

    fn check_end(&self) {
        let parked = self.queues.receive(PARKING, 1_000, Duration::from_secs(1));
        for number in 0..self.events {
            let Some(key) = self.key(number) else {
                continue;
            };
            let delivered = self.history.accepted_times(key.as_str()) > 0;
            let is_parked = parked.iter().any(|one| one.body == body(number));
            if !(delivered || self.is_archived(&key) || is_parked) {
                self.history.violated(format!("{key} is lost"));
            }
            let Some(item) = self.ledger.item(&key) else {
                continue;
            };
            let marks = self.genesys.marks();
            let conversation = format!("c-{number}");
            let of_it = |interaction: &genesys_replay::genesys::Interaction| matches!(interaction, genesys_replay::genesys::Interaction::Conversation { id, .. } if id.as_str() == conversation);
            let last = marks
                .iter()
                .rfind(|(interaction, _)| of_it(interaction))
                .map(|(_, mark)| mark.status);
            if item.status == Status::Completed {
                if !delivered {
                    self.history
                        .violated(format!("{key} is completed and was never delivered"));
                }
                if item.code.is_none() && last != Some(RetryStatus::ReplaySuccessful) {
                    self.history
                        .violated(format!("{key} is completed, its interaction says {last:?}"));
                }
            }
        }
    }

    /// A new execution environment.
    fn function(&self, clock: &Arc<dyn Clock>, life: &Arc<AtomicU64>) -> Replay<Simulated> {
        let meter = Arc::new(Meter::default());
        Replay {
            ledger: WatchedLedger {
                inner: self.ledger.with_faults(self.misfortune.clone()),
                history: Arc::clone(&self.history),
                bug: self.bug,
            },
            retry_state: RetryState::Required(self.genesys.with_faults(self.misfortune.clone())),
            target: WatchedTarget {
                inner: self.target.with_faults(self.misfortune.clone()),
                ledger: self.ledger.clone(),
                history: Arc::clone(&self.history),
                life: Arc::clone(life),
            },
            archive: Some(WatchedArchive {
                inner: self.archive.with_faults(self.misfortune.clone()),
                bug: self.bug,
            }),
            queue: self.queues.with_faults(self.misfortune.clone()),
            destination: ReplayTarget::Fixed(Destination::Http(self.url.clone())),
            policy: Policy::new(Limits {
                max_attempts: 3,
                max_receives: MAX_RECEIVES,
                backoff: Backoff {
                    base: Duration::from_secs(2),
                    max: Duration::from_secs(900),
                },
                max_wait: Duration::from_secs(2),
                replay_permanent: false,
            }),
            breakers: Breakers::new(Arc::clone(&meter)),
            stop: Stop::default(),
            meter,
            max_concurrency: self.chance.draw(|rng| rng.usize(1..=4)),
            clock: Arc::clone(clock),
            random: Arc::new(self.chance.clone()),
        }
    }
}

/// An event as Genesys Cloud sends it.
fn body(number: u32) -> String {
    format!(
        r#"{{"id":"e-{number}","detail-type":"v2.detail.events.conversation.{{id}}.customer.end","source":"aws.partner/genesys.com/cloud/org/bus","detail":{{"topicName":"v2.detail.events.conversation.c-{number}.customer.end","eventBody":{{"conversationId":"c-{number}"}}}}}}"#
    )
}

fn message(received: &Received) -> Message {
    let mut message = Message::new(received.message_id.clone(), received.body.clone());
    message.receipt_handle = Some(received.receipt_handle.clone());
    message.queue_arn = Some(QUEUE.to_owned());
    message.receive_count = received.receive_count;
    message
}

/// A future that dies at an await point: it is polled so often and then never again.
struct Mortal<F> {
    inner: F,
    polls: u32,
}

impl<F: Future + Unpin> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        Pin::new(&mut self.inner).poll(context).map(Some)
    }
}
