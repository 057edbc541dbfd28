//! The end of retention, over the fakes in paused time and on real adapters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use genesys_fakes::{FaultHookFuture, Faults};
use genesys_replay::archive::ArchiveError;
use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay::failure::{Disposition, FailureCode};
use genesys_replay::genesys::RetryStatus;
use genesys_replay::ledger::{LedgerError, Status};
use genesys_replay::message::{Message, MessageId};
use genesys_replay::replay::{Counts, Outcome, RecordReport};
use genesys_replay::target::DeliveryError;
use genesys_stand_in::Fault;
use genesys_test_support::memory::{InMemoryFunction, message, ms, target_unavailable};
use genesys_test_support::{Record, ReplayHarness, TestResult, conversation_event};
use serde_json::json;
use tokio::time::sleep;

const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:dlq";
const HOUR: Duration = Duration::from_secs(3_600);
/// An hour in milliseconds.
const HOUR_MS: i64 = 3_600_000;
const RETENTION: Duration = Duration::from_secs(4 * 24 * 3_600);

/// A target with `Retry-After` of six hours.
struct Unavailable;

impl Faults<DeliveryError> for Unavailable {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, DeliveryError> {
        Box::pin(async {
            Err(DeliveryError {
                disposition: Disposition::Transient { after: Some(6 * HOUR) },
                ..target_unavailable()
            })
        })
    }
}

/// Returns a function whose target is down and whose queue has a retention of four days.
fn function() -> Result<InMemoryFunction, url::ParseError> {
    let function = InMemoryFunction::new()?.target_with(Arc::new(Unavailable));
    function.0.queue.create(QUEUE, None);
    function.0.queue.keep_for(QUEUE, RETENTION);
    Ok(function)
}

/// Returns a message whose retention ends in this many milliseconds, or has ended.
fn expiring(
    function: &InMemoryFunction,
    mut message: Message,
    left: i64,
) -> Result<Message, std::num::TryFromIntError> {
    let now = function.0.clock.now();
    let kept = u64::try_from(RETENTION.as_millis())?;
    let millis = now.as_millis().saturating_add_signed(left) - kept;
    message.queue_arn = Some(QUEUE.to_owned());
    message.sent_at = Some(genesys_replay::clock::Timestamp::from_millis(millis));
    Ok(message)
}

/// Handles an expiring message.
async fn handle(
    function: &InMemoryFunction,
    left: i64,
) -> Result<RecordReport, Box<dyn std::error::Error>> {
    let message = expiring(function, message(0)?, left)?;
    let handled = function.messages(&[message], ms(30_000)).await.pop();
    Ok(handled.ok_or("no outcome")?)
}

