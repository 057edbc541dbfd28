//! Sends the dead letters of a plan to the queue that the function drains, or directly to their targets.

use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::dead_letter::{ParsedMessage, parse};
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::ReplayNote;
use genesys_replay::message::{Message, MessageId, resent};
use genesys_replay::queue::{MessageSender, NewMessage, PutError, takes};
use genesys_replay::replay::{Invocation, Outcome as Replayed, Ports, Replay};

use super::ReplayOutcome;
use crate::queue::QueueReader;
use crate::resend::{new_message, without_note};

/// The maximum time of a call in this process: the function's timeout in the template.
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendResult {
    Sent(MessageId),
    /// The event is settled already.
    Settled(ReplayOutcome),
    /// The message was certainly not sent, for this reason.
    NotSent(String),
    /// The message may have been sent, or was attempted and is not settled, for this reason.
    Doubtful(String),
}

pub trait Sender {
    /// Returns true if the function works on the sent messages, so that the ledger shows their outcome later.
    fn is_followed(&self) -> bool;

    fn name(&self) -> String;

    /// Returns the approximate number of messages that the function receives before the next sent one; `None` if the
    /// number is not known or there is no queue.
    fn ahead(&self) -> impl Future<Output = Option<u64>> {
        std::future::ready(None)
    }

    /// Sends at most [`MAX_BATCH_ENTRIES`](genesys_replay::queue::MAX_BATCH_ENTRIES) messages, and returns one result
    /// per message, in order.
    ///
    /// # Errors
    /// [`AwsError`] if the whole call failed; each message may have been sent.
    fn send(&self, messages: &[Message])
    -> impl Future<Output = Result<Vec<SendResult>, AwsError>>;
}

/// The maximum length of a text about a plan in a message, in characters.
const MAX_NOTE_CHARS: usize = 256;

/// Returns a message as a plan sends it: with the plan's id, the operator and the reason, and, if the event has no id, the
/// original message's id.
pub fn tag_with_plan(mut message: Message, note: ReplayNote<'_>) -> Message {
    let has_id = match parse(&message) {
        ParsedMessage::DeadLetter(dead_letter) => dead_letter.event_id.is_some(),
        ParsedMessage::Unreplayable(_) => true,
    };
    if !has_id {
        // SQS gives the sent message another id, so keep the event's identity in an attribute.
        let id = message.id.to_string();
        message.attributes.insert(resent::EVENT_ID.to_owned(), id);
    }
    // The message may have the attributes of an earlier plan.
    for (name, value) in
        [(resent::PLAN, Some(note.plan)), (resent::BY, note.by), (resent::REASON, note.reason)]
    {
        message.typed.remove(name);
        match value.map(sendable) {
            Some(value) => message.attributes.insert(name.to_owned(), value),
            None => message.attributes.remove(name),
        };
    }
    message
}

/// Returns the begin of a text, in characters that SQS accepts.
fn sendable(text: &str) -> String {
    let characters = text.chars().take(MAX_NOTE_CHARS);
    let is_sendable = |it: char| !it.is_control() && takes(it.encode_utf8(&mut [0; 4]));
    characters.map(|it| if is_sendable(it) { it } else { ' ' }).collect()
}

pub struct QueueSender<I, Q> {
    pub sender: I,
    /// The same queue, for its depth.
    pub queue: Q,
    pub name: String,
}

impl<I: MessageSender, Q> QueueSender<I, Q> {
    /// Sends the messages again that are only too long with the operator and the reason. Returns all answers.
    async fn without_notes(
        &self,
        messages: &[NewMessage],
        mut answers: Vec<Result<MessageId, PutError>>,
    ) -> Result<Vec<Result<MessageId, PutError>>, AwsError> {
        let is_too_long = |answer| matches!(answer, &Err(PutError::TooLong { .. }));
        let (indices, shorter): (Vec<usize>, Vec<NewMessage>) = messages
            .iter()
            .zip(&answers)
            .enumerate()
            .filter(|(_, (_, answer))| is_too_long(answer))
            .filter_map(|(index, (message, _))| Some((index, without_note(message)?)))
            .unzip();
        if !shorter.is_empty() {
            let again = self.sender.send_all(&shorter).await?;
            for (index, answer) in indices.into_iter().zip(again) {
                answers[index] = answer;
            }
        }
        Ok(answers)
    }
}

