//! The end of retention: a message that SQS is about to delete, over the fakes in paused time, and on real parts.

use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::{Faults, Passage};
use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::genesys::RetryStatus;
use genesys_replay::ledger::Status;
use genesys_replay::message::Message;
use genesys_replay::replay::{Counts, Handled, Outcome};
use genesys_replay::target::DeliveryError;
use genesys_stand_in::Fault;
use serde_json::json;
use tokio::time::sleep;

use crate::support::memory::{InMemoryFunction, message, ms};
use crate::support::{Record, TestResult, World};

const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:dlq";
const HOUR: Duration = Duration::from_secs(3_600);
/// An hour in milliseconds.
const HOUR_MS: i64 = 3_600_000;
const RETENTION: Duration = Duration::from_secs(4 * 24 * 3_600);

/// A target that asks for six hours.
struct Unavailable;

impl Faults<DeliveryError> for Unavailable {
    fn before(&self, _: &'static str) -> Passage<'_, DeliveryError> {
        Box::pin(async {
            Err(DeliveryError {
                code: FailureCode::TargetUnavailable,
                disposition: Disposition::Transient {
                    after: Some(6 * HOUR),
                },
                certainty: Certainty::Refused,
                reason: "503".to_owned(),
                source: None,
            })
        })
    }
}

/// A function whose target is down, and whose queue keeps messages for four days.
fn function() -> Result<InMemoryFunction, url::ParseError> {
    let function = InMemoryFunction::new()?.target_with(Arc::new(Unavailable));
    function.0.queue.create(QUEUE, None);
    function.0.queue.keep_for(QUEUE, RETENTION);
    Ok(function)
}

/// Handles a message that expires in so many milliseconds, or has expired.
async fn handle(
    function: &InMemoryFunction,
    left: i64,
) -> Result<Handled, Box<dyn std::error::Error>> {
    let now = function.0.clock.now();
    let kept = u64::try_from(RETENTION.as_millis())?;
    let millis = now.as_millis().saturating_add_signed(left) - kept;
    let mut message: Message = message(0)?;
    message.queue_arn = Some(QUEUE.to_owned());
    message.sent_at = Some(genesys_replay::clock::Timestamp::from_millis(millis));
    let handled = function.messages(&[message], ms(30_000)).await.pop();
    Ok(handled.ok_or("no outcome")?)
}

#[tokio::test(start_paused = true)]
async fn visibility_timeout_ends_before_the_last_receive() -> TestResult {
    for (left, expected) in [
        (96 * HOUR_MS, 6 * HOUR),
        (8 * HOUR_MS, 6 * HOUR),
        (5 * HOUR_MS, 3 * HOUR),
        (2 * HOUR_MS + 1, ms(1)),
    ] {
        let function = function()?;
        let handled = handle(&function, left).await?;
        assert_eq!(handled.verdict.outcome.after(), Some(expected), "{left}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_is_archived_at_its_last_receive_whatever_the_cause() -> TestResult {
    for left in [2 * HOUR_MS, 1] {
        let function = function()?;
        let verdict = handle(&function, left).await?.verdict;
        let code = FailureCode::Exhausted;
        assert_eq!(verdict.outcome, Outcome::Archived { code }, "{left}");
        let reason = verdict.reason.unwrap_or_default();
        assert!(reason.contains("TARGET_UNAVAILABLE: 503"), "{reason}");
        assert_eq!(function.item(0), Some((Status::Archived, false)));
        let genesys = function.0.retry_state.genesys().ok_or("no Genesys")?;
        let marks = genesys.marks();
        let last = marks.last().map(|(_, mark)| mark.status);
        assert_eq!(last, Some(RetryStatus::ExhaustedRetries));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_held_by_another_worker_is_archived_at_its_last_receive() -> TestResult {
    let function = InMemoryFunction::new()?.target(HOUR);
    function.0.queue.create(QUEUE, None);
    function.0.queue.keep_for(QUEUE, RETENTION);
    // Its worker dies with the lease.
    let dies = tokio::time::timeout(ms(1_000), function.handle(ms(60_000)));
    assert!(dies.await.is_err());
    let verdict = handle(&function, HOUR_MS).await?.verdict;
    let code = FailureCode::Exhausted;
    assert_eq!(verdict.outcome, Outcome::Archived { code });
    assert_eq!(function.item(0), Some((Status::InProgress, false)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn delivered_event_is_completed_and_not_archived_at_its_last_receive() -> TestResult {
    let function = InMemoryFunction::new()?
        .genesys(&[("mark", ms(1_000))])
        .target(ms(1_500));
    function.0.queue.create(QUEUE, None);
    function.0.queue.keep_for(QUEUE, RETENTION);
    // Delivered, and out of time before the last mark.
    let verdict = function.handle(ms(3_500)).await?;
    assert_eq!(verdict.code(), Some(FailureCode::OutOfTime));
    sleep(Duration::from_secs(60)).await;
    let function = function.genesys(&[("fetch", ms(60_000))]);
    let verdict = handle(&function, HOUR_MS).await?.verdict;
    // Whatever is in the way of the mark: the message returns while there is time, and is never archived.
    assert!(
        !matches!(verdict.outcome, Outcome::Archived { .. }),
        "{verdict:?}"
    );
    assert_eq!(function.0.target.accepted().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_without_an_archive_is_counted_as_expiring() -> TestResult {
    let mut function = function()?;
    function.0.archive = None;
    let handled = handle(&function, HOUR_MS).await?;
    assert!(matches!(handled.verdict.outcome, Outcome::Deferred { .. }));
    let after = handled.verdict.outcome.after();
    assert_eq!(after, Some(Duration::from_secs(300)), "soon once more");
    assert_eq!(Counts::of([&handled]).expiring, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn message_older_than_its_retention_is_not_believed() -> TestResult {
    // SQS would have deleted it: the time is of a saved event or a test.
    let function = function()?;
    let handled = handle(&function, -HOUR_MS).await?;
    assert_eq!(handled.verdict.outcome.after(), Some(6 * HOUR));
    Ok(())
}

#[tokio::test]
async fn retention_is_read_from_the_queue() -> TestResult {
    let mut world = World::start().await?;
    let bucket = world.aws.create_bucket().await?;
    world.set("ARCHIVE_BUCKET", &bucket);
    let queue = world.aws.create_queue(false).await?;
    let sqs = aws_sdk_sqs::Client::new(&world.aws.config());
    sqs.set_queue_attributes()
        .queue_url(world.aws.queue_url(&queue).await?)
        .attributes(
            aws_sdk_sqs::types::QueueAttributeName::MessageRetentionPeriod,
            "86400",
        )
        .send()
        .await?;
    world
        .genesys
        .fault(Fault::on("POST", "/targets/").status(503));
    let function = world.function()?;
    let sent = |ago: Duration| {
        let at = SystemClock.now().as_millis() - u64::try_from(ago.as_millis()).unwrap_or(0);
        json!(at.to_string())
    };
    // 23 of 24 hours old, and an hour old.
    for (id, age, archived) in [("e-1", 23 * HOUR, true), ("e-2", HOUR, false)] {
        let mut record = Record::dead_letter(id, id, "c-1").in_queue(&queue, "receipt");
        record.0["attributes"]["SentTimestamp"] = sent(age);
        let back = crate::support::world::invoke(&function, crate::support::event(&[record]));
        assert_eq!(back.await??.is_empty(), archived, "{id}");
    }
    assert_eq!(world.state("e-1").await?, "ARCHIVED EXHAUSTED");
    let objects = world.aws.objects(&bucket).await?;
    assert_eq!(objects.len(), 1);
    let reason = objects[0].1["failure_reason"].as_str().unwrap_or_default();
    assert!(reason.contains("the queue deletes the message"), "{reason}");
    Ok(())
}
