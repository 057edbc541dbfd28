//! The queue: how long a message stays away, and what is put on it.

use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use serde::Deserialize;

use crate::aws::AwsError;
use crate::message::MessageId;

/// The most messages of one call of SQS.
pub const MAX_BATCH_ENTRIES: usize = 10;

/// A message that shall stay away for a while.
#[derive(Clone, Debug)]
pub struct VisibilityChange<'a> {
    /// The ARN of its queue.
    pub queue_arn: &'a str,
    /// The message.
    pub message_id: &'a MessageId,
    /// The handle of this receipt.
    pub receipt_handle: &'a str,
    /// How long, from now.
    pub after: Duration,
}

/// A message whose wait was not changed: it stays away as long as its queue says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message's visibility timeout was not changed: {reason}")]
pub struct VisibilityError {
    /// The message.
    pub message_id: MessageId,
    /// What the queue said.
    pub reason: String,
}

/// The queue that messages come back from.
pub trait Queue: Send + Sync {
    /// Makes each message stay away for as long as it says, or nearest to it that the queue can.
    ///
    /// Each message for itself: the answer names those that failed. Repeating it starts the wait
    /// anew. An empty list makes no call.
    fn change_visibility(
        &self,
        changes: &[VisibilityChange<'_>],
    ) -> impl Future<Output = Vec<VisibilityError>> + Send;

    /// Reads the limits of the queue with this ARN.
    ///
    /// # Errors
    /// The reason in words: the queue does not exist, or may not be read.
    fn limits(&self, queue_arn: &str) -> impl Future<Output = Result<QueueLimits, String>> + Send;
}

/// The limits of the messages in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// The time after which SQS deletes a message, from when it was sent.
    pub retention: Duration,
    /// The receives after which SQS moves a message to the parking queue.
    pub max_receives: Option<u32>,
    /// The ARN of the parking queue.
    pub parking_arn: Option<String>,
}

/// The most that SQS takes as one message, attributes included, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Whether SQS takes a text as a message: some characters are refused, though they are Unicode.
#[must_use]
pub fn takes(text: &str) -> bool {
    text.chars().all(|letter| {
        matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    })
}

/// A message to be put on the queue.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The body: not empty, and what SQS [`takes`].
    pub body: String,
    /// The attributes by name, at most ten.
    pub attributes: Vec<(Cow<'static, str>, AttributeValue)>,
    /// Among which messages a FIFO queue keeps their order; other queues ignore it.
    pub group: String,
    /// By what a FIFO queue knows a repetition; other queues ignore it.
    pub deduplication: String,
}

/// The value of a message attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// A text: not empty, and what SQS [`takes`].
    Text(String),
    /// A whole number.
    Number(u64),
}

impl NewMessage {
    /// What counts towards [`MAX_MESSAGE_BYTES`], in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| {
            let (kind, value) = value.parts();
            name.len() + kind.len() + value.len()
        });
        self.body.len() + attributes.sum::<usize>()
    }
}

impl AttributeValue {
    /// The data type and the value, as SQS wants them.
    #[must_use]
    pub fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Text(text) => ("String", text.clone()),
            Self::Number(number) => ("Number", number.to_string()),
        }
    }
}

/// Why a message was not put on the queue.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The queue takes no message of this length.
    #[error("the queue takes no message of {bytes} bytes")]
    TooLong {
        /// Its length with its attributes.
        bytes: usize,
    },
    /// The queue was not reached, refused, or its answer was lost.
    #[error("the queue is unavailable: {reason}")]
    Unavailable {
        /// What was seen.
        reason: String,
    },
}

/// The queue that messages are put on.
pub trait MessageSender: Send + Sync {
    /// Puts one message on the queue and answers its id there. `Ok` means durably stored.
    ///
    /// A message may be stored twice; both copies have the same attributes, by which they are known.
    ///
    /// # Errors
    /// [`PutError::TooLong`]: it is not stored, and sending it again changes nothing. With
    /// [`PutError::Unavailable`] it may be stored all the same.
    fn send(
        &self,
        message: &NewMessage,
    ) -> impl Future<Output = Result<MessageId, PutError>> + Send;

    /// Puts at most [`MAX_BATCH_ENTRIES`] messages on the queue, and answers for each in its place as [`send`](Self::send)
    /// does. None is no call.
    ///
    /// # Errors
    /// [`AwsError`]: what holds for all of them; each may be stored all the same.
    fn send_all(
        &self,
        messages: &[NewMessage],
    ) -> impl Future<Output = Result<Vec<Result<MessageId, PutError>>, AwsError>> + Send;
}

/// A queue's redrive policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The ARN of the parking queue.
    pub parking_arn: String,
    /// A message that was received this often moves there instead of being received once more.
    pub max_receives: u32,
}

impl Redrive {
    /// The parking queue's name.
    #[must_use]
    pub fn parking_name(&self) -> &str {
        self.parking_arn
            .rsplit(':')
            .next()
            .unwrap_or(&self.parking_arn)
    }
}

/// A redrive policy as SQS writes it: `maxReceiveCount` is a number or a text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    dead_letter_target_arn: String,
    max_receive_count: serde_json::Value,
}

impl Redrive {
    /// Reads the attribute `RedrivePolicy`; `None` when it is not one.
    #[must_use]
    pub fn parse(policy: &str) -> Option<Self> {
        let policy: Policy = serde_json::from_str(policy).ok()?;
        let count = &policy.max_receive_count;
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
        Some(Self {
            parking_arn: policy.dead_letter_target_arn,
            max_receives: u32::try_from(count).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_text_without_what_sqs_refuses() {
        assert!(takes("a\tb\r\n c é 語 🦀 \u{fffd}"));
        for refused in ["\0", "\u{1f}", "\u{b}", "\u{fffe}", "\u{ffff}"] {
            assert!(!takes(refused), "{refused:?}");
        }
    }

    #[test]
    fn attributes_count_towards_the_size_of_a_message() {
        let message = NewMessage {
            body: "body".to_owned(),
            attributes: vec![
                ("Origin".into(), AttributeValue::Text("here".to_owned())),
                ("RetryCount".into(), AttributeValue::Number(12)),
            ],
            group: String::new(),
            deduplication: String::new(),
        };
        assert_eq!(message.size(), 4 + (6 + 6 + 4) + (10 + 6 + 2));
    }

    #[test]
    fn a_redrive_policy_may_write_its_count_as_a_text() {
        let arn = "arn:aws:sqs:eu-central-1:271828182845:parked";
        for count in ["13", "\"13\""] {
            let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{count}}}"#);
            let expected = Redrive {
                parking_arn: arn.to_owned(),
                max_receives: 13,
            };
            assert_eq!(Redrive::parse(&policy), Some(expected), "{count}");
        }
        for policy in [
            "",
            "{}",
            r#"{"deadLetterTargetArn":"a","maxReceiveCount":"many"}"#,
        ] {
            assert_eq!(Redrive::parse(policy), None, "{policy}");
        }
    }
}
