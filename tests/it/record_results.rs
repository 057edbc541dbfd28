//! The results of records with faults, from which log lines, counts and metrics are made. Over the fakes in
//! paused time, because the subject is the use case.

use std::future::pending;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use genesys_fakes::{
    FaultHookFuture, Faults, InMemory, Item, MemoryArchive, MemoryGenesys, MemoryLedger,
    MemoryQueues, MemoryTarget, Status,
};
use genesys_replay::backoff::Backoff;
use genesys_replay::clock::{Clock, SystemRandom};
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::genesys::{Call, GenesysError, UnavailableCause};
use genesys_replay::ledger::{EventKey, LedgerError};
use genesys_replay::message::{Message, MessageId};
use genesys_replay::meter::UpstreamCounters;
use genesys_replay::replay::{
    CircuitBreakers, Counts, Invocation, KnownQueues, LedgerLatency, Limits, Outcome, Policy,
    RecordReport, RecordResult, Replay, RetryState, Shutdown,
};
use genesys_replay::target::DeliveryError;
use genesys_test_support::{TestResult, VirtualClock, conversation_event};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

const MAX_ATTEMPTS: u32 = 3;
const LAST_RECEIVE: u32 = 10;

/// A fault of the calls with these names.
struct CallFailure<E> {
    calls: &'static [&'static str],
    /// The numbers of the failing calls, from 1.
    which: RangeInclusive<u32>,
    seen: AtomicU32,
    /// The error of the call. `None`: the call hangs.
    error: Option<fn() -> E>,
}

impl<E: Send + 'static> CallFailure<E> {
    fn new(
        calls: &'static [&'static str],
        which: RangeInclusive<u32>,
        error: Option<fn() -> E>,
    ) -> Arc<Self> {
        Arc::new(Self { calls, which, seen: AtomicU32::new(0), error })
    }

    /// The number of calls.
    fn seen(&self) -> u32 {
        self.seen.load(Ordering::Relaxed)
    }
}

impl<E: Send + 'static> Faults<E> for CallFailure<E> {
    fn before(&self, call: &'static str) -> FaultHookFuture<'_, E> {
        Box::pin(async move {
            if !self.calls.contains(&call) {
                return Ok(());
            }
            let count = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
            // As a call over the wire, it lets other records continue.
            tokio::task::yield_now().await;
            match self.error {
                _ if !self.which.contains(&count) => Ok(()),
                Some(error) => Err(error()),
                None => pending().await,
            }
        })
    }
}

const ALWAYS: RangeInclusive<u32> = 1..=u32::MAX;

fn outage() -> LedgerError {
    LedgerError::Unavailable("injected failure".into())
}

fn genesys_down() -> GenesysError {
    GenesysError::Unavailable { call: Call::Mark, problem: UnavailableCause::Timeout, after: None }
}

fn refused() -> DeliveryError {
    DeliveryError {
        code: FailureCode::TargetUnavailable,
        disposition: Disposition::Transient { after: None },
        certainty: Certainty::Refused,
        timed_out: false,
        locally_throttled: false,
        reason: "no room".to_owned(),
        source: None,
    }
}

fn lost() -> DeliveryError {
    DeliveryError { certainty: Certainty::Unknown, ..refused() }
}

fn refused_for_good() -> DeliveryError {
    DeliveryError { disposition: Disposition::Permanent, ..refused() }
}

/// A function without faults, into which a test injects some.
struct FunctionUnderTest(Replay<InMemory>);

