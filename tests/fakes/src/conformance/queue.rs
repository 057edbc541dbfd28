//! The contract of [`Queue`], and of the queues behind it: they decide when a message comes back.

use std::future::Future;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::message::MessageId;
use genesys_replay::queue::{Queue, QueueLimits, VisibilityChange};

use super::{Mishap, Result, holds, same, suite};
use crate::{Draft, Received};

/// The longest that a message can be kept away: SQS counts 12 hours from the receipt, and the
/// longest invocation may have passed since.
const LONGEST: Duration = Duration::from_secs(42_300);

/// The visibility timeout of every receive: no case comes to its end, however slow the machine.
pub const VISIBILITY: Duration = Duration::from_secs(1_200);

/// The time that a wait read off a real clock may have lost by then.
const SLACK: Duration = Duration::from_secs(600);

/// Queues that are postponed through one port.
pub trait World {
    /// The implementation.
    type Queue: Queue;

    /// The port.
    fn queue(&self) -> &Self::Queue;

    /// Lets something befall the next call of the port.
    fn next_call(&self, mishap: Mishap);

    /// A new queue; its ARN. What was received `max_receives` times goes to the other queue.
    fn create(&self, parking: Option<(&str, u32)>) -> impl Future<Output = Result<String>>;

    /// Puts a message on a queue.
    fn send(&self, arn: &str, body: &str) -> impl Future<Output = Result<()>>;

    /// Up to ten visible messages, each to nobody else for [`VISIBILITY`].
    fn receive(&self, arn: &str) -> impl Future<Output = Result<Vec<Received>>>;

    /// Acknowledges a message.
    fn delete(&self, arn: &str, receipt_handle: &str) -> impl Future<Output = Result<()>>;

    /// How long each message stays away from now.
    fn waits(&self, arn: &str) -> impl Future<Output = Result<Vec<Duration>>>;
}

/// Whether queues keep the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(world: &impl World) -> Result<()> {
    suite!(world;
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
        limits_of_a_queue_are_read,
    )
}

/// A queue that has been filled and received from.
struct Line<'w, W> {
    world: &'w W,
    arn: String,
    received: Vec<Received>,
}

impl<'w, W: World> Line<'w, W> {
    async fn of(world: &'w W, name: &str, count: usize) -> Result<Self> {
        let arn = world.create(None).await?;
        for number in 0..count {
            world.send(&arn, &format!("{name} {number}")).await?;
        }
        let mut received = Vec::new();
        while received.len() < count {
            let some = world.receive(&arn).await?;
            holds("what was sent is received", !some.is_empty())?;
            received.extend(some);
        }
        Ok(Self {
            world,
            arn,
            received,
        })
    }

