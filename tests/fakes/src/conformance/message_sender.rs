//! The contract of [`MessageSender`], and of the queue behind it.

use std::collections::BTreeMap;
use std::future::Future;

use genesys_replay::message::MessageId;
use genesys_replay::queue::{
    AttributeValue, MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES, MessageSender, NewMessage, PutError,
};

use super::{Mishap, Result, holds, same, suite};

/// A queue that is written through one port.
pub trait World {
    /// The implementation.
    type MessageSender: MessageSender;

    /// The port.
    fn sender(&self) -> &Self::MessageSender;

    /// Whether it is a FIFO queue.
    fn is_fifo(&self) -> bool;

    /// Lets something befall the next call of the port.
    fn next_call(&self, mishap: Mishap);

    /// Everything on the queue.
    fn stored(&self) -> impl Future<Output = Result<Vec<Stored>>>;
}

/// A message on the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: MessageId,
    /// Its body.
    pub body: String,
    /// Its attributes, all as text.
    pub attributes: BTreeMap<String, String>,
    /// Its message group, in a FIFO queue.
    pub group: Option<String>,
}

/// Whether a queue keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(world: &impl World) -> Result<()> {
    suite!(world;
        message_is_stored_unchanged,
        duplicate_message_is_stored_once_on_a_fifo_queue_only,
        message_is_refused_when_longer_than_the_limit,
        failed_send_stores_nothing,
        send_with_a_lost_response_stores_the_message,
        batch_results_are_in_the_order_of_its_messages,
        batch_may_be_longer_than_the_limit_of_one_message,
        empty_batch_makes_no_call,
        failed_batch_fails_every_message,
    )
}

fn message(name: &str, deduplication: &str) -> NewMessage {
    NewMessage {
        body: format!("{{\"name\":\"{name}\",\"text\":\"é 語 🦀 \\\"\"}}\n"),
        attributes: vec![
            ("Origin".into(), AttributeValue::Text(name.to_owned())),
            ("RetryCount".into(), AttributeValue::Number(4_294_967_295)),
        ],
        group: format!("group-{name}"),
        deduplication: deduplication.to_owned(),
    }
}

/// A message in a group of its own: who looks at a FIFO queue sees ten of a group.
fn one_of(name: &str, number: usize) -> NewMessage {
    NewMessage {
        group: format!("group-{name}-{number}"),
        ..message(name, &format!("{name}-{number}"))
    }
}

async fn of(world: &impl World, name: &str) -> Result<Vec<Stored>> {
    let all = world.stored().await?.into_iter();
    Ok(all
        .filter(|it| it.attributes.get("Origin").is_some_and(|it| it == name))
        .collect())
}

async fn message_is_stored_unchanged(world: &impl World, name: &str) -> Result<()> {
    let sent = message(name, name);
    let id = world.sender().send(&sent).await?;
    let attributes = [("Origin", name), ("RetryCount", "4294967295")];
    let asked = Stored {
        id,
        body: sent.body,
        attributes: attributes
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        group: world.is_fifo().then_some(sent.group),
    };
    same("messages", &of(world, name).await?, &vec![asked])
}

async fn duplicate_message_is_stored_once_on_a_fifo_queue_only(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let sent = message(name, name);
    let first = world.sender().send(&sent).await?;
    let second = world.sender().send(&sent).await?;
    let stored = of(world, name).await?.len();
    if world.is_fifo() {
        same("messages", &stored, &1)
    } else {
        holds("each has an id of its own", first != second)?;
        same("messages", &stored, &2)
    }
}

async fn message_is_refused_when_longer_than_the_limit(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let mut sent = message(name, "short");
    let room = MAX_MESSAGE_BYTES - sent.size();
    sent.body.push_str(&"x".repeat(room));
    same("bytes", &sent.size(), &MAX_MESSAGE_BYTES)?;
    world.sender().send(&sent).await?;
    sent.body.push('x');
    "long".clone_into(&mut sent.deduplication);
    let refused = world.sender().send(&sent).await;
    holds(
        "a longer one is refused for good",
        matches!(refused, Err(PutError::TooLong { bytes }) if bytes == MAX_MESSAGE_BYTES + 1),
    )?;
    same("messages", &of(world, name).await?.len(), &1)
}

async fn failed_send_stores_nothing(world: &impl World, name: &str) -> Result<()> {
    world.next_call(Mishap::Down);
    let failed = world.sender().send(&message(name, name)).await;
    holds(
        "it fails in passing",
        matches!(failed, Err(PutError::Unavailable { .. })),
    )?;
    same("messages", &of(world, name).await?.len(), &0)
}

async fn send_with_a_lost_response_stores_the_message(
    world: &impl World,
    name: &str,
) -> Result<()> {
    world.next_call(Mishap::AnswerLost);
    let sent = message(name, name);
    let failed = world.sender().send(&sent).await;
    holds(
        "it fails in passing",
        matches!(failed, Err(PutError::Unavailable { .. })),
    )?;
    holds("it is there", !of(world, name).await?.is_empty())?;
    world.sender().send(&sent).await?;
    let same_receipt = of(world, name).await?;
    holds(
        "both copies are alike",
        same_receipt
            .iter()
            .all(|it| it.attributes == same_receipt[0].attributes),
    )
}

async fn batch_results_are_in_the_order_of_its_messages(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let mut sent: Vec<NewMessage> = (0..MAX_BATCH_ENTRIES)
        .map(|number| NewMessage {
            body: format!("{name} {number}"),
            ..one_of(name, number)
        })
        .collect();
    sent[3].body = "x".repeat(MAX_MESSAGE_BYTES);
    let answers = world.sender().send_all(&sent).await?;
    same("answers", &answers.len(), &sent.len())?;
    holds(
        "the one that is too long is refused for good, in its place",
        matches!(answers[3], Err(PutError::TooLong { .. })),
    )?;
    let stored = of(world, name).await?;
    same("messages", &stored.len(), &(sent.len() - 1))?;
    for (sent, answer) in sent.iter().zip(&answers) {
        let Ok(id) = answer else { continue };
        let found = stored.iter().find(|it| it.id == *id);
        same("body", &found.map(|it| &it.body), &Some(&sent.body))?;
    }
    Ok(())
}

async fn batch_may_be_longer_than_the_limit_of_one_message(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let long = |number| NewMessage {
        body: "x".repeat(MAX_MESSAGE_BYTES / 2),
        ..one_of(name, number)
    };
    let answers = world
        .sender()
        .send_all(&[long(1), long(2), long(3)])
        .await?;
    holds(
        "all are stored",
        answers.iter().all(std::result::Result::is_ok),
    )?;
    same("messages", &of(world, name).await?.len(), &3)
}

async fn empty_batch_makes_no_call(world: &impl World, name: &str) -> Result<()> {
    world.next_call(Mishap::Down);
    let none = world.sender().send_all(&[]).await?;
    same("answers", &none.len(), &0)?;
    // The mishap waits for a call that is one.
    let failed = world.sender().send(&message(name, name)).await;
    holds("it befalls the next", failed.is_err())
}

async fn failed_batch_fails_every_message(world: &impl World, name: &str) -> Result<()> {
    for (mishap, stored) in [(Mishap::Down, 0), (Mishap::AnswerLost, 2)] {
        world.next_call(mishap);
        let sent = [1, 2].map(|number| one_of(name, number));
        let failed = world.sender().send_all(&sent).await;
        holds("all of them fail", failed.is_err())?;
        same("messages", &of(world, name).await?.len(), &stored)?;
    }
    Ok(())
}
