//! The contract of [`Queue`] and of the visibility timeouts of the queues behind it.

use std::future::Future;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::message::MessageId;
use genesys_replay::queue::{Queue, QueueDepth, QueueLimits, VisibilityChange};

use super::{CallFault, Result, holds, same, suite};
use crate::{Draft, Received};

/// The maximum visibility timeout: SQS counts 12 hours from the receive, and the longest invocation may
/// have passed since.
const MAX_VISIBILITY: Duration = Duration::from_secs(42_300);

/// The visibility timeout of every receive, longer than every case on a slow machine.
pub const VISIBILITY: Duration = Duration::from_secs(1_200);

/// The tolerance of a timeout that was read with a real clock.
const SLACK: Duration = Duration::from_secs(600);

/// Queues under test behind one port.
pub trait QueueSuite {
    /// The implementation.
    type Queue: Queue;

    /// The port.
    fn queue(&self) -> &Self::Queue;

    /// Injects a fault into the next call of the port.
    fn next_call(&self, fault: CallFault);

    /// Creates a queue and returns its ARN. Messages with `max_receives` receives move to the other queue.
    fn create(&self, parking: Option<(&str, u32)>) -> impl Future<Output = Result<String>>;

    /// Sends a message to a queue.
    fn send(&self, arn: &str, body: &str) -> impl Future<Output = Result<()>>;

    /// Receives up to ten visible messages and hides them for [`VISIBILITY`].
    fn receive(&self, arn: &str) -> impl Future<Output = Result<Vec<Received>>>;

    /// Acknowledges a message.
    fn delete(&self, arn: &str, receipt_handle: &str) -> impl Future<Output = Result<()>>;

    /// Returns the remaining visibility timeout of each message.
    fn visibility_timeouts(&self, arn: &str) -> impl Future<Output = Result<Vec<Duration>>>;
}

/// Checks that queues keep the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(suite: &impl QueueSuite) -> Result<()> {
    suite!(suite;
        received_message_is_hidden_for_the_visibility_timeout,
        visibility_change_hides_messages_for_its_duration,
        repeated_visibility_change_restarts_the_timeout,
        visibility_change_to_zero_makes_the_message_visible,
        visibility_change_is_limited_by_the_queue,
        visibility_change_succeeds_or_fails_per_message,
        empty_visibility_change_makes_no_call,
        deleted_message_does_not_return_and_cannot_be_changed,
        message_is_parked_unchanged_after_max_receives,
        failed_visibility_change_names_every_message,
        visibility_change_is_idempotent_after_a_lost_response,
        depth_of_a_queue_is_read,
        limits_of_a_queue_are_read,
    )
}

/// A queue whose messages were received.
struct ReceivedMessages<'w, W> {
    suite: &'w W,
    arn: String,
    received: Vec<Received>,
}

impl<'w, W: QueueSuite> ReceivedMessages<'w, W> {
    async fn of(suite: &'w W, name: &str, count: usize) -> Result<Self> {
        let arn = suite.create(None).await?;
        for number in 0..count {
            suite.send(&arn, &format!("{name} {number}")).await?;
        }
        let mut received = Vec::new();
        while received.len() < count {
            let some = suite.receive(&arn).await?;
            holds("a sent message is received", !some.is_empty())?;
            received.extend(some);
        }
        Ok(Self { suite, arn, received })
    }

    fn all(&self, after: Duration) -> Vec<VisibilityChange<'_>> {
        let received = self.received.iter();
        received.map(|it| change(&self.arn, it, after)).collect()
    }

    /// Changes the visibility of every message. Returns the ids that failed.
    async fn change_visibility(&self, after: Duration) -> Vec<MessageId> {
        failed(self.suite, &self.all(after)).await
    }

    async fn has_visibility_timeout(&self, expected: Duration) -> Result<()> {
        let visibility_timeouts = self.suite.visibility_timeouts(&self.arn).await?;
        same("messages", &visibility_timeouts.len(), &self.received.len())?;
        let near = |wait: &Duration| *wait <= expected && *wait + SLACK >= expected;
        holds(
            &format!("{visibility_timeouts:?} instead of {expected:?}"),
            visibility_timeouts.iter().all(near),
        )
    }

    fn ids(&self) -> Vec<MessageId> {
        self.received.iter().map(|it| it.message_id.clone()).collect()
    }
}