    fn all(&self, after: Duration) -> Vec<VisibilityChange<'_>> {
        let received = self.received.iter();
        received.map(|it| change(&self.arn, it, after)).collect()
    }

    /// Postpones every message; the ids of those that failed.
    async fn change_visibility(&self, after: Duration) -> Vec<MessageId> {
        failed(self.world, &self.all(after)).await
    }

    async fn stays_away(&self, expected: Duration) -> Result<()> {
        let waits = self.world.waits(&self.arn).await?;
        same("messages", &waits.len(), &self.received.len())?;
        let near = |wait: &Duration| *wait <= expected && *wait + SLACK >= expected;
        holds(
            &format!("{waits:?} instead of {expected:?}"),
            waits.iter().all(near),
        )
    }

    fn ids(&self) -> Vec<MessageId> {
        self.received
            .iter()
            .map(|it| it.message_id.clone())
            .collect()
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

async fn failed(world: &impl World, changes: &[VisibilityChange<'_>]) -> Vec<MessageId> {
    let errors = world.queue().change_visibility(changes).await;
    errors.into_iter().map(|error| error.message_id).collect()
}

const A_WHILE: Duration = Duration::from_secs(3_600);

async fn received_message_is_hidden_for_the_visibility_timeout(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let line = Line::of(world, name, 1).await?;
    let counts: Vec<u32> = line.received.iter().map(|it| it.receive_count).collect();
    same("the receive count", &counts, &vec![1])?;
    holds("nothing else", world.receive(&line.arn).await?.is_empty())?;
    line.stays_away(VISIBILITY).await
}

async fn visibility_change_hides_messages_for_its_duration(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let line = Line::of(world, name, 2).await?;
    same(
        "failures",
        &line.change_visibility(A_WHILE).await,
        &Vec::new(),
    )?;
    line.stays_away(A_WHILE).await
}

async fn repeated_visibility_change_restarts_the_timeout(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let line = Line::of(world, name, 1).await?;
    for after in [A_WHILE, A_WHILE * 2, A_WHILE] {
        same(
            "failures",
            &line.change_visibility(after).await,
            &Vec::new(),
        )?;
        line.stays_away(after).await?;
    }
    Ok(())
}

async fn visibility_change_to_zero_makes_the_message_visible(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let line = Line::of(world, name, 1).await?;
    same(
        "failures",
        &line.change_visibility(Duration::ZERO).await,
        &Vec::new(),
    )?;
    let again = world.receive(&line.arn).await?;
    let [first, second] = [line.received.first(), again.first()];
    let (first, second) = first.zip(second).ok_or("it did not come back")?;
    same("the id", &second.message_id, &first.message_id)?;
    same("the body", &second.draft, &first.draft)?;
    same("the receive count", &second.receive_count, &2)?;
    holds(
        "another receipt",
        second.receipt_handle != first.receipt_handle,
    )
}

async fn visibility_change_is_limited_by_the_queue(world: &impl World, name: &str) -> Result<()> {
    let line = Line::of(world, name, 1).await?;
    let failures = line.change_visibility(LONGEST * 3).await;
    same("failures", &failures, &Vec::new())?;
    line.stays_away(LONGEST).await
}

async fn visibility_change_succeeds_or_fails_per_message(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let here = Line::of(world, name, 12).await?;
    let there = Line::of(world, name, 1).await?;
    let stranger = |id: &str| {
        Ok::<_, &str>(Received {
            message_id: MessageId::new(id).ok_or("message id")?,
            receipt_handle: "no such receipt".to_owned(),
            receive_count: 1,
            sent_at: Timestamp::from_millis(0),
            draft: Draft::default(),
        })
    };
    let (wrong, lost, odd) = (
        stranger("1-wrong")?,
        stranger("2-lost")?,
        stranger("3-odd")?,
    );
    let gone = format!("{}-gone", here.arn);
    let mut all = here.all(A_WHILE);
    all.insert(3, change(&here.arn, &wrong, A_WHILE));
    all.insert(5, change(&gone, &lost, A_WHILE));
    all.insert(7, change("not an arn", &odd, A_WHILE));
    all.extend(there.all(A_WHILE * 2));
    let mut failures = failed(world, &all).await;
    failures.sort();
    let strangers = [wrong, lost, odd].map(|it| it.message_id);
    same("failures", &failures, &strangers.to_vec())?;
    here.stays_away(A_WHILE).await?;
    there.stays_away(A_WHILE * 2).await
}

async fn empty_visibility_change_makes_no_call(world: &impl World, name: &str) -> Result<()> {
    let line = Line::of(world, name, 1).await?;
    world.next_call(Mishap::Down);
    same("failures", &failed(world, &[]).await, &Vec::new())?;
    // The mishap is still to come: nothing has used it up.
    same(
        "failures",
        &line.change_visibility(A_WHILE).await,
        &line.ids(),
    )
}

async fn deleted_message_does_not_return_and_cannot_be_changed(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let line = Line::of(world, name, 1).await?;
    for message in &line.received {
        world.delete(&line.arn, &message.receipt_handle).await?;
    }
    same(
        "failures",
        &line.change_visibility(Duration::ZERO).await,
        &line.ids(),
    )?;
    holds(
        "nothing is left",
        world.receive(&line.arn).await?.is_empty(),
    )
}

async fn message_is_parked_unchanged_after_max_receives(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let parking = world.create(None).await?;
    let arn = world.create(Some((&parking, 2))).await?;
    world.send(&arn, name).await?;
    let mut seen = Vec::new();
    for _ in 0..3 {
        for message in world.receive(&arn).await? {
            let back = [change(&arn, &message, Duration::ZERO)];
            same("failures", &failed(world, &back).await, &Vec::new())?;
            seen.push((message.message_id, message.receive_count));
        }
    }
    let [(first, 1), (second, 2)] = &seen[..] else {
        return Err(format!("received as {seen:?}").into());
    };
    same("the id", second, first)?;
    let parked = world.receive(&parking).await?;
    let parked: Vec<_> = parked
        .iter()
        .map(|it| (&it.message_id, &*it.draft.body))
        .collect();
    same("the parked", &parked, &vec![(first, name)])
}

async fn failed_visibility_change_names_every_message(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let line = Line::of(world, name, 2).await?;
    world.next_call(Mishap::Down);
    same(
        "failures",
        &line.change_visibility(A_WHILE).await,
        &line.ids(),
    )?;
    line.stays_away(VISIBILITY).await
}

async fn visibility_change_is_idempotent_after_a_lost_response(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let line = Line::of(world, name, 2).await?;
    world.next_call(Mishap::AnswerLost);
    same(
        "failures",
        &line.change_visibility(A_WHILE).await,
        &line.ids(),
    )?;
    line.stays_away(A_WHILE).await?;
    same(
        "failures",
        &line.change_visibility(A_WHILE).await,
        &Vec::new(),
    )?;
    line.stays_away(A_WHILE).await
}

async fn limits_of_a_queue_are_read(world: &impl World, _: &str) -> Result<()> {
    let parking = world.create(None).await?;
    let arn = world.create(Some((&parking, 7))).await?;
    let four_days = Duration::from_secs(4 * 24 * 3_600);
    let alone = QueueLimits {
        retention: four_days,
        max_receives: None,
        parking_arn: None,
    };
    same("alone", &world.queue().limits(&parking).await?, &alone)?;
    let redriven = QueueLimits {
        max_receives: Some(7),
        parking_arn: Some(parking),
        ..alone
    };
    same("redriven", &world.queue().limits(&arn).await?, &redriven)?;
    for missing in [&format!("{arn}-gone"), "not an arn"] {
        let limits = world.queue().limits(missing).await;
        holds(&format!("{missing} has none"), limits.is_err())?;
    }
    Ok(())
}
