//! A worker: what Lambda does around the function, with invocations that are killed, told to stop, or
//! whose answer is lost.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, select};
use genesys_fakes::Received;
use genesys_replay::backoff::Backoff;
use genesys_replay::clock::Clock;
use genesys_replay::destination::ReplayTarget;
use genesys_replay::failure::FailureCode;
use genesys_replay::message::Message;
use genesys_replay::meter::UpstreamCounters;
use genesys_replay::replay::{
    CircuitBreakers, Counts, Invocation, KnownLimits, LedgerLatency, Limits, Policy, RecordReport,
    Replay, RetryState, Shutdown,
};
use tokio::time::Instant;

use crate::bugs::Bug;
use crate::chance::SkewedClock;
use crate::marks::WatchedGenesys;
use crate::scene::{Marking, Order};
use crate::story::World;
use crate::trouble::Trouble;
use crate::watched::{
    AtWork, Simulated, WatchedArchive, WatchedLedger, WatchedQueue, WatchedTarget,
};

/// As the template has them.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(60);
const VISIBILITY: Duration = Duration::from_secs(360);

/// Long after everything must have ended.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// One of those who drain the queue.
pub(crate) struct Worker<'w> {
    world: &'w World,
    clock: Arc<dyn Clock>,
    at_work: AtWork,
}

