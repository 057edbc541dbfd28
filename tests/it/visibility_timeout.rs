//! The visibility timeouts that the function sets, over the fakes in paused time. The port's contract is in
//! `conformance.rs`.

use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::{FaultHookFuture, Faults};
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::message::Message;
use genesys_replay::target::DeliveryError;
use genesys_stand_in::Fault;
use genesys_test_support::memory::{InMemoryFunction, message, ms};
use genesys_test_support::{Record, ReplayHarness, TestResult};

const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:dlq";

/// A target with `Retry-After: 300`.
struct RateLimited;

impl Faults<DeliveryError> for RateLimited {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, DeliveryError> {
        Box::pin(async {
            Err(DeliveryError {
                code: FailureCode::TargetRateLimited,
                disposition: Disposition::Transient { after: Some(Duration::from_secs(300)) },
                certainty: Certainty::Refused,
                timed_out: false,
                locally_throttled: false,
                reason: "429".to_owned(),
                source: None,
            })
        })
    }
}

/// Sends dead letters to the function's queue and receives them with a visibility timeout of 30 s, as Lambda does.
fn received(function: &InMemoryFunction, count: usize) -> Result<Vec<Message>, &'static str> {
    let queues = &function.0.queue;
    queues.create(QUEUE, None);
    for number in 0..count {
        let body = message(number)?.body;
        queues.send(QUEUE, body.as_str().into()).ok_or("no queue")?;
    }
    let received = queues.receive(QUEUE, count, Duration::from_secs(30));
    let messages = received.into_iter().map(|it| {
        let mut message = Message::new(it.message_id, it.draft.body);
        message.queue_arn = Some(QUEUE.to_owned());
        message.receipt_handle = Some(it.receipt_handle);
        message
    });
    Ok(messages.collect())
}

#[tokio::test(start_paused = true)]
async fn visibility_timeout_follows_the_retry_after_of_the_target() -> TestResult {
    let function = InMemoryFunction::new()?.target_with(Arc::new(RateLimited));
    let messages = received(&function, 10)?;
    assert_eq!(function.messages(&messages, ms(30_000)).await.len(), 10);
    let visibility_timeouts = function.0.queue.visibility_timeouts(QUEUE);
    assert_eq!(visibility_timeouts, [Duration::from_secs(300); 10]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn visibility_timeout_of_a_record_that_was_not_started_is_short() -> TestResult {
    let function = InMemoryFunction::new()?;
    let messages = received(&function, 1)?;
    function.messages(&messages, ms(900)).await;
    let visibility_timeouts = function.0.queue.visibility_timeouts(QUEUE);
    assert_eq!(visibility_timeouts, [Duration::from_secs(5)]);
    Ok(())
}

#[tokio::test]
async fn message_returns_when_its_visibility_timeout_cannot_be_set() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(429).header("Retry-After", "300"));
    let queue = harness.aws.create_queue(false).await?;
    let records = [
        Record::dead_letter("m-1", "e-1", "c-1").in_queue("not an arn", "receipt"),
        Record::dead_letter("m-2", "e-2", "c-1").in_queue(&format!("{queue}-gone"), "receipt"),
        Record::dead_letter("m-3", "e-3", "c-1").in_queue(&queue, "no such receipt"),
    ];
    assert_eq!(harness.deliver(&records).await?, ["m-1", "m-2", "m-3"]);
    Ok(())
}
