//! Where the dead letters of a plan are sent: to the queue that the function drains, or straight to their targets.

use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::dead_letter::{ParsedMessage, parse};
use genesys_replay::digest;
use genesys_replay::failure::FailureCode;
use genesys_replay::message::{Message, MessageId, resent};
use genesys_replay::queue::{AttributeValue, MessageSender, NewMessage, PutError};
use genesys_replay::replay::{Invocation, Outcome as Replayed, Ports, Replay};

use super::Outcome;

/// The most attributes of a message of SQS.
const MAX_ATTRIBUTES: usize = 10;

/// What a call in this process may take: as long as the function's own timeout in the template.
const INVOCATION: Duration = Duration::from_secs(30);

/// What became of sending one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// It is on the queue.
    Sent(MessageId),
    /// It has gone its way already.
    Settled(Outcome),
    /// It was not sent, for certain.
    NotSent(String),
    /// It may have been sent, or was begun and is open: for this reason.
    Doubtful(String),
}

/// What sends the dead letters of a plan.
pub trait Sender {
    /// Whether the ledger shows in time what became of what was sent, since somebody else works on it.
    fn is_followed(&self) -> bool;

    /// The name for people and for the audit.
    fn name(&self) -> String;

    /// Sends at most [`MAX_BATCH_ENTRIES`](genesys_replay::queue::MAX_BATCH_ENTRIES) messages, and answers for each in its place.
    ///
    /// # Errors
    /// [`AwsError`]: what holds for all of them; each may have been sent.
    fn send(&self, messages: &[Message]) -> impl Future<Output = Result<Vec<Sending>, AwsError>>;
}

/// A message as a plan sends it: what brought it first, and the plan that sends it again.
#[must_use]
pub fn marked(mut message: Message, plan: &str) -> Message {
    let has_id = match parse(&message) {
        ParsedMessage::DeadLetter(letter) => letter.event_id.is_some(),
        ParsedMessage::Unreplayable(_) => true,
    };
    if !has_id {
        // On the queue it gets another message id, and is to be the same event all the same.
        let id = message.id.to_string();
        message.attributes.insert(resent::EVENT_ID.to_owned(), id);
    }
    message
        .attributes
        .insert(resent::PLAN.to_owned(), plan.to_owned());
    message
}

/// To the queue that the function drains.
pub struct ToQueue<I> {
    /// What puts messages on it.
    pub sender: I,
    /// Its name.
    pub name: String,
}

impl<I: MessageSender> Sender for ToQueue<I> {
    fn is_followed(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        format!("the queue {}", self.name)
    }

    async fn send(&self, messages: &[Message]) -> Result<Vec<Sending>, AwsError> {
        let prepared = messages.iter().map(new_message);
        let mut fit = Vec::new();
        let mut refusals = Vec::new();
        for message in prepared {
            refusals.push(message.map(|message| fit.push(message)).err());
        }
        let mut answers = self.sender.send_all(&fit).await?.into_iter();
        let sendings = refusals.into_iter().map(|refusal| match refusal {
            Some(reason) => Sending::NotSent(reason),
            None => match answers.next() {
                Some(Ok(id)) => Sending::Sent(id),
                Some(Err(error @ PutError::TooLong { .. })) => Sending::NotSent(error.to_string()),
                Some(Err(error @ PutError::Unavailable { .. })) => {
                    Sending::Doubtful(error.to_string())
                }
                None => Sending::Doubtful("the queue did not say what became of it".to_owned()),
            },
        });
        Ok(sendings.collect())
    }
}

/// The message for the queue.
fn new_message(message: &Message) -> Result<NewMessage, String> {
    let attributes: Vec<_> = message
        .attributes
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.clone().into(), AttributeValue::Text(value.clone())))
        .collect();
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(format!(
            "it has {} message attributes, and SQS takes {MAX_ATTRIBUTES}",
            attributes.len()
        ));
    }
    let interaction = match parse(message) {
        ParsedMessage::DeadLetter(letter) => letter.interaction.map(|it| it.id.to_string()),
        ParsedMessage::Unreplayable(_) => None,
    };
    let plan = message.replay_plan().unwrap_or_default();
    let deduplication = digest::hexadecimal(&format!("{plan} {}", message.id));
    Ok(NewMessage {
        body: message.body.clone(),
        attributes,
        group: interaction.unwrap_or_else(|| deduplication.clone()),
        deduplication,
    })
}

/// Straight to the targets, by the function's own code in this process.
pub struct ToTarget<P: Ports> {
    /// The function's own code.
    pub replay: Replay<P>,
    /// The ARN of the queue that the function drains, which is no target.
    pub queue_arn: String,
    /// The function's own ARN, which is no target either; empty where it is not known.
    pub function_arn: String,
}

impl<P: Ports> Sender for ToTarget<P> {
    fn is_followed(&self) -> bool {
        false
    }

    fn name(&self) -> String {
        format!(
            "its target ({}), from this process",
            self.replay.destination
        )
    }

    async fn send(&self, messages: &[Message]) -> Result<Vec<Sending>, AwsError> {
        let last: Vec<Message> = messages
            .iter()
            .map(|message| Message {
                // No queue brings it again: what fails now is given up, and archived again.
                receive_count: u32::MAX,
                receipt_handle: None,
                queue_arn: Some(self.queue_arn.clone()),
                // In a FIFO queue the first failure of a group stops the rest of it.
                group: Some(message.id.to_string()),
                ..message.clone()
            })
            .collect();
        let now = self.replay.clock.now();
        let invocation = Invocation {
            request_id: format!("operator-{}-{}", std::process::id(), now.as_millis()),
            function_arn: self.function_arn.clone(),
            deadline: now.plus(INVOCATION),
        };
        let handled = self.replay.batch(&last, &invocation).await;
        Ok(handled
            .iter()
            .map(|it| settled(it.result.outcome))
            .collect())
    }
}

fn settled(outcome: Replayed) -> Sending {
    let code = |code: FailureCode| code.as_str().to_owned();
    match outcome {
        Replayed::Replayed => Sending::Settled(Outcome::Delivered),
        Replayed::Duplicate => Sending::Settled(Outcome::DeliveredBefore),
        Replayed::Archived { code: why } => Sending::Settled(Outcome::Archived(code(why))),
        Replayed::Returned { code: why } => Sending::Settled(Outcome::Failed(code(why))),
        Replayed::Deferred { code: why, .. } | Replayed::NotAttempted { code: why, .. } => {
            Sending::Doubtful(format!("{why}: genesys-replay explain {why}"))
        }
    }
}
