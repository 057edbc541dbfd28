//! Visibility timeouts that follow from the queue's backlog and from its receive limit, over the fakes in paused time.

use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::{FaultHookFuture, Faults, Redrive};
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::Status;
use genesys_replay::message::Message;
use genesys_replay::replay::{Limits, Outcome, Policy, RecordReport};
use genesys_replay::target::DeliveryError;
use genesys_test_support::TestResult;
use genesys_test_support::memory::{InMemoryFunction, message, ms, target_unavailable};

const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:dlq";
const PARKING: &str = "arn:aws:sqs:eu-central-1:271828182845:parked";
const HOUR: Duration = Duration::from_secs(3_600);
const RETENTION: Duration = Duration::from_secs(14 * 24 * 3_600);

/// A target that responds with 503.
struct Unavailable;

impl Faults<DeliveryError> for Unavailable {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, DeliveryError> {
        Box::pin(async { Err(target_unavailable()) })
    }
}

/// Returns a function whose queue has a retention of 14 days and this `maxReceiveCount`.
fn function(max_receives: u32) -> Result<InMemoryFunction, url::ParseError> {
    let mut function = InMemoryFunction::new()?;
    function.0.policy = Policy::new(Limits::default());
    let redrive = Redrive { to: PARKING.to_owned(), max_receives };
    function.0.queue.create(QUEUE, Some(redrive));
    function.0.queue.keep_for(QUEUE, RETENTION);
    Ok(function)
}

/// Returns a function whose target's circuit is open.
async fn with_open_circuit(
    max_receives: u32,
) -> Result<InMemoryFunction, Box<dyn std::error::Error>> {
    let function = function(max_receives)?.target_with(Arc::new(Unavailable));
    function.batch(10, ms(30_000)).await?;
    Ok(function)
}

/// Returns message `number`, sent `ago` and received `receive_count` times.
fn received(
    function: &InMemoryFunction,
    number: usize,
    ago: Duration,
    receive_count: u32,
) -> Result<Message, &'static str> {
    let mut message = message(number)?;
    message.queue_arn = Some(QUEUE.to_owned());
    message.sent_at = Some(function.0.clock.now().minus(ago));
    message.receive_count = receive_count;
    Ok(message)
}

async fn handle(
    function: &InMemoryFunction,
    message: Message,
) -> Result<RecordReport, &'static str> {
    function.messages(&[message], ms(30_000)).await.pop().ok_or("no outcome")
}

fn delays(handled: &[RecordReport]) -> Vec<Duration> {
    handled.iter().filter_map(|it| it.result.outcome.retry_delay()).collect()
}

/// Puts this many messages into the queue, and receives some of them.
fn fill(function: &InMemoryFunction, messages: usize, in_flight: usize) {
    for number in 0..messages {
        assert!(function.0.queue.send(QUEUE, number.to_string().as_str().into()).is_some());
    }
    let received = function.0.queue.receive(QUEUE, in_flight, HOUR);
    assert_eq!(received.len(), in_flight);
}