#[tokio::test(start_paused = true)]
async fn visibility_timeout_ends_before_the_end_of_retention() -> TestResult {
    for (left, expected) in [
        (96 * HOUR_MS, 6 * HOUR),
        (8 * HOUR_MS, 6 * HOUR),
        (5 * HOUR_MS, 3 * HOUR),
        (2 * HOUR_MS + 1, ms(1)),
    ] {
        let function = function()?;
        let handled = handle(&function, left).await?;
        assert_eq!(handled.result.outcome.retry_delay(), Some(expected), "{left}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_is_archived_at_last_receive_for_any_cause() -> TestResult {
    for left in [2 * HOUR_MS, 1] {
        let function = function()?;
        let result = handle(&function, left).await?.result;
        let code = FailureCode::Exhausted;
        assert_eq!(result.outcome, Outcome::Archived { code }, "{left}");
        let reason = result.reason.unwrap_or_default();
        assert!(reason.contains("TARGET_UNAVAILABLE: 503"), "{reason}");
        assert_eq!(function.item(0), Some((Status::Archived, false)));
        let genesys = function.0.retry_state.genesys().ok_or("no Genesys")?;
        let marks = genesys.marks();
        let last = marks.last().map(|(_, mark)| mark.status);
        assert_eq!(last, Some(RetryStatus::ExhaustedRetries));
    }
    Ok(())
}

/// A target whose adapter panics.
struct Panics;

impl Faults<DeliveryError> for Panics {
    #[expect(clippy::panic, reason = "the subject of the test")]
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, DeliveryError> {
        Box::pin(async { panic!("a panic of the test") })
    }
}

#[tokio::test(start_paused = true)]
async fn message_is_archived_at_last_receive_when_cut_off_or_panicked() -> TestResult {
    for (cause, function) in [
        ("OUT_OF_TIME", function()?.target(HOUR)),
        ("INTERNAL", function()?.target_with(Arc::new(Panics))),
    ] {
        let result = handle(&function, HOUR_MS).await?.result;
        let code = FailureCode::Exhausted;
        assert_eq!(result.outcome, Outcome::Archived { code }, "{cause}");
        let reason = result.reason.unwrap_or_default();
        assert!(reason.contains(cause), "{reason}");
        assert_eq!(function.item(0), Some((Status::Archived, false)));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_is_archived_at_last_receive_in_a_stopped_fifo_group() -> TestResult {
    const FIFO: &str = "arn:aws:sqs:eu-central-1:271828182845:dlq.fifo";
    let function = function()?;
    function.0.queue.create(FIFO, None);
    function.0.queue.keep_for(FIFO, RETENTION);
    let in_group = |number, left| {
        let mut message = expiring(&function, message(number)?, left)?;
        message.queue_arn = Some(FIFO.to_owned());
        message.group = Some("g-1".to_owned());
        Ok::<_, Box<dyn std::error::Error>>(message)
    };
    let messages = [in_group(0, 96 * HOUR_MS)?, in_group(1, HOUR_MS)?];
    let handled = function.messages(&messages, ms(30_000)).await;
    let code = FailureCode::Exhausted;
    let outcomes: Vec<_> = handled.iter().map(|it| it.result.outcome).collect();
    assert!(outcomes[0].returns_to_queue(), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Archived { code });
    let reason = handled[1].result.reason.clone().unwrap_or_default();
    assert!(reason.contains("GROUP_STOPPED"), "{reason}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn own_echo_and_malformed_event_get_no_mark_at_last_receive() -> TestResult {
    let echo = r#"{"conversationId":"c-1","attributes":{"system.retryAttempt":"1","system.retryStatus":"retrying"}}"#;
    let echo = format!(
        r#"{{"id":"e-0","detail-type":"v2.detail.events.conversation.{{id}}.attributes","source":"aws.partner/genesys.com/x",
        "detail":{{"topicName":"v2.detail.events.conversation.c-1.attributes","eventBody":{echo}}}}}"#
    );
    for (body, error_code, expected) in [
        (echo.as_str(), "TIMEOUT", FailureCode::OwnEcho),
        (&conversation_event("e-0", "c-1"), "INVALID_JSON", FailureCode::PayloadMalformed),
    ] {
        let mut function = function()?;
        let mut dead_letter = message(0)?;
        body.clone_into(&mut dead_letter.body);
        let code = ("ERROR_CODE".to_owned(), error_code.to_owned());
        dead_letter.attributes.extend([code]);
        let dead_letter = expiring(&function, dead_letter, HOUR_MS)?;
        // The archive fails once.
        let fails_once = Arc::new(FailsOnce::default());
        function.0.archive = function.0.archive.map(|it| it.with_faults(fails_once));
        let handled = function.messages(&[dead_letter], ms(30_000)).await;
        let result = &handled.first().ok_or("no outcome")?.result;
        assert_eq!(result.outcome, Outcome::Archived { code: expected });
        let genesys = function.0.retry_state.genesys().ok_or("no Genesys")?;
        assert_eq!(genesys.marks(), [], "{expected:?}");
    }
    Ok(())
}

/// An archive that fails once.
#[derive(Default)]
struct FailsOnce(AtomicBool);

impl Faults<ArchiveError> for FailsOnce {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, ArchiveError> {
        let is_first = !self.0.swap(true, Ordering::Relaxed);
        Box::pin(
            async move { if is_first { Err(ArchiveError("no route".into())) } else { Ok(()) } },
        )
    }
}

#[tokio::test(start_paused = true)]
async fn message_is_archived_at_last_receive_when_lookup_fails() -> TestResult {
    let mut function = function()?;
    function.0.ledger = function.0.ledger.with_faults(Arc::new(Unreachable));
    let body = genesys_test_support::on_failure_body("r-1", function.0.clock.now(), r#"{"a":1}"#);
    let record = Message::new(MessageId::new("m-1").ok_or("id")?, body);
    let record = expiring(&function, record, HOUR_MS)?;
    let handled = function.messages(&[record], ms(30_000)).await;
    let result = &handled.first().ok_or("no outcome")?.result;
    let code = FailureCode::Exhausted;
    assert_eq!(result.outcome, Outcome::Archived { code });
    let reason = result.reason.clone().unwrap_or_default();
    assert!(reason.contains("LEDGER_UNAVAILABLE"), "{reason}");
    Ok(())
}

/// A ledger that is down.
struct Unreachable;

impl Faults<LedgerError> for Unreachable {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, LedgerError> {
        Box::pin(async { Err(LedgerError::Unavailable("no route".into())) })
    }
}

#[tokio::test(start_paused = true)]
async fn message_is_archived_at_last_receive_when_lease_is_held() -> TestResult {
    let function = InMemoryFunction::new()?.target(HOUR);
    function.0.queue.create(QUEUE, None);
    function.0.queue.keep_for(QUEUE, RETENTION);
    // Its worker crashes with the lease.
    let dies = tokio::time::timeout(ms(1_000), function.handle(ms(60_000)));
    assert!(dies.await.is_err());
    let result = handle(&function, HOUR_MS).await?.result;
    let code = FailureCode::Exhausted;
    assert_eq!(result.outcome, Outcome::Archived { code });
    assert_eq!(function.item(0), Some((Status::InProgress, false)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn delivered_event_is_not_archived_at_its_last_receive() -> TestResult {
    let function = InMemoryFunction::new()?.genesys(&[("mark", ms(1_000))]).target(ms(1_500));
    function.0.queue.create(QUEUE, None);
    function.0.queue.keep_for(QUEUE, RETENTION);
    // Delivered, with the deadline before the final mark.
    let result = function.handle(ms(3_500)).await?;
    assert_eq!(result.code(), Some(FailureCode::OutOfTime));
    sleep(Duration::from_secs(60)).await;
    let function = function.genesys(&[("fetch", ms(60_000))]);
    let result = handle(&function, HOUR_MS).await?.result;
    // If the mark fails, the message returns until the end of retention and is never archived.
    assert!(!matches!(result.outcome, Outcome::Archived { .. }), "{result:?}");
    assert_eq!(function.0.target.accepted().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_without_an_archive_is_counted_as_expiring() -> TestResult {
    let mut function = function()?;
    function.0.archive = None;
    let handled = handle(&function, HOUR_MS).await?;
    assert!(matches!(handled.result.outcome, Outcome::Deferred { .. }));
    let after = handled.result.outcome.retry_delay();
    assert_eq!(after, Some(Duration::from_secs(300)), "soon once more");
    assert_eq!(Counts::of([&handled]).expiring, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_age_is_ignored_when_older_than_the_retention() -> TestResult {
    // SQS would have deleted the message: the time is of a stored event or a test.
    let function = function()?;
    let handled = handle(&function, -HOUR_MS).await?;
    assert_eq!(handled.result.outcome.retry_delay(), Some(6 * HOUR));
    Ok(())
}

#[tokio::test]
async fn retention_is_read_from_the_queue() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    let queue = harness.aws.create_queue(false).await?;
    let sqs = aws_sdk_sqs::Client::new(&harness.aws.config());
    sqs.set_queue_attributes()
        .queue_url(harness.aws.queue_url(&queue).await?)
        .attributes(aws_sdk_sqs::types::QueueAttributeName::MessageRetentionPeriod, "86400")
        .send()
        .await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(503));
    let function = harness.function()?;
    let sent = |ago: Duration| {
        let at = SystemClock.now().as_millis() - u64::try_from(ago.as_millis()).unwrap_or(0);
        json!(at.to_string())
    };
    // One is 23 of 24 hours old, one is an hour old.
    for (id, age, archived) in [("e-1", 23 * HOUR, true), ("e-2", HOUR, false)] {
        let mut record = Record::dead_letter(id, id, "c-1").in_queue(&queue, "receipt");
        record.0["attributes"]["SentTimestamp"] = sent(age);
        let back = genesys_test_support::replay_harness::invoke(
            &function,
            genesys_test_support::event(&[record]),
        );
        assert_eq!(back.await??.is_empty(), archived, "{id}");
    }
    assert_eq!(harness.state("e-1").await?, "ARCHIVED EXHAUSTED");
    let objects = harness.aws.objects(&bucket).await?;
    assert_eq!(objects.len(), 1);
    let reason = objects[0].1["failure_reason"].as_str().unwrap_or_default();
    assert!(reason.contains("the queue deletes the message"), "{reason}");
    Ok(())
}
