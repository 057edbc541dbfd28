//! The queue: visibility timeouts of its messages, and sending messages.

use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use serde::Deserialize;

use crate::aws::AwsError;
use crate::destination::Arn;
use crate::message::{MessageId, TypedAttribute};

/// The maximum number of messages in one call to SQS.
pub const MAX_BATCH_ENTRIES: usize = 10;

/// The maximum visibility timeout. SQS counts its 12 hours from the receive and rejects longer timeouts. The longest
/// invocation, 15 minutes, may have passed since the receive.
pub const MAX_VISIBILITY_TIMEOUT: Duration = Duration::from_secs(12 * 3_600 - 15 * 60);

/// A message whose visibility timeout is to be changed.
#[derive(Clone, Debug)]
pub struct VisibilityChange<'a> {
    /// The ARN of its queue.
    pub queue_arn: &'a str,
    /// The message.
    pub message_id: &'a MessageId,
    /// The handle of this receive.
    pub receipt_handle: &'a str,
    /// The visibility timeout, from now.
    pub after: Duration,
}

/// The error when a visibility timeout was not changed. The queue's own timeout then applies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message's visibility timeout was not changed: {reason}")]
pub struct VisibilityError {
    /// The message.
    pub message_id: MessageId,
    /// The reason that the queue reported.
    pub reason: String,
}

/// The queue that messages are received from and returned to.
pub trait Queue: Send + Sync {
    /// Sets the visibility timeout of each message, or the nearest value that the queue allows.
    ///
    /// Each change succeeds or fails alone: the result lists the failed ones. Repeating a change restarts its
    /// timeout. An empty list makes no call.
    fn change_visibility(
        &self,
        changes: &[VisibilityChange<'_>],
    ) -> impl Future<Output = Vec<VisibilityError>> + Send;

    /// Reads the limits of the queue with this ARN.
    ///
    /// # Errors
    /// The reason in words: the queue does not exist, or the function may not read it.
    fn limits(&self, queue_arn: &str) -> impl Future<Output = Result<QueueLimits, String>> + Send;

    /// Reads the approximate numbers of messages in the queue with this ARN.
    ///
    /// # Errors
    /// The errors of [`limits`](Self::limits).
    fn depth(&self, queue_arn: &str) -> impl Future<Output = Result<QueueDepth, String>> + Send;
}

/// The approximate numbers of messages in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// The messages that can be received (`ApproximateNumberOfMessages`).
    pub visible: u64,
    /// The messages that are in flight: received, and hidden by their visibility timeout
    /// (`ApproximateNumberOfMessagesNotVisible`).
    pub in_flight: u64,
}

/// The limits of the messages in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// The retention period: SQS deletes a message this long after it was sent.
    pub retention: Duration,
    /// The receive count after which SQS moves a message to the parking queue.
    pub max_receives: Option<u32>,
    /// The ARN of the parking queue.
    pub parking_arn: Option<String>,
}

/// The maximum size of a message in SQS, including its attributes, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Returns true if SQS accepts a text in a message. SQS rejects some Unicode characters.
#[must_use]
pub fn takes(text: &str) -> bool {
    text.chars().all(|character| {
        matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    })
}

/// A message to be sent to the queue.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The body: not empty, and accepted by [`takes`].
    pub body: String,
    /// The attributes by name, at most ten. A text is not empty, and accepted by [`takes`].
    pub attributes: Vec<(Cow<'static, str>, TypedAttribute)>,
    /// The message group, within which a FIFO queue keeps the order; other queues ignore it.
    pub group: String,
    /// The deduplication id, by which a FIFO queue recognises repetitions; other queues ignore it.
    pub deduplication: String,
}

impl NewMessage {
    /// Returns the size that counts towards [`MAX_MESSAGE_BYTES`], in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.size());
        self.body.len() + attributes.sum::<usize>()
    }
}