fn function_under_test() -> Result<FunctionUnderTest, Box<dyn std::error::Error>> {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::start());
    let meter = Arc::new(UpstreamCounters::default());
    let genesys = MemoryGenesys::default();
    genesys.put_participants("c-1", &[("p-1", "customer")]);
    let url = Url::parse("https://crm.example/events")?;
    Ok(FunctionUnderTest(Replay {
        ledger: MemoryLedger::new(Duration::from_secs(1_000_000)),
        retry_state: RetryState::Required(genesys),
        target: MemoryTarget::default(),
        archive: Some(MemoryArchive::default()),
        queue: MemoryQueues::new(Arc::clone(&clock)),
        destination: ReplayTarget::Fixed(Destination::Http(url)),
        policy: Policy::new(Limits {
            max_attempts: MAX_ATTEMPTS,
            retry_for: Duration::from_secs(72 * 3_600),
            max_receives: LAST_RECEIVE,
            stale_after: None,
            backoff: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(1) },
            max_wait: Duration::from_secs(2),
            replay_malformed: false,
            max_rounds: 10,
        }),
        circuit_breakers: CircuitBreakers::new(Arc::clone(&meter)),
        ledger_latency: LedgerLatency::default(),
        known_queues: KnownQueues::default(),
        shutdown: Shutdown::default(),
        meter,
        max_concurrency: 10,
        clock,
        random: Arc::new(SystemRandom),
    }))
}

impl FunctionUnderTest {
    fn ledger(mut self, failure: Arc<CallFailure<LedgerError>>) -> Self {
        self.0.ledger = self.0.ledger.with_faults(failure);
        self
    }

    fn target(mut self, failure: Arc<CallFailure<DeliveryError>>) -> Self {
        self.0.target = self.0.target.with_faults(failure);
        self
    }

    fn genesys(mut self, failure: Arc<CallFailure<GenesysError>>, is_required: bool) -> Self {
        let faulty = self.0.retry_state.genesys().map(|it| it.with_faults(failure));
        self.0.retry_state = match faulty {
            Some(genesys) if is_required => RetryState::Required(genesys),
            Some(genesys) => RetryState::BestEffort(genesys),
            None => RetryState::Off,
        };
        self
    }

    async fn batch(&self, messages: &[Message]) -> Vec<RecordReport> {
        let now = self.0.clock.now();
        let invocation = Invocation {
            request_id: format!("request-{now}"),
            function_arn: String::new(),
            deadline: now.plus(Duration::from_secs(30)),
        };
        self.0.batch(messages, &invocation).await
    }

    /// Returns the result of one message with this receive count.
    async fn one(&self, receive_count: u32) -> Result<RecordResult, &'static str> {
        let mut message = message("m-1", "e-1")?;
        message.receive_count = receive_count;
        let handled = self.batch(&[message]).await.pop();
        Ok(handled.ok_or("no outcome")?.result)
    }

    fn item(&self) -> Option<Item> {
        let destination = self.0.destination.destination(None, &[]);
        let key =
            EventKey::new(EventId::new("e-1").as_ref(), &MessageId::new("m-1")?, &destination);
        self.0.ledger.item(&key)
    }
}

fn message(id: &str, event_id: &str) -> Result<Message, &'static str> {
    let id = MessageId::new(id).ok_or("id")?;
    Ok(Message::new(id, conversation_event(event_id, "c-1")))
}

