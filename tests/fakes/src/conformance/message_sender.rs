//! The contract of [`MessageSender`], and of the queue behind it.

use std::collections::BTreeMap;
use std::future::Future;

use genesys_replay::message::{MessageId, TypedAttribute, TypedValue};
use genesys_replay::queue::{
    MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES, MessageSender, NewMessage, PutError,
};

use super::{CallFault, Result, holds, same, suite};

/// A queue under test behind one port.
pub trait MessageSenderSuite {
    /// The implementation.
    type MessageSender: MessageSender;

    /// The port.
    fn sender(&self) -> &Self::MessageSender;

    /// Returns whether the queue is a FIFO queue.
    fn is_fifo(&self) -> bool;

    /// Injects a fault into the next call of the port.
    fn next_call(&self, fault: CallFault);

    /// Returns all messages on the queue.
    fn stored(&self) -> impl Future<Output = Result<Vec<Stored>>>;
}

/// A message on the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The message id.
    pub id: MessageId,
    /// The body.
    pub body: String,
    /// The attributes.
    pub attributes: BTreeMap<String, TypedAttribute>,
    /// The message group on a FIFO queue.
    pub group: Option<String>,
}

/// Checks that a queue keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(suite: &impl MessageSenderSuite) -> Result<()> {
    suite!(suite;
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
            ("Origin".into(), TypedAttribute::text(name)),
            ("RetryCount".into(), TypedAttribute::number(4_294_967_295)),
            (
                "Trace".into(),
                TypedAttribute {
                    data_type: "Binary.context".to_owned(),
                    value: TypedValue::Binary(vec![0, 127, 255]),
                },
            ),
        ],
        group: format!("group-{name}"),
        deduplication: deduplication.to_owned(),
    }
}

/// Returns a message in its own group, because a FIFO queue returns at most ten messages of a group.
fn one_of(name: &str, number: usize) -> NewMessage {
    NewMessage {
        group: format!("group-{name}-{number}"),
        ..message(name, &format!("{name}-{number}"))
    }
}

async fn of(suite: &impl MessageSenderSuite, name: &str) -> Result<Vec<Stored>> {
    let all = suite.stored().await?.into_iter();
    Ok(all
        .filter(|it| it.attributes.get("Origin").is_some_and(|it| it.as_text() == Some(name)))
        .collect())
}

async fn message_is_stored_unchanged(suite: &impl MessageSenderSuite, name: &str) -> Result<()> {
    let sent = message(name, name);
    let id = suite.sender().send(&sent).await?;
    let attributes = sent.attributes.into_iter();
    let asked = Stored {
        id,
        body: sent.body,
        attributes: attributes.map(|(name, value)| (name.into_owned(), value)).collect(),
        group: suite.is_fifo().then_some(sent.group),
    };
    same("messages", &of(suite, name).await?, &vec![asked])
}

async fn duplicate_message_is_stored_once_on_a_fifo_queue_only(
    suite: &impl MessageSenderSuite,
    name: &str,
) -> Result<()> {
    let sent = message(name, name);
    let first = suite.sender().send(&sent).await?;
    let second = suite.sender().send(&sent).await?;
    let stored = of(suite, name).await?.len();
    if suite.is_fifo() {
        same("messages", &stored, &1)
    } else {
        holds("each has its own id", first != second)?;
        same("messages", &stored, &2)
    }
}

async fn message_is_refused_when_longer_than_the_limit(
    suite: &impl MessageSenderSuite,
    name: &str,
) -> Result<()> {
    let mut sent = message(name, "short");
    let room = MAX_MESSAGE_BYTES - sent.size();
    sent.body.push_str(&"x".repeat(room));
    same("bytes", &sent.size(), &MAX_MESSAGE_BYTES)?;
    suite.sender().send(&sent).await?;
    sent.body.push('x');
    "long".clone_into(&mut sent.deduplication);
    let refused = suite.sender().send(&sent).await;
    holds(
        "a longer one is refused for good",
        matches!(refused, Err(PutError::TooLong { bytes, .. }) if bytes == MAX_MESSAGE_BYTES + 1),
    )?;
    same("messages", &of(suite, name).await?.len(), &1)
}