/// The reasons for not sending a message to the queue.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The message is longer than the queue allows.
    #[error("the queue does not accept a message of {bytes} bytes{}", of_limit(*limit))]
    TooLong {
        /// The length of the message with its attributes, in bytes.
        bytes: usize,
        /// The queue's own limit in bytes, if it is known.
        limit: Option<usize>,
    },
    /// The queue rejected the message, which is not stored: the message itself is at fault.
    #[error("the queue rejected the message: {reason}")]
    Rejected {
        /// The observed problem.
        reason: String,
    },
    /// The queue was unreachable or refused the message, which is not stored.
    #[error("the queue is unavailable: {reason}")]
    Unavailable {
        /// The observed problem.
        reason: String,
    },
    /// The answer was lost: the message may have been stored.
    #[error("the message may be stored: {reason}")]
    Unanswered {
        /// The observed problem.
        reason: String,
    },
}

fn of_limit(limit: Option<usize>) -> String {
    limit
        .map(|limit| format!("; its limit (MaximumMessageSize) is {limit} bytes"))
        .unwrap_or_default()
}

/// The queue that messages are sent to.
pub trait MessageSender: Send + Sync {
    /// Sends one message to the queue and returns its message id. `Ok` means durably stored.
    ///
    /// A message may be stored twice. Both copies have the same attributes, which identify the repetition.
    ///
    /// # Errors
    /// [`PutError::TooLong`], [`PutError::Rejected`]: the message is not stored, and sending it again cannot succeed.
    /// [`PutError::Unavailable`]: it is not stored. [`PutError::Unanswered`]: it may have been stored.
    fn send(
        &self,
        message: &NewMessage,
    ) -> impl Future<Output = Result<MessageId, PutError>> + Send;

    /// Sends at most [`MAX_BATCH_ENTRIES`] messages to the queue and returns one result per message, in
    /// order, as [`send`](Self::send) does. An empty slice makes no call.
    ///
    /// # Errors
    /// [`AwsError`]: the call failed for all messages. Each of them may have been stored.
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
    /// The receive count at which SQS moves a message to the parking queue instead of delivering it again.
    pub max_receives: u32,
}

impl Redrive {
    /// Returns the parking queue's name.
    #[must_use]
    pub fn parking_name(&self) -> &str {
        Arn::resource_of(&self.parking_arn)
    }
}

/// A redrive policy in the form of SQS: `maxReceiveCount` is a number or a string.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedriveAttribute {
    dead_letter_target_arn: String,
    max_receive_count: serde_json::Value,
}

impl Redrive {
    /// Parses the attribute `RedrivePolicy`; returns `None` for any other text.
    #[must_use]
    pub fn parse(policy: &str) -> Option<Self> {
        let policy: RedriveAttribute = serde_json::from_str(policy).ok()?;
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
    fn message_text_is_refused_with_characters_that_sqs_rejects() {
        assert!(takes("a\tb\r\n c é 語 🦀 \u{fffd}"));
        for refused in ["\0", "\u{1f}", "\u{b}", "\u{fffe}", "\u{ffff}"] {
            assert!(!takes(refused), "{refused:?}");
        }
    }

    #[test]
    fn message_size_includes_its_attributes() {
        let message = NewMessage {
            body: "body".to_owned(),
            attributes: vec![
                ("Origin".into(), TypedAttribute::text("here")),
                ("RetryCount".into(), TypedAttribute::number(12)),
            ],
            group: String::new(),
            deduplication: String::new(),
        };
        assert_eq!(message.size(), 4 + (6 + 6 + 4) + (10 + 6 + 2));
    }

    #[test]
    fn redrive_policy_count_may_be_a_string() {
        let arn = "arn:aws:sqs:eu-central-1:271828182845:parked";
        for count in ["13", "\"13\""] {
            let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{count}}}"#);
            let expected = Redrive { parking_arn: arn.to_owned(), max_receives: 13 };
            assert_eq!(Redrive::parse(&policy), Some(expected), "{count}");
        }
        for policy in ["", "{}", r#"{"deadLetterTargetArn":"a","maxReceiveCount":"many"}"#] {
            assert_eq!(Redrive::parse(policy), None, "{policy}");
        }
    }
}
