//! A queue that an operator reads.

pub mod sqs;

use std::future::Future;
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::message::{Message, MessageId};
use genesys_replay::queue::{Redrive, VisibilityError};

/// How a queue is set up, and about how full it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueFacts {
    /// Its URL.
    pub url: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it keeps the order of each message group.
    pub fifo: bool,
    /// How long a received message stays away.
    pub visibility: Duration,
    /// How long a message is kept.
    pub retention: Duration,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
    /// About how many messages can be received now.
    pub visible: u64,
    /// About how many are with somebody.
    pub in_flight: u64,
    /// About how many are delayed.
    pub delayed: u64,
}

impl QueueFacts {
    /// The queue's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.arn.rsplit(':').next().unwrap_or(&self.arn)
    }

    /// About how many messages it holds.
    #[must_use]
    pub const fn depth(&self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

/// A message that is still on the queue, or back later than asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message was not deleted: {reason}")]
pub struct DeleteError {
    /// The message.
    pub message_id: MessageId,
    /// What the queue said.
    pub reason: String,
}

/// A queue that an operator looks at.
///
/// What is received has a receipt handle and the ARN of its queue. Receiving counts towards the redrive
/// policy, however it ends: there is no look at a queue that leaves no trace.
pub trait QueueReader: Send + Sync {
    /// How the queue is set up, and about how full it is; receives nothing.
    ///
    /// # Errors
    /// [`AwsError`].
    fn facts(&self) -> impl Future<Output = Result<QueueFacts, AwsError>> + Send;

    /// Receives at most [`MAX_BATCH_ENTRIES`](genesys_replay::queue::MAX_BATCH_ENTRIES) messages, each invisible to others for `hold` (whole seconds, at
    /// most 12 h). None may mean that all are with somebody, not only that the queue is empty.
    ///
    /// # Errors
    /// [`AwsError`]; messages may have been received all the same, and come back after `hold`.
    fn receive(
        &self,
        hold: Duration,
    ) -> impl Future<Output = Result<Vec<Message>, AwsError>> + Send;

    /// Shows received messages to others for now on: each for itself, the answer names those that stay
    /// away for as long as they were received for.
    fn release(&self, messages: &[Message]) -> impl Future<Output = Vec<VisibilityError>> + Send;

    /// Makes received messages stay away for `hold` from now; each for itself.
    fn hold(
        &self,
        messages: &[Message],
        hold: Duration,
    ) -> impl Future<Output = Vec<VisibilityError>> + Send;

    /// Takes received messages off the queue, for good; each for itself, the answer names those that stay.
    fn delete(&self, messages: &[Message]) -> impl Future<Output = Vec<DeleteError>> + Send;
}