async fn failed_send_stores_nothing(suite: &impl MessageSenderSuite, name: &str) -> Result<()> {
    suite.next_call(CallFault::NoEffect);
    let failed = suite.sender().send(&message(name, name)).await;
    holds("the failure is transient", matches!(failed, Err(PutError::Unavailable { .. })))?;
    same("messages", &of(suite, name).await?.len(), &0)
}

async fn send_with_a_lost_response_stores_the_message(
    suite: &impl MessageSenderSuite,
    name: &str,
) -> Result<()> {
    suite.next_call(CallFault::ResponseLost);
    let sent = message(name, name);
    let failed = suite.sender().send(&sent).await;
    holds("the result is unknown", matches!(failed, Err(PutError::Unanswered { .. })))?;
    holds("the message is on the queue", !of(suite, name).await?.is_empty())?;
    suite.sender().send(&sent).await?;
    let same_receipt = of(suite, name).await?;
    holds(
        "both copies are alike",
        same_receipt.iter().all(|it| it.attributes == same_receipt[0].attributes),
    )
}

async fn batch_results_are_in_the_order_of_its_messages(
    suite: &impl MessageSenderSuite,
    name: &str,
) -> Result<()> {
    let mut sent: Vec<NewMessage> = (0..MAX_BATCH_ENTRIES)
        .map(|number| NewMessage { body: format!("{name} {number}"), ..one_of(name, number) })
        .collect();
    sent[3].body = "x".repeat(MAX_MESSAGE_BYTES);
    let answers = suite.sender().send_all(&sent).await?;
    same("answers", &answers.len(), &sent.len())?;
    holds(
        "the one that is too long is refused for good, in its place",
        matches!(answers[3], Err(PutError::TooLong { .. })),
    )?;
    let stored = of(suite, name).await?;
    same("messages", &stored.len(), &(sent.len() - 1))?;
    for (sent, answer) in sent.iter().zip(&answers) {
        let Ok(id) = answer else { continue };
        let found = stored.iter().find(|it| it.id == *id);
        same("body", &found.map(|it| &it.body), &Some(&sent.body))?;
    }
    Ok(())
}

async fn batch_may_be_longer_than_the_limit_of_one_message(
    suite: &impl MessageSenderSuite,
    name: &str,
) -> Result<()> {
    let long =
        |number| NewMessage { body: "x".repeat(MAX_MESSAGE_BYTES / 2), ..one_of(name, number) };
    let answers = suite.sender().send_all(&[long(1), long(2), long(3)]).await?;
    holds("all are stored", answers.iter().all(std::result::Result::is_ok))?;
    same("messages", &of(suite, name).await?.len(), &3)
}

async fn empty_batch_makes_no_call(suite: &impl MessageSenderSuite, name: &str) -> Result<()> {
    suite.next_call(CallFault::NoEffect);
    let none = suite.sender().send_all(&[]).await?;
    same("answers", &none.len(), &0)?;
    // The fault is still pending for the next call.
    let failed = suite.sender().send(&message(name, name)).await;
    holds("the next call fails", failed.is_err())
}

async fn failed_batch_fails_every_message(
    suite: &impl MessageSenderSuite,
    name: &str,
) -> Result<()> {
    for (fault, stored) in [(CallFault::NoEffect, 0), (CallFault::ResponseLost, 2)] {
        suite.next_call(fault);
        let sent = [1, 2].map(|number| one_of(name, number));
        let failed = suite.sender().send_all(&sent).await;
        holds("all of them fail", failed.is_err())?;
        same("messages", &of(suite, name).await?.len(), &stored)?;
    }
    Ok(())
}
