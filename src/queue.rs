//! The queue: how long a message stays away.

pub mod sqs;

use std::future::Future;
use std::time::Duration;

use crate::message::MessageId;

/// A message that shall stay away for a while.
#[derive(Clone, Debug)]
pub struct Postponement<'a> {
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
pub struct PostponeError {
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
    /// anew. Nothing to postpone is no call.
    fn postpone(
        &self,
        postponements: &[Postponement<'_>],
    ) -> impl Future<Output = Vec<PostponeError>> + Send;
}