impl<'w> Worker<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        let ahead = world.scene.skew(&world.chance);
        Self {
            world,
            clock: Arc::new(SkewedClock::wrong(world.started, ahead)),
            at_work: AtWork::default(),
        }
    }

    /// Polls the queue until it is empty; dies now and then and is born again.
    pub(crate) async fn run(self) {
        let World { chance, places, .. } = self.world;
        let begun = Instant::now();
        let mut replay = self.function();
        loop {
            places.records_arrive();
            let is_empty = places.queues.inside(places.queue).is_empty();
            if is_empty && !places.late.are_on_their_way() {
                return;
            }
            if begun.elapsed() > PATIENCE {
                self.world.history.violated(None, &"it does not end");
                return;
            }
            if self.world.scene.order == Order::Any {
                places
                    .queues
                    .shuffle(places.queue, |below| chance.draw(|rng| rng.usize(0..below)));
            }
            tokio::time::sleep(Duration::from_millis(1) + chance.millis(self.world.scene.pace_ms))
                .await;
            let most = chance.draw(|rng| rng.usize(1..=10));
            let received = places.queues.receive(places.queue, most, self.visibility());
            if received.is_empty() {
                // Rounds take hours: a healed world need not be looked at twice a second.
                if self.world.misfortune.is_over() || self.world.scene.trouble != Trouble::None {
                    tokio::time::sleep(chance.millis(20_000)).await;
                }
            } else if !self.invocation(&replay, &received).await {
                replay = self.function();
            }
        }
    }

    /// Whether a misfortune happens that comes once in so many times, until the world has healed.
    fn unlucky(&self, one_in: u32) -> bool {
        !self.world.misfortune.is_over() && self.world.chance.happens(one_in)
    }

    /// How long received messages stay away: now and then SQS hands a message out once more while
    /// somebody still works on it.
    fn visibility(&self) -> Duration {
        if self.unlucky(self.world.scene.early_in) {
            self.world.chance.millis(self.world.scene.pace_ms)
        } else {
            VISIBILITY
        }
    }

    /// One invocation; false when the execution environment is no more.
    async fn invocation(&self, replay: &Replay<Simulated>, received: &[Received]) -> bool {
        let World {
            chance,
            history,
            places,
            ..
        } = self.world;
        let life = self.world.invocations.fetch_add(1, Ordering::Relaxed) + 1;
        self.at_work.begin(life);
        let messages: Vec<Message> = received.iter().map(|one| self.message(one)).collect();
        let ids: Vec<&str> = messages.iter().map(|it| it.id.as_str()).collect();
        history.write(format!("life {life} begins with {}", ids.join(", ")));
        if self.world.bug == Some(Bug::AcknowledgeFirst) {
            for one in received {
                let _ = places.queues.delete(places.queue, &one.receipt_handle);
            }
        }
        let invocation = Invocation {
            request_id: format!("request-{life}"),
            function_arn: String::new(),
            deadline: self.clock.now().plus(FUNCTION_TIMEOUT),
        };
        let polls = if self.unlucky(2) {
            chance.draw(|rng| rng.u32(1..80))
        } else {
            u32::MAX
        };
        let stops_after = self
            .unlucky(self.world.scene.stops_in)
            .then(|| chance.millis(2_000));
        let stops = pin!(async {
            match stops_after {
                Some(after) => tokio::time::sleep(after).await,
                None => pending().await,
            }
            replay.shutdown.trigger();
            pending::<()>().await;
        });
        let batch = Mortal {
            // Dropped where it dies, and not at the end of this function.
            inner: Box::pin(replay.batch(&messages, &invocation)),
            polls,
        };
        let handled = match tokio::time::timeout(FUNCTION_TIMEOUT, select(batch, stops)).await {
            Ok(Either::Left((handled, _))) => handled,
            Ok(Either::Right(_)) | Err(_) => None,
        };
        let Some(mut handled) = handled else {
            history.ended(life, "is killed");
            self.world.kills.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        if self.world.bug == Some(Bug::ForgottenRecord) {
            handled.pop();
        }
        history.ended(life, "ends");
        self.acknowledge(received, &handled);
        stops_after.is_none()
    }

    fn message(&self, received: &Received) -> Message {
        let bug = self.world.bug;
        let draft = received.draft.clone();
        let mut message = Message::new(received.message_id.clone(), draft.body);
        message.receipt_handle = Some(received.receipt_handle.clone());
        message.queue_arn = Some(self.world.places.queue.to_owned());
        message.receive_count = received.receive_count;
        message.sent_at = Some(received.sent_at);
        message.group = draft.group;
        message.attributes = draft.attributes;
        if bug == Some(Bug::GroupsIgnored) && message.group.is_some() {
            message.group = Some(message.id.to_string());
        }
        if bug == Some(Bug::SharedKey) {
            let shared = ("ReplayEventId".to_owned(), "shared".to_owned());
            message.attributes.extend([shared]);
        }
        if bug == Some(Bug::PlanIgnored) {
            message.attributes.remove("ReplayPlan");
        }
        message
    }

    /// What Lambda does with the answer, which it may lose.
    fn acknowledge(&self, received: &[Received], handled: &[RecordReport]) {
        let World {
            history,
            places,
            bug,
            ..
        } = self.world;
        let unaccounted = Counts::of(handled).unaccounted(received.len());
        if unaccounted > 0 {
            let what = format!("{unaccounted} of {} have no outcome", received.len());
            history.violated(None, &what);
        }
        let lost = self.unlucky(20);
        for (one, handled) in received.iter().zip(handled) {
            let outcome = handled.result.outcome;
            let code = handled.result.code();
            history.write(format!(
                "{} is {} {code:?}",
                one.message_id,
                outcome.as_str()
            ));
            if let Some(what) = self.world.scene.trouble.violation(&handled.result) {
                history.violated(None, &format!("{} is {what}", one.message_id));
            }
            if code == Some(FailureCode::Internal) {
                let what = format!("a panic over {}", one.message_id);
                history.violated(None, &what);
            }
            if one.message_id != handled.message_id {
                let what = format!("the outcome of {} is another's", one.message_id);
                history.violated(None, &what);
            }
            if outcome.returns_to_queue() && *bug != Some(Bug::LostFailures) || lost {
                continue;
            }
            places.check_acknowledged(&one.message_id, outcome);
            // An old receipt deletes nothing: somebody else has the message by now.
            let _ = places.queues.delete(places.queue, &one.receipt_handle);
        }
    }

    /// A new execution environment.
    fn function(&self) -> Replay<Simulated> {
        let World {
            chance,
            scene,
            misfortune,
            history,
            places,
            bug,
            ..
        } = self.world;
        let meter = Arc::new(UpstreamCounters::default());
        let genesys = WatchedGenesys {
            inner: self.world.genesys.with_faults(misfortune.clone()),
            history: Arc::clone(history),
            misfortune: Arc::clone(misfortune),
            denied: scene
                .letters
                .iter()
                .map(|letter| letter.conversation())
                .filter(|conversation| scene.is_denied(conversation))
                .collect(),
            bug: *bug,
        };
        Replay {
            ledger: WatchedLedger {
                inner: places.ledger.with_faults(misfortune.clone()),
                history: Arc::clone(history),
                at_work: self.at_work.clone(),
                bug: *bug,
            },
            retry_state: match scene.marking {
                Marking::Required => RetryState::Required(genesys),
                Marking::BestEffort => RetryState::BestEffort(genesys),
                Marking::Off => RetryState::Off,
            },
            target: WatchedTarget {
                inner: self.world.target.with_faults(misfortune.clone()),
                late: scene.late,
                chance: chance.clone(),
                misfortune: Arc::clone(misfortune),
                clock: Arc::new(SkewedClock::right(self.world.started)),
                places: Arc::clone(places),
                at_work: self.at_work.clone(),
                bug: *bug,
            },
            archive: scene.has_archive.then(|| WatchedArchive {
                inner: places.archive.with_faults(misfortune.clone()),
                history: Arc::clone(history),
                bug: *bug,
            }),
            queue: WatchedQueue {
                inner: places.queues.with_faults(misfortune.clone()),
                bug: *bug,
            },
            destination: ReplayTarget::Fixed(places.destination.clone()),
            policy: Policy::new(Limits {
                max_attempts: 3,
                retry_for: Duration::from_secs(72 * 3_600),
                max_receives: scene.max_receives(),
                stale_after: None,
                backoff: Backoff {
                    base: Duration::from_secs(2),
                    max: Duration::from_secs(match scene.trouble {
                        Trouble::None => 900,
                        Trouble::Outage | Trouble::WrongAddress | Trouble::Division => 3_600,
                    }),
                },
                max_wait: Duration::from_secs(2),
                replay_malformed: false,
                max_rounds: scene.late.max_rounds(),
            }),
            circuit_breakers: CircuitBreakers::new(Arc::clone(&meter)),
            ledger_latency: LedgerLatency::default(),
            known_limits: KnownLimits::default(),
            shutdown: Shutdown::default(),
            meter,
            max_concurrency: chance.draw(|rng| rng.usize(1..=4)),
            clock: Arc::clone(&self.clock),
            random: Arc::new(chance.clone()),
        }
    }
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
