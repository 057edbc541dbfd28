//! Read access to a queue, for an operator.

pub mod attributes;
pub mod drain;
pub mod held;
pub mod one_message;
pub mod receive_cost;
pub mod sqs;

use std::future::Future;
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::destination::Arn;
use genesys_replay::message::{Message, MessageId};
use genesys_replay::queue::{Redrive, VisibilityError};

/// The setup of a queue, and its approximate numbers of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueFacts {
    pub url: String,
    pub arn: String,
    /// True if the queue keeps the order of each message group.
    pub fifo: bool,
    pub visibility: Duration,
    pub retention: Duration,
    /// The maximum size of a message with its attributes (`MaximumMessageSize`), in bytes.
    pub max_message_bytes: usize,
    /// The redrive policy, which moves messages after too many receives.
    pub redrive: Option<Redrive>,
    pub visible: u64,
    pub in_flight: u64,
    pub delayed: u64,
}

impl QueueFacts {
    pub fn name(&self) -> &str {
        Arn::resource_of(&self.arn)
    }

    /// Returns the approximate number of messages in the queue.
    pub const fn depth(&self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

/// The error for a message that was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message was not deleted: {reason}")]
pub struct DeleteError {
    pub message_id: MessageId,
    /// The reason that the queue reported.
    pub reason: String,
}

/// A queue that an operator reads.
///
/// A received message has a receipt handle and the ARN of its queue. Every receive counts towards the redrive policy,
/// whatever happens to the message later: reading a queue always leaves a trace.
pub trait QueueReader: Send + Sync {
    /// Returns the setup of the queue and its approximate depth. Receives nothing.
    fn facts(&self) -> impl Future<Output = Result<QueueFacts, AwsError>> + Send;

    /// Receives at most [`MAX_BATCH_ENTRIES`](genesys_replay::queue::MAX_BATCH_ENTRIES) messages, each invisible to
    /// others for `visibility_timeout` (whole seconds, at most 12 h). An empty list may mean that all messages are in
    /// flight, not only that the queue is empty.
    ///
    /// # Errors
    /// [`AwsError`]; the call may have received messages nevertheless, which become visible again after the timeout.
    fn receive(
        &self,
        visibility_timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Message>, AwsError>> + Send;

    /// Sets the visibility timeout of received messages to `timeout` from now; zero makes them visible again. Handles
    /// each message separately, and returns the failures: their messages keep their visibility timeout. An empty list
    /// makes no call.
    fn change_visibility(
        &self,
        messages: &[Message],
        timeout: Duration,
    ) -> impl Future<Output = Vec<VisibilityError>> + Send;

    /// Deletes received messages. Handles each message separately, and returns the failures.
    fn delete(&self, messages: &[Message]) -> impl Future<Output = Vec<DeleteError>> + Send;
}
