//! A worker: Lambda's part around the function, with invocations that are killed, get a shutdown, or lose
//! their response.

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
    CircuitBreakers, Counts, Invocation, KnownQueues, LedgerLatency, Limits, Policy, RecordReport,
    Replay, RetryState, Shutdown,
};
use tokio::time::Instant;

use crate::bugs::Bug;
use crate::config::{QueueKind, RetryStateMode};
use crate::fault_kinds::FaultKind;
use crate::faults::SkewedClock;
use crate::genesys_port::WatchedGenesys;
use crate::lasting_fault::LastingFault;
use crate::ports::{
    CurrentInvocation, Simulated, WatchedArchive, WatchedLedger, WatchedQueue, WatchedTarget,
};
use crate::simulation::Simulation;

/// The values of the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(60);
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(360);

/// The maximum duration of a run: longer than the retention of SQS, because a message that was not attempted may wait
/// for half a day at each receive.
const MAX_RUN_TIME: Duration = Duration::from_secs(15 * 24 * 3_600);

/// The maximum duration of a run with an injected bug, which may never end.
const MAX_RUN_TIME_WITH_BUG: Duration = Duration::from_secs(24 * 3_600);

/// The time after which only messages with long visibility timeouts are left.
const LONG_RUN: Duration = Duration::from_secs(4 * 3_600);

/// A worker that drains the queue.
pub(crate) struct Worker<'w> {
    simulation: &'w Simulation,
    clock: Arc<dyn Clock>,
    current_invocation: CurrentInvocation,
}

impl<'w> Worker<'w> {
    pub(crate) fn new(simulation: &'w Simulation) -> Self {
        let ahead = simulation.config.skew(&simulation.rng);
        Self {
            simulation,
            clock: Arc::new(SkewedClock::wrong(simulation.started, ahead)),
            current_invocation: CurrentInvocation::default(),
        }
    }

    /// Polls the queue until it is empty, with a new execution environment after each crash.
    pub(crate) async fn run(self) {
        let Simulation { rng, locations, .. } = self.simulation;
        let begun = Instant::now();
        let has_bug = self.simulation.bug.is_some();
        let max_run_time = if has_bug { MAX_RUN_TIME_WITH_BUG } else { MAX_RUN_TIME };
        let mut replay = self.function();
        loop {
            locations.send_due_failure_records();
            let is_empty = locations.queues.inside(locations.queue).is_empty();
            if is_empty && !locations.late.is_any_pending() {
                return;
            }
            if begun.elapsed() > max_run_time {
                self.simulation.history.violation_found(None, &"the run does not end");
                return;
            }
            if self.simulation.config.queue_kind == QueueKind::Standard {
                locations
                    .queues
                    .shuffle(locations.queue, |below| rng.draw(|rng| rng.usize(0..below)));
            }
            tokio::time::sleep(
                Duration::from_millis(1) + rng.millis(self.simulation.config.max_poll_delay_ms),
            )
            .await;
            let received = self.receive();
            if received.is_empty() {
                // Rounds take hours: without faults, a poll every 20 seconds is enough.
                if begun.elapsed() > LONG_RUN {
                    tokio::time::sleep(rng.millis(3_600_000)).await;
                } else if self.simulation.faults.has_ended()
                    || self.simulation.config.lasting_fault != LastingFault::None
                {
                    tokio::time::sleep(rng.millis(20_000)).await;
                }
            } else if !self.invocation(&replay, &received).await {
                replay = self.function();
            }
        }
    }

    /// Receives messages. Sometimes the visibility timeout ends while a worker still has them.
    fn receive(&self) -> Vec<Received> {
        let Simulation { rng, locations, faults, config, .. } = self.simulation;
        let is_early =
            faults.may_strike(FaultKind::EarlyRedelivery, config.early_redelivery_one_in);
        let timeout =
            if is_early { rng.millis(config.max_poll_delay_ms) } else { VISIBILITY_TIMEOUT };
        let most = rng.draw(|rng| rng.usize(1..=10));
        let received = locations.queues.receive(locations.queue, most, timeout);
        if is_early && !received.is_empty() {
            faults.count(FaultKind::EarlyRedelivery);
        }
        received
    }