fn change<'a>(arn: &'a str, message: &'a Received, after: Duration) -> VisibilityChange<'a> {
    VisibilityChange {
        queue_arn: arn,
        message_id: &message.message_id,
        receipt_handle: &message.receipt_handle,
        after,
    }
}

async fn failed(suite: &impl QueueSuite, changes: &[VisibilityChange<'_>]) -> Vec<MessageId> {
    let errors = suite.queue().change_visibility(changes).await;
    errors.into_iter().map(|error| error.message_id).collect()
}

const ONE_HOUR: Duration = Duration::from_secs(3_600);

async fn received_message_is_hidden_for_the_visibility_timeout(
    suite: &impl QueueSuite,
    name: &str,
) -> Result<()> {
    let messages = ReceivedMessages::of(suite, name, 1).await?;
    let counts: Vec<u32> = messages.received.iter().map(|it| it.receive_count).collect();
    same("the receive count", &counts, &vec![1])?;
    holds("no other message is received", suite.receive(&messages.arn).await?.is_empty())?;
    messages.has_visibility_timeout(VISIBILITY).await
}

async fn visibility_change_hides_messages_for_its_duration(
    suite: &impl QueueSuite,
    name: &str,
) -> Result<()> {
    let messages = ReceivedMessages::of(suite, name, 2).await?;
    same("failures", &messages.change_visibility(ONE_HOUR).await, &Vec::new())?;
    messages.has_visibility_timeout(ONE_HOUR).await
}

async fn repeated_visibility_change_restarts_the_timeout(
    suite: &impl QueueSuite,
    name: &str,
) -> Result<()> {
    let messages = ReceivedMessages::of(suite, name, 1).await?;
    for after in [ONE_HOUR, ONE_HOUR * 2, ONE_HOUR] {
        same("failures", &messages.change_visibility(after).await, &Vec::new())?;
        messages.has_visibility_timeout(after).await?;
    }
    Ok(())
}

async fn visibility_change_to_zero_makes_the_message_visible(
    suite: &impl QueueSuite,
    name: &str,
) -> Result<()> {
    let messages = ReceivedMessages::of(suite, name, 1).await?;
    same("failures", &messages.change_visibility(Duration::ZERO).await, &Vec::new())?;
    let again = suite.receive(&messages.arn).await?;
    let [first, second] = [messages.received.first(), again.first()];
    let (first, second) = first.zip(second).ok_or("the message was not received again")?;
    same("the id", &second.message_id, &first.message_id)?;
    same("the body", &second.draft, &first.draft)?;
    same("the receive count", &second.receive_count, &2)?;
    holds("another receipt", second.receipt_handle != first.receipt_handle)
}

async fn visibility_change_is_limited_by_the_queue(
    suite: &impl QueueSuite,
    name: &str,
) -> Result<()> {
    let messages = ReceivedMessages::of(suite, name, 1).await?;
    let failures = messages.change_visibility(MAX_VISIBILITY * 3).await;
    same("failures", &failures, &Vec::new())?;
    messages.has_visibility_timeout(MAX_VISIBILITY).await
}

async fn visibility_change_succeeds_or_fails_per_message(
    suite: &impl QueueSuite,
    name: &str,
) -> Result<()> {
    let here = ReceivedMessages::of(suite, name, 12).await?;
    let there = ReceivedMessages::of(suite, name, 1).await?;
    let stranger = |id: &str| {
        Ok::<_, &str>(Received {
            message_id: MessageId::new(id).ok_or("message id")?,
            receipt_handle: "no such receipt".to_owned(),
            receive_count: 1,
            sent_at: Timestamp::from_millis(0),
            draft: Draft::default(),
        })
    };
    let (wrong, lost, odd) = (stranger("1-wrong")?, stranger("2-lost")?, stranger("3-odd")?);
    let gone = format!("{}-gone", here.arn);
    let mut all = here.all(ONE_HOUR);
    all.insert(3, change(&here.arn, &wrong, ONE_HOUR));
    all.insert(5, change(&gone, &lost, ONE_HOUR));
    all.insert(7, change("not an arn", &odd, ONE_HOUR));
    all.extend(there.all(ONE_HOUR * 2));
    let mut failures = failed(suite, &all).await;
    failures.sort();
    let strangers = [wrong, lost, odd].map(|it| it.message_id);
    same("failures", &failures, &strangers.to_vec())?;
    here.has_visibility_timeout(ONE_HOUR).await?;
    there.has_visibility_timeout(ONE_HOUR * 2).await
}

async fn empty_visibility_change_makes_no_call(suite: &impl QueueSuite, name: &str) -> Result<()> {
    let messages = ReceivedMessages::of(suite, name, 1).await?;
    suite.next_call(CallFault::NoEffect);
    same("failures", &failed(suite, &[]).await, &Vec::new())?;
    // The fault is still pending: no call has used it.
    same("failures", &messages.change_visibility(ONE_HOUR).await, &messages.ids())
}

async fn deleted_message_does_not_return_and_cannot_be_changed(
    suite: &impl QueueSuite,
    name: &str,
) -> Result<()> {
    let messages = ReceivedMessages::of(suite, name, 1).await?;
    for message in &messages.received {
        suite.delete(&messages.arn, &message.receipt_handle).await?;
    }
    same("failures", &messages.change_visibility(Duration::ZERO).await, &messages.ids())?;
    holds("no message is left", suite.receive(&messages.arn).await?.is_empty())
}

async fn message_is_parked_unchanged_after_max_receives(
    suite: &impl QueueSuite,
    name: &str,
) -> Result<()> {
    let parking = suite.create(None).await?;
    let arn = suite.create(Some((&parking, 2))).await?;
    suite.send(&arn, name).await?;
    let mut seen = Vec::new();
    for _ in 0..3 {
        for message in suite.receive(&arn).await? {
            let back = [change(&arn, &message, Duration::ZERO)];
            same("failures", &failed(suite, &back).await, &Vec::new())?;
            seen.push((message.message_id, message.receive_count));
        }
    }
    let [(first, 1), (second, 2)] = &seen[..] else {
        return Err(format!("received as {seen:?}").into());
    };
    same("the id", second, first)?;
    let parked = suite.receive(&parking).await?;
    let parked: Vec<_> = parked.iter().map(|it| (&it.message_id, &*it.draft.body)).collect();
    same("the parked", &parked, &vec![(first, name)])
}

async fn failed_visibility_change_names_every_message(
    suite: &impl QueueSuite,
    name: &str,
) -> Result<()> {
    let messages = ReceivedMessages::of(suite, name, 2).await?;
    suite.next_call(CallFault::NoEffect);
    same("failures", &messages.change_visibility(ONE_HOUR).await, &messages.ids())?;
    messages.has_visibility_timeout(VISIBILITY).await
}

async fn visibility_change_is_idempotent_after_a_lost_response(
    suite: &impl QueueSuite,
    name: &str,
) -> Result<()> {
    let messages = ReceivedMessages::of(suite, name, 2).await?;
    suite.next_call(CallFault::ResponseLost);
    same("failures", &messages.change_visibility(ONE_HOUR).await, &messages.ids())?;
    messages.has_visibility_timeout(ONE_HOUR).await?;
    same("failures", &messages.change_visibility(ONE_HOUR).await, &Vec::new())?;
    messages.has_visibility_timeout(ONE_HOUR).await
}

async fn depth_of_a_queue_is_read(suite: &impl QueueSuite, name: &str) -> Result<()> {
    let arn = suite.create(None).await?;
    for _ in 0..3 {
        suite.send(&arn, name).await?;
    }
    let depth = suite.queue().depth(&arn).await?;
    same("before", &depth, &QueueDepth { visible: 3, in_flight: 0 })?;
    let in_flight = u64::try_from(suite.receive(&arn).await?.len())?;
    let depth = suite.queue().depth(&arn).await?;
    same("after", &depth, &QueueDepth { visible: 3 - in_flight, in_flight })?;
    holds("missing", suite.queue().depth(&format!("{arn}-gone")).await.is_err())
}

async fn limits_of_a_queue_are_read(suite: &impl QueueSuite, _: &str) -> Result<()> {
    let parking = suite.create(None).await?;
    let arn = suite.create(Some((&parking, 7))).await?;
    let four_days = Duration::from_secs(4 * 24 * 3_600);
    let alone = QueueLimits { retention: four_days, max_receives: None, parking_arn: None };
    same("alone", &suite.queue().limits(&parking).await?, &alone)?;
    let redriven = QueueLimits { max_receives: Some(7), parking_arn: Some(parking), ..alone };
    same("redriven", &suite.queue().limits(&arn).await?, &redriven)?;
    for missing in [&format!("{arn}-gone"), "not an arn"] {
        let limits = suite.queue().limits(missing).await;
        holds(&format!("{missing} has none"), limits.is_err())?;
    }
    Ok(())
}
