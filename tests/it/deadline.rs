//! The end of an invocation: the time that is left for the ledger and for the answer.
//! In paused time over the fakes, because a real clock would make the machine's speed part of the test.

use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::{Faults, InMemory, MemoryGenesys, Passage};
use genesys_replay::clock::{Clock, SystemRandom};
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::{EventKey, Status};
use genesys_replay::message::{Message, MessageId};
use genesys_replay::replay::{Counts, Handled, Invocation, Outcome, Replay, RetryState, Verdict};
use tokio::time::sleep;
use url::Url;

use crate::support::{TestResult, VirtualClock, conversation_event};

/// Latencies by the name of a port's method, before the call acts.
struct Latency(Vec<(&'static str, Duration)>);

impl<E: Send + 'static> Faults<E> for Latency {
    fn before(&self, call: &'static str) -> Passage<'_, E> {
        let latencies = self.0.iter();
        let total = latencies
            .filter(|(name, _)| *name == call)
            .map(|(_, latency)| *latency)
            .sum();
        Box::pin(async move {
            sleep(total).await;
            Ok(())
        })
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A function in memory, with latencies.
struct Function(Replay<InMemory>);

impl Function {
    fn new() -> Result<Self, url::ParseError> {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::start());
        let url = Url::parse("https://crm.example/events")?;
        let target = ReplayTarget::Fixed(Destination::Http(url));
        let mut function = InMemory::function(clock, Arc::new(SystemRandom), target);
        let genesys = MemoryGenesys::default();
        genesys.put_participants("c-1", &[("p-1", "customer")]);
        function.retry_state = RetryState::Required(genesys);
        Ok(Self(function))
    }

    fn ledger(mut self, latencies: &[(&'static str, Duration)]) -> Self {
        let latency = Latency(latencies.to_vec());
        self.0.ledger = self.0.ledger.with_faults(Arc::new(latency));
        self
    }

    fn genesys(mut self, latencies: &[(&'static str, Duration)]) -> Self {
        if let Some(genesys) = self.0.retry_state.genesys() {
            let latency = Latency(latencies.to_vec());
            self.0.retry_state = RetryState::Required(genesys.with_faults(Arc::new(latency)));
        }
        self
    }

    /// Sets the time that the target takes before it accepts.
    fn target(mut self, latency: Duration) -> Self {
        let latency = Latency(vec![("deliver", latency)]);
        self.0.target = self.0.target.with_faults(Arc::new(latency));
        self
    }

    /// Handles one event within `time`.
    async fn handle(&self, time: Duration) -> Result<Verdict, &'static str> {
        let handled = self.batch(1, time).await?.pop();
        Ok(handled.ok_or("no outcome")?.verdict)
    }

    /// Handles a batch of events within `time`.
    async fn batch(&self, events: usize, time: Duration) -> Result<Vec<Handled>, &'static str> {
        let messages = (0..events)
            .map(|number| {
                let id = MessageId::new(format!("m-{number}")).ok_or("id")?;
                let event = conversation_event(&format!("e-{number}"), "c-1");
                Ok(Message::new(id, event))
            })
            .collect::<Result<Vec<_>, &str>>()?;
        let now = self.0.clock.now();
        let invocation = Invocation {
            request_id: format!("request-{now}"),
            function_arn: String::new(),
            deadline: now.plus(time),
        };
        Ok(self.0.batch(&messages, &invocation).await)
    }

    /// Returns the ledger's status of an event, and true if its checkpoint is written.
    fn item(&self, number: usize) -> Option<(Status, bool)> {
        let key = EventKey::new(
            EventId::new(format!("e-{number}")).as_ref(),
            &MessageId::new("m")?,
            &self.0.destination.destination(None, &[]),
        );
        let item = self.0.ledger.item(&key)?;
        Some((item.status, item.delivered.is_some()))
    }
}

const SLOW_LEDGER: &[(&str, Duration)] = &[
    ("claim", ms(400)),
    ("checkpoint", ms(400)),
    ("settle", ms(400)),
];

#[tokio::test(start_paused = true)]
async fn deadline_leaves_time_for_the_checkpoint_of_a_slow_ledger() -> TestResult {
    let (mut settled, mut cut_off) = (0, 0);
    for latency in (0..6_000).step_by(50) {
        let function = Function::new()?.ledger(SLOW_LEDGER).target(ms(latency));
        let verdict = function.handle(ms(6_000)).await?;
        assert!(!verdict.is_unrecorded(), "target took {latency} ms");
        let accepted = !function.0.target.accepted().is_empty();
        let (status, checkpoint) = function.item(0).ok_or("no item")?;
        assert_eq!(checkpoint, accepted, "target took {latency} ms: {status}");
        if accepted {
            settled += 1;
        } else {
            cut_off += 1;
        }
    }
    assert!(settled > 0 && cut_off > 0, "{settled} {cut_off}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_starts_no_delivery_without_time_to_record_it() -> TestResult {
    let function = Function::new()?.genesys(&[("fetch", ms(5_500))]);
    let verdict = function.handle(ms(6_000)).await?;
    assert!(matches!(verdict.outcome, Outcome::Deferred { .. }));
    assert_eq!(verdict.code(), Some(FailureCode::OutOfTime));
    assert!(!verdict.possible_duplicate, "nothing was sent");
    assert!(function.0.target.accepted().is_empty());
    assert_eq!(function.item(0), Some((Status::Deferred, false)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_does_not_start_records_within_the_margin_of_a_slow_ledger() -> TestResult {
    let function = Function::new()?.ledger(SLOW_LEDGER);
    let known = function.handle(ms(6_000)).await?;
    assert_eq!(known.outcome, Outcome::Replayed);
    let late = function.handle(ms(1_500)).await?;
    assert_eq!(late.outcome.as_str(), "not_attempted");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_lets_a_checkpoint_under_way_finish() -> TestResult {
    // Too slow for what the claim showed: it ends after the cut-off, and before the answer.
    let function = Function::new()?
        .ledger(&[("claim", ms(10)), ("checkpoint", ms(450))])
        .target(ms(3_400));
    let verdict = function.handle(ms(4_000)).await?;
    assert!(!verdict.is_unrecorded(), "{verdict:?}");
    assert_eq!(function.0.target.accepted().len(), 1);
    assert!(matches!(function.item(0), Some((_, true))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_with_a_hanging_checkpoint_acknowledges_and_counts_it() -> TestResult {
    let function = Function::new()?.ledger(&[("checkpoint", ms(60_000))]);
    let handled = function.batch(1, ms(4_000)).await?;
    let counts = Counts::of(&handled);
    assert_eq!((counts.replayed, counts.unrecorded), (1, 1));
    assert_eq!(function.item(0), Some((Status::InProgress, false)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_returns_unstarted_records_and_accounts_for_all() -> TestResult {
    let function = Function::new()?.target(ms(1_500));
    let handled = function.batch(60, ms(5_000)).await?;
    let counts = Counts::of(&handled);
    // Ten at a time: three rounds are accepted within 4.5 s, and there is no time for a fourth.
    assert_eq!((counts.replayed, counts.not_attempted), (30, 30));
    for (number, handled) in handled.iter().enumerate() {
        let replayed = handled.verdict.outcome == Outcome::Replayed;
        let expected = replayed.then_some((Status::Completed, true));
        assert_eq!(function.item(number), expected, "{number}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_releases_a_delivery_that_it_cut_off() -> TestResult {
    let function = Function::new()?.target(ms(60_000));
    let verdict = function.handle(ms(4_000)).await?;
    assert!(matches!(verdict.outcome, Outcome::Deferred { .. }));
    assert_eq!(verdict.code(), Some(FailureCode::OutOfTime));
    assert!(verdict.possible_duplicate, "the target may have acted");
    assert_eq!(function.item(0), Some((Status::Deferred, false)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_after_acceptance_holds_the_event_and_keeps_the_checkpoint() -> TestResult {
    // The last status cannot be written in time. The event is delivered: only the bookkeeping is left.
    let function = Function::new()?
        .genesys(&[("mark", ms(1_000))])
        .target(ms(1_500));
    let verdict = function.handle(ms(3_500)).await?;
    assert!(matches!(verdict.outcome, Outcome::Deferred { .. }));
    assert_eq!(verdict.code(), Some(FailureCode::OutOfTime));
    assert_eq!(
        function.item(0),
        Some((Status::InProgress, true)),
        "held until its lease ends"
    );
    let later = function.handle(ms(30_000)).await?;
    assert_eq!(later.code(), Some(FailureCode::HeldElsewhere));
    sleep(Duration::from_secs(30)).await;
    let later = function.handle(ms(30_000)).await?;
    assert_eq!(later.outcome, Outcome::Replayed);
    assert_eq!(function.0.target.accepted().len(), 1);
    Ok(())
}