    /// Runs one invocation. Returns false if the execution environment has ended.
    async fn invocation(&self, replay: &Replay<Simulated>, received: &[Received]) -> bool {
        let Simulation { rng, history, locations, faults, config, .. } = self.simulation;
        let worker_id = self.simulation.invocations.fetch_add(1, Ordering::Relaxed) + 1;
        self.current_invocation.begin(worker_id);
        let messages: Vec<Message> = received.iter().map(|one| self.message(one)).collect();
        let ids: Vec<&str> = messages.iter().map(|it| it.id.as_str()).collect();
        history.log(format!("worker {worker_id} begins with {}", ids.join(", ")));
        if self.simulation.bug == Some(Bug::AcknowledgeFirst) {
            for one in received {
                let _ = locations.queues.delete(locations.queue, &one.receipt_handle);
            }
        }
        let invocation = Invocation {
            request_id: format!("request-{worker_id}"),
            function_arn: String::new(),
            deadline: self.clock.now().plus(FUNCTION_TIMEOUT),
        };
        let is_killed = faults.may_strike(FaultKind::Kill, 2);
        let polls = if is_killed { rng.draw(|rng| rng.u32(1..80)) } else { u32::MAX };
        let is_stopped = faults.may_strike(FaultKind::Shutdown, config.shutdown_one_in);
        let stops_after = is_stopped.then(|| rng.millis(2_000));
        let stops = pin!(async {
            match stops_after {
                Some(after) => tokio::time::sleep(after).await,
                None => pending().await,
            }
            replay.shutdown.trigger();
            faults.count(FaultKind::Shutdown);
            pending::<()>().await;
        });
        let batch = KilledAfterPolls {
            // Dropped at its crash, and not at the end of this function.
            inner: Box::pin(replay.batch(&messages, &invocation)),
            polls,
        };
        let handled = match tokio::time::timeout(FUNCTION_TIMEOUT, select(batch, stops)).await {
            Ok(Either::Left((handled, _))) => handled,
            Ok(Either::Right(_)) | Err(_) => None,
        };
        let Some(mut handled) = handled else {
            history.ended(worker_id, "is killed");
            if is_killed {
                faults.count(FaultKind::Kill);
            }
            self.simulation.kills.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        if self.simulation.bug == Some(Bug::MissingOutcome) {
            handled.pop();
        }
        history.ended(worker_id, "ends");
        self.acknowledge(received, &handled);
        stops_after.is_none()
    }

    fn message(&self, received: &Received) -> Message {
        let bug = self.simulation.bug;
        let draft = received.draft.clone();
        let mut message = Message::new(received.message_id.clone(), draft.body);
        message.receipt_handle = Some(received.receipt_handle.clone());
        message.queue_arn = Some(self.simulation.locations.queue.to_owned());
        message.receive_count = received.receive_count;
        message.sent_at = Some(received.sent_at);
        message.group = draft.group;
        message.attributes = draft.attributes;
        if bug == Some(Bug::FifoGroupsIgnored) && message.group.is_some() {
            message.group = Some(message.id.to_string());
        }
        if bug == Some(Bug::SharedKey) {
            let shared = ("ReplayEventId".to_owned(), "shared".to_owned());
            message.attributes.extend([shared]);
        }
        if bug == Some(Bug::ReplayPlanIgnored) {
            message.attributes.remove("ReplayPlan");
        }
        message
    }

    /// Deletes the acknowledged messages, as Lambda does. The response may be lost.
    fn acknowledge(&self, received: &[Received], handled: &[RecordReport]) {
        let Simulation { history, locations, bug, .. } = self.simulation;
        let unaccounted = Counts::of(handled).unaccounted(received.len());
        if unaccounted > 0 {
            let what = format!("{unaccounted} of {} have no outcome", received.len());
            history.violation_found(None, &what);
        }
        let lost = self.simulation.faults.strikes(FaultKind::AnswerLost, 20);
        for (one, handled) in received.iter().zip(handled) {
            let outcome = handled.result.outcome;
            self.simulation.count_outcome(outcome);
            let code = handled.result.code();
            history.log(format!("{} is {} {code:?}", one.message_id, outcome.as_str()));
            if let Some(what) = self.simulation.config.lasting_fault.violation(&handled.result) {
                history.violation_found(None, &format!("{} is {what}", one.message_id));
            }
            if code == Some(FailureCode::Internal) {
                let what = format!("a panic over {}", one.message_id);
                history.violation_found(None, &what);
            }
            if one.message_id != handled.message_id {
                let what = format!("the outcome of {} belongs to another message", one.message_id);
                history.violation_found(None, &what);
            }
            if outcome.returns_to_queue() && *bug != Some(Bug::LostFailures) || lost {
                continue;
            }
            locations.check_acknowledged(&one.message_id, outcome);
            // An old receipt deletes nothing: another worker has the message.
            let _ = locations.queues.delete(locations.queue, &one.receipt_handle);
        }
    }

    /// Returns a new execution environment.
    fn function(&self) -> Replay<Simulated> {
        let Simulation { rng, config, faults, history, locations, bug, .. } = self.simulation;
        let meter = Arc::new(UpstreamCounters::default());
        let genesys = WatchedGenesys {
            inner: self.simulation.genesys.with_faults(faults.clone()),
            history: Arc::clone(history),
            faults: Arc::clone(faults),
            denied: config
                .events
                .iter()
                .map(|event| event.conversation())
                .filter(|conversation| config.is_denied(conversation))
                .collect(),
            bug: *bug,
        };
        Replay {
            ledger: WatchedLedger {
                inner: locations.ledger.with_faults(faults.clone()),
                history: Arc::clone(history),
                current_invocation: self.current_invocation.clone(),
                bug: *bug,
            },
            retry_state: match config.retry_state_mode {
                RetryStateMode::Required => RetryState::Required(genesys),
                RetryStateMode::BestEffort => RetryState::BestEffort(genesys),
                RetryStateMode::Off => RetryState::Off,
            },
            target: WatchedTarget {
                inner: self.simulation.target.with_faults(faults.clone()),
                late: config.late,
                rng: rng.clone(),
                faults: Arc::clone(faults),
                clock: Arc::new(SkewedClock::right(self.simulation.started)),
                locations: Arc::clone(locations),
                current_invocation: self.current_invocation.clone(),
                bug: *bug,
            },
            archive: config.has_archive.then(|| WatchedArchive {
                inner: locations.archive.with_faults(faults.clone()),
                history: Arc::clone(history),
                bug: *bug,
            }),
            queue: WatchedQueue { inner: locations.queues.with_faults(faults.clone()), bug: *bug },
            destination: ReplayTarget::Fixed(locations.destination.clone()),
            policy: Policy::new(Limits {
                max_attempts: 3,
                retry_for: Duration::from_secs(72 * 3_600),
                max_receives: config.max_receives(),
                stale_after: None,
                backoff: Backoff {
                    base: Duration::from_secs(2),
                    max: Duration::from_secs(match config.lasting_fault {
                        LastingFault::None => 900,
                        LastingFault::Outage
                        | LastingFault::WrongUrl
                        | LastingFault::AccessDenied => 3_600,
                    }),
                },
                max_wait: Duration::from_secs(2),
                replay_malformed: false,
                max_rounds: config.late.max_rounds(),
            }),
            circuit_breakers: CircuitBreakers::new(Arc::clone(&meter)),
            ledger_latency: LedgerLatency::default(),
            known_queues: KnownQueues::default(),
            shutdown: Shutdown::default(),
            meter,
            max_concurrency: rng.draw(|rng| rng.usize(1..=4)),
            clock: Arc::clone(&self.clock),
            random: Arc::new(rng.clone()),
        }
    }
}

/// A future that is cancelled at an await point, after this number of polls.
struct KilledAfterPolls<F> {
    inner: F,
    polls: u32,
}

impl<F: Future + Unpin> Future for KilledAfterPolls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        Pin::new(&mut self.inner).poll(context).map(Some)
    }
}