impl<I: MessageSender, Q: QueueReader> Sender for QueueSender<I, Q> {
    fn is_followed(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        format!("the queue {}", self.name)
    }

    async fn ahead(&self) -> Option<u64> {
        // Only shown to people, so an error is ignored.
        self.queue.facts().await.ok().map(|facts| facts.visible)
    }

    async fn send(&self, messages: &[Message]) -> Result<Vec<SendResult>, AwsError> {
        let mut accepted = Vec::new();
        let prepared = messages.iter().map(|message| {
            // A plan sends each message once.
            let plan = message.replay_plan().unwrap_or_default();
            new_message(message, &format!("{plan} {}", message.id))
                .map_err(|error| error.to_string())
        });
        let refusals: Vec<Option<String>> =
            prepared.map(|message| message.map(|message| accepted.push(message)).err()).collect();
        let answers = self.sender.send_all(&accepted).await?;
        let mut answers = self.without_notes(&accepted, answers).await?.into_iter();
        let sendings = refusals.into_iter().map(|refusal| match refusal {
            Some(reason) => SendResult::NotSent(reason),
            None => match answers.next() {
                Some(Ok(id)) => SendResult::Sent(id),
                Some(Err(
                    error @ (PutError::TooLong { .. }
                    | PutError::Rejected { .. }
                    | PutError::Unavailable { .. }),
                )) => SendResult::NotSent(error.to_string()),
                Some(Err(error @ PutError::Unanswered { .. })) => {
                    SendResult::Doubtful(error.to_string())
                }
                None => SendResult::Doubtful(
                    "the queue did not return a result for this message".to_owned(),
                ),
            },
        });
        Ok(sendings.collect())
    }
}

/// The sender directly to the targets, with the function's own code in this process.
pub struct DirectSender<P: Ports> {
    pub replay: Replay<P>,
    /// The ARN of the queue that the function drains, which must not be a target.
    pub queue_arn: String,
    /// The function's own ARN, which must not be a target either; empty if it is not known.
    pub function_arn: String,
}

impl<P: Ports> Sender for DirectSender<P> {
    fn is_followed(&self) -> bool {
        false
    }

    fn name(&self) -> String {
        format!("its target ({}), from this process", self.replay.destination)
    }

    async fn send(&self, messages: &[Message]) -> Result<Vec<SendResult>, AwsError> {
        let last: Vec<Message> = messages
            .iter()
            .map(|message| Message {
                // Treat each attempt as the last one, because a queue does not deliver this message again.
                receive_count: u32::MAX,
                receipt_handle: None,
                queue_arn: Some(self.queue_arn.clone()),
                // One group per message, because the first failure of a FIFO group stops the rest of the group.
                group: Some(message.id.to_string()),
                ..message.clone()
            })
            .collect();
        let now = self.replay.clock.now();
        let invocation = Invocation {
            request_id: format!("operator-{}-{}", std::process::id(), now.as_millis()),
            function_arn: self.function_arn.clone(),
            deadline: now.plus(INVOCATION_TIMEOUT),
        };
        let handled = self.replay.batch(&last, &invocation).await;
        Ok(handled.iter().map(|it| settled(it.result.outcome)).collect())
    }
}

fn settled(outcome: Replayed) -> SendResult {
    let code = |code: FailureCode| code.as_str().to_owned();
    match outcome {
        Replayed::Replayed => SendResult::Settled(ReplayOutcome::Delivered),
        Replayed::Duplicate => SendResult::Settled(ReplayOutcome::DeliveredBefore),
        Replayed::Archived { code: why } => SendResult::Settled(ReplayOutcome::Archived(code(why))),
        Replayed::Returned { code: why } => SendResult::Settled(ReplayOutcome::Failed(code(why))),
        Replayed::Deferred { code: why, .. } | Replayed::NotAttempted { code: why, .. } => {
            SendResult::Doubtful(format!("{why}: genesys-replay explain {why}"))
        }
    }
}