#[tokio::test(start_paused = true)]
async fn result_has_attempt_and_disposition_when_an_attempt_fails() -> TestResult {
    let function_under_test =
        function_under_test()?.target(CallFailure::new(&["deliver"], ALWAYS, Some(refused)));
    let result = function_under_test.one(1).await?;
    assert!(matches!(result.outcome, Outcome::Deferred { .. }));
    assert_eq!(result.code(), Some(FailureCode::TargetUnavailable));
    assert_eq!(result.attempt, Some(MAX_ATTEMPTS));
    let asks_for = Disposition::Transient { after: None };
    assert_eq!(result.disposition, Some(asks_for));
    assert_eq!(result.reason.as_deref(), Some("no room"));
    assert!(!result.possible_duplicate, "refused, not lost");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn result_is_a_possible_duplicate_when_an_answer_is_lost() -> TestResult {
    for (times, next_attempt_fails, outcome) in
        [(1, false, "replayed"), (MAX_ATTEMPTS, false, "deferred"), (1, true, "deferred")]
    {
        let mut function_under_test =
            function_under_test()?.target(CallFailure::new(&["deliver"], 1..=times, Some(lost)));
        if next_attempt_fails {
            function_under_test = function_under_test.ledger(CallFailure::new(
                &["next_attempt"],
                ALWAYS,
                Some(outage),
            ));
        }
        let result = function_under_test.one(1).await?;
        assert_eq!(result.outcome.as_str(), outcome);
        assert!(result.possible_duplicate, "{result:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn possible_duplicate_counts_once_for_duplicate_messages() -> TestResult {
    let function_under_test =
        function_under_test()?.target(CallFailure::new(&["deliver"], ALWAYS, Some(lost)));
    let duplicates = [message("m-1", "e-1")?, message("m-2", "e-1")?];
    let counts = Counts::of(&function_under_test.batch(&duplicates).await);
    assert_eq!((counts.deferred, counts.possible_duplicates), (2, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn result_shows_a_possible_delivery_when_cut_off() -> TestResult {
    let function_under_test =
        function_under_test()?.target(CallFailure::new(&["deliver"], ALWAYS, None));
    let sending = function_under_test.one(1).await?;
    assert!(matches!(sending.outcome, Outcome::Deferred { .. }));
    assert_eq!(sending.code(), Some(FailureCode::OutOfTime));
    assert!(sending.possible_duplicate);

    let function_under_test =
        self::function_under_test()?.ledger(CallFailure::new(&["checkpoint"], ALWAYS, None));
    let accepted = function_under_test.one(1).await?;
    assert_eq!(accepted.outcome, Outcome::Replayed);
    assert_eq!(accepted.code(), Some(FailureCode::LedgerUnavailable));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn lost_lease_after_delivery_is_a_possible_duplicate() -> TestResult {
    let lost = || LedgerError::LeaseLost;
    let function_under_test =
        function_under_test()?.ledger(CallFailure::new(&["checkpoint"], ALWAYS, Some(lost)));
    let result = function_under_test.one(1).await?;
    assert_eq!(result.code(), Some(FailureCode::HeldElsewhere));
    assert!(result.possible_duplicate);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn delivered_event_without_mark_has_a_warning_code() -> TestResult {
    for (receive_count, outcome) in [(1, "deferred"), (LAST_RECEIVE, "replayed")] {
        // The first mark is written, the final one is not.
        let marks = CallFailure::new(&["mark"], 2..=u32::MAX, Some(genesys_down));
        let function_under_test = function_under_test()?.genesys(Arc::clone(&marks), true);
        let result = function_under_test.one(receive_count).await?;
        assert_eq!(result.outcome.as_str(), outcome);
        assert_eq!(result.code(), Some(FailureCode::RetryStateNotWritten));
        assert_eq!(result.attempt, Some(1));
        assert!(result.reason.is_some(), "{result:?}");
        let waits = result.outcome.retry_delay().is_some_and(|it| !it.is_zero());
        assert_eq!(waits, outcome == "deferred", "{result:?}");
        let asks_for = (outcome == "deferred").then_some(Disposition::Transient { after: None });
        assert_eq!(result.disposition, asks_for);
        assert_eq!(marks.seen(), 1 + MAX_ATTEMPTS, "tried as often as an attempt");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn rejected_event_waits_for_its_mark_until_the_last_receive() -> TestResult {
    for (receive_count, outcome) in [(1, "deferred"), (LAST_RECEIVE, "archived")] {
        let marks = CallFailure::new(&["mark"], 2..=u32::MAX, Some(genesys_down));
        let function_under_test = function_under_test()?
            .genesys(marks, true)
            .target(CallFailure::new(&["deliver"], ALWAYS, Some(refused_for_good)));
        let result = function_under_test.one(receive_count).await?;
        assert_eq!(result.outcome.as_str(), outcome);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn delivered_event_without_settlement_has_a_warning_code() -> TestResult {
    let settle = || CallFailure::new(&["settle"], ALWAYS, Some(outage));
    let function_under_test = function_under_test()?.ledger(settle());
    let known = function_under_test.one(1).await?;
    assert!(matches!(known.outcome, Outcome::Deferred { .. }));
    assert_eq!(known.code(), Some(FailureCode::LedgerUnavailable));
    assert_eq!(known.attempt, Some(1));

    let neither = CallFailure::new(&["checkpoint", "settle"], ALWAYS, Some(outage));
    let function_under_test = self::function_under_test()?.ledger(neither);
    let unknown = function_under_test.one(1).await?;
    assert_eq!(unknown.outcome, Outcome::Replayed);
    assert_eq!(unknown.code(), Some(FailureCode::LedgerUnavailable));
    assert!(unknown.reason.is_some(), "{unknown:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn settlement_replaces_a_failed_checkpoint() -> TestResult {
    let function_under_test =
        function_under_test()?.ledger(CallFailure::new(&["checkpoint"], ALWAYS, Some(outage)));
    assert_eq!(function_under_test.one(1).await?.outcome, Outcome::Replayed);
    let item = function_under_test.item().ok_or("no item")?;
    assert_eq!((item.status, item.delivered), (Status::Completed, Some(1)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn best_effort_skips_the_mark_when_the_circuit_is_open() -> TestResult {
    for calls in [&["fetch"][..], &["mark"]] {
        let failure = CallFailure::new(calls, ALWAYS, Some(genesys_down));
        let function_under_test = function_under_test()?.genesys(Arc::clone(&failure), false);
        let mut before = 0;
        for batch in ["first", "second"] {
            let events: Vec<_> = (0..8)
                .map(|number| message(&format!("m-{number}"), &format!("{batch}-{number}")))
                .collect::<Result<_, _>>()?;
            for handled in function_under_test.batch(&events).await {
                let result = handled.result;
                assert_eq!(result.outcome, Outcome::Replayed);
                assert_eq!(result.code(), Some(FailureCode::RetryStateNotWritten));
            }
            // The calls in flight at the fifth failure. Two calls per record would be 16.
            let seen = failure.seen();
            assert!(seen < 16 && (batch == "first" || seen == before), "{seen} calls");
            before = seen;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deferral_grows_with_receives_when_the_ledger_is_down() -> TestResult {
    let function_under_test =
        function_under_test()?.ledger(CallFailure::new(&["claim"], ALWAYS, Some(outage)));
    let (first, fifth) = (function_under_test.one(1).await?, function_under_test.one(5).await?);
    assert_eq!(first.code(), Some(FailureCode::LedgerUnavailable));
    let wait = first.outcome.retry_delay();
    assert!(wait >= Some(Duration::from_millis(50)), "{wait:?}");
    assert!(fifth.outcome.retry_delay() > wait, "{fifth:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn shutdown_starts_no_record_and_drains_soon() -> TestResult {
    let function_under_test =
        function_under_test()?.target(CallFailure::new(&["deliver"], ALWAYS, None));
    let started = Instant::now();
    let shutdown_signal = async {
        sleep(Duration::from_secs(1)).await;
        function_under_test.0.shutdown.trigger();
        function_under_test.0.shutdown.drained().await;
    };
    let both = async { tokio::join!(function_under_test.one(1), shutdown_signal) };
    let (in_flight, ()) = timeout(Duration::from_secs(60), both).await?;
    let in_flight = in_flight?;
    assert_eq!(in_flight.code(), Some(FailureCode::OutOfTime));
    assert!(in_flight.possible_duplicate);
    let item = function_under_test.item().ok_or("no item")?;
    assert!(item.maybe_delivered);
    // The deadline was before the target's timeout.
    assert_eq!(item.answers.unanswered, 0);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(function_under_test.one(1).await?.outcome.as_str(), "not_attempted");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn circuit_opens_for_genesys_with_target_none() -> TestResult {
    let failure = CallFailure::new(&["fetch", "mark"], ALWAYS, Some(genesys_down));
    let mut function_under_test = function_under_test()?.genesys(Arc::clone(&failure), true);
    function_under_test.0.destination = ReplayTarget::Fixed(Destination::None);
    function_under_test.0.max_concurrency = 1;
    let mut codes = Vec::new();
    for number in 0..8 {
        let message = message("m-1", &format!("e-{number}"))?;
        codes.extend(function_under_test.batch(&[message]).await.iter().map(|it| it.result.code()));
    }
    assert_eq!(codes.last(), Some(&Some(FailureCode::BreakerOpen)), "{codes:?}");
    assert_eq!(failure.seen(), 5);
    Ok(())
}