#[tokio::test(start_paused = true)]
async fn rate_limited_messages_are_spread_over_the_backlog() -> TestResult {
    let function = function(203)?;
    fill(&function, 3_000, 1_000);
    let genesys = function.0.retry_state.genesys().ok_or("no Genesys")?;
    genesys.throttle_for(Some(Duration::from_secs(40)));
    let messages = (0..100).map(|number| received(&function, number, HOUR, 1));
    let messages = messages.collect::<Result<Vec<_>, _>>()?;
    let handled = function.messages(&messages, ms(30_000)).await;
    // 3,000 messages with three calls each, at 300 calls a minute, from the delay of the limit on.
    let (soonest, latest) = (Duration::from_secs(40), Duration::from_secs(1_840));
    let delays = delays(&handled);
    assert_eq!(delays.len(), 100);
    assert!(delays.iter().all(|it| (soonest..=latest).contains(it)), "{delays:?}");
    let early = delays.iter().filter(|it| **it < latest / 2).count();
    assert!((25..=75).contains(&early), "{early} of 100 in the first half");
    for (number, handled) in handled.iter().enumerate() {
        let outcome = handled.result.outcome;
        assert!(matches!(
            outcome,
            Outcome::NotAttempted { code: FailureCode::GenesysRateLimited, .. }
        ));
        assert_eq!(function.item(number), None, "not claimed");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn rate_limited_message_waits_briefly_without_a_backlog() -> TestResult {
    let function = function(203)?;
    let genesys = function.0.retry_state.genesys().ok_or("no Genesys")?;
    genesys.throttle_for(Some(Duration::from_secs(40)));
    let handled = handle(&function, received(&function, 0, HOUR, 1)?).await?;
    assert_eq!(handled.result.outcome.retry_delay(), Some(Duration::from_secs(40)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn open_circuit_deferrals_are_short_near_the_in_flight_limit() -> TestResult {
    for (in_flight, expected) in [(99_999, 901..=3_600), (100_000, 0..=900)] {
        let function = with_open_circuit(203).await?;
        fill(&function, 100_000, in_flight);
        let handled = handle(&function, received(&function, 20, HOUR, 15)?).await?;
        assert_eq!(handled.result.code(), Some(FailureCode::BreakerOpen));
        let delay = handled.result.outcome.retry_delay().unwrap_or_default();
        let near = function.0.meter.take().in_flight_near_limit;
        assert_eq!(near, u64::from(in_flight == 100_000), "{in_flight}");
        assert!(expected.contains(&delay.as_secs()), "{in_flight}: {delay:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn receives_last_until_the_end_of_retention_with_an_open_circuit() -> TestResult {
    let function = with_open_circuit(203).await?;
    for (ago, receive_count, at_least) in [
        // Early receives follow quickly.
        (HOUR, 3, Duration::from_secs(1)),
        // 158 receives for 312 hours before the last two: at least two hours each.
        (22 * HOUR, 45, HOUR),
        (24 * HOUR, 190, 11 * HOUR),
    ] {
        let handled = handle(&function, received(&function, 20, ago, receive_count)?).await?;
        assert_eq!(handled.result.code(), Some(FailureCode::BreakerOpen));
        let delay = handled.result.outcome.retry_delay().unwrap_or_default();
        assert!(delay >= at_least, "{receive_count}: {delay:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_is_attempted_before_it_is_parked_with_an_open_circuit() -> TestResult {
    let function = with_open_circuit(20).await?;
    let handled = handle(&function, received(&function, 20, HOUR, 16)?).await?;
    assert_eq!(handled.result.code(), Some(FailureCode::BreakerOpen));
    let handled = handle(&function, received(&function, 20, HOUR, 17)?).await?;
    let code = FailureCode::Exhausted;
    assert_eq!(handled.result.outcome, Outcome::Archived { code });
    assert_eq!(handled.result.attempt, Some(1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_is_attempted_before_it_is_parked_at_the_rate_limit() -> TestResult {
    let function = function(20)?;
    let genesys = function.0.retry_state.genesys().ok_or("no Genesys")?;
    genesys.throttle_for(Some(Duration::from_secs(40)));
    let handled = handle(&function, received(&function, 0, HOUR, 16)?).await?;
    assert_eq!(handled.result.code(), Some(FailureCode::GenesysRateLimited));
    let handled = handle(&function, received(&function, 0, HOUR, 17)?).await?;
    assert_eq!(handled.result.outcome, Outcome::Replayed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_is_archived_instead_of_parked() -> TestResult {
    let mut function = function(20)?;
    // Too late to start.
    let time = ms(900);
    let last = received(&function, 0, HOUR, 20)?;
    let handled = function.messages(&[last], time).await.pop().ok_or("no outcome")?;
    let code = FailureCode::Exhausted;
    assert_eq!(handled.result.outcome, Outcome::Archived { code });
    let reason = handled.result.reason.unwrap_or_default();
    assert!(reason.contains("parks the message after this receive"), "{reason}");
    assert_eq!(function.item(0), Some((Status::Archived, false)));

    function.0.archive = None;
    let last = received(&function, 1, HOUR, 20)?;
    let handled = function.messages(&[last], time).await.pop().ok_or("no outcome")?;
    assert!(matches!(handled.result.outcome, Outcome::NotAttempted { .. }));
    assert!(!handled.result.expiring, "the parking queue keeps it");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn unreadable_queue_counts_as_the_queue_of_the_template() -> TestResult {
    let function = InMemoryFunction::new()?.target_with(Arc::new(Unavailable));
    function.batch(10, ms(30_000)).await?;
    // InMemoryFunction has MAX_RECEIVES 10.
    let handled = handle(&function, received(&function, 20, HOUR, 9)?).await?;
    assert_eq!(handled.result.code(), Some(FailureCode::BreakerOpen));
    let delay = handled.result.outcome.retry_delay().unwrap_or_default();
    assert!(delay > 11 * HOUR, "{delay:?}");
    let handled = handle(&function, received(&function, 20, HOUR, 10)?).await?;
    assert_eq!(handled.result.attempt, Some(1), "attempted before it is parked");
    Ok(())
}
