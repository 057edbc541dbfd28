//! Sends messages to SQS while a sender over HTTP waits for the answer.
//!
//! A second send after a lost answer makes a second message, so it happens only if the first one cannot be on the
//! queue, or if the queue drops it. The SDK's own retries were rejected, because they do not make this difference.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Clock;
use genesys_replay::connections::FreezeDetector;
use genesys_replay::message::MessageId;
use genesys_replay::queue::{MAX_MESSAGE_BYTES, MessageSender, NewMessage, PutError};
use tokio::time::{Instant, sleep, timeout_at};

use crate::clients::{http_client, single_attempt, with_limits};
use crate::sqs_sender::{SendFailure, SqsSender};

/// The time for a connection. It leaves time for a second attempt.
const CONNECT_TIME: Duration = Duration::from_secs(1);

/// The time of one attempt, without the [`transfer_time`] of its message. SQS usually answers within 0.1 s.
const ATTEMPT_TIME: Duration = Duration::from_secs(3);

/// The time of all attempts, without the [`transfer_time`]. Senders such as Genesys Cloud stop waiting after 5 s.
const SEND_TIME: Duration = Duration::from_secs(4);

/// The delay before a second attempt.
const SECOND_ATTEMPT_DELAY: Duration = Duration::from_millis(200);

/// The minimum throughput to SQS that is waited for, in bytes per second.
const MIN_THROUGHPUT: usize = 512 * 1024;

/// The time without a request to SQS after which its connections are not used. Lambda may have frozen the environment
/// meanwhile, and a request over a connection that died would get no answer.
const MAX_QUIET_TIME: Duration = Duration::from_secs(10);

/// Returns the time in which this many bytes reach SQS at the minimum throughput.
#[must_use]
pub fn transfer_time(bytes: usize) -> Duration {
    let millis = bytes.saturating_mul(1_000) / MIN_THROUGHPUT;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// One SQS queue, for messages whose senders wait.
pub struct SqsInlet {
    sender: SqsSender,
}

impl SqsInlet {
    /// Creates an inlet to the queue with this URL.
    #[must_use]
    pub fn new(aws: &SdkConfig, url: String, clock: Arc<dyn Clock>) -> Self {
        let within = SEND_TIME + transfer_time(MAX_MESSAGE_BYTES);
        let aws = with_limits(aws, single_attempt(within));
        let mut times =
            aws.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        times.set_connect_timeout(Some(CONNECT_TIME));
        // Connections of its own, because their time limit differs from that of other clients.
        let config = aws_sdk_sqs::config::Builder::from(&aws)
            .timeout_config(times.build())
            .http_client(http_client(FreezeDetector::new(clock, MAX_QUIET_TIME)))
            .build();
        Self { sender: SqsSender::new(Client::from_conf(config), url) }
    }

    async fn attempt(
        &self,
        message: &NewMessage,
        deadline: Instant,
    ) -> Result<MessageId, SendFailure> {
        let ends = deadline.min(Instant::now() + ATTEMPT_TIME + transfer_time(message.size()));
        match timeout_at(ends, self.sender.put(message)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(SendFailure::Unanswered("no answer in time".to_owned())),
        }
    }
}

impl MessageSender for SqsInlet {
    /// Sends one message, with a second attempt if the first one cannot be on the queue, or if the queue is FIFO and
    /// drops copies.
    async fn send(&self, message: &NewMessage) -> Result<MessageId, PutError> {
        let deadline = Instant::now() + SEND_TIME + transfer_time(message.size());
        let first = match self.attempt(message, deadline).await {
            Ok(id) => return Ok(id),
            Err(failure) => failure,
        };
        let may_repeat = match &first {
            SendFailure::NotReached(_) | SendFailure::Throttled(_) => true,
            SendFailure::Unanswered(_) => self.sender.is_fifo(),
            SendFailure::Refused(_) => false,
        };
        if !may_repeat || Instant::now() + SECOND_ATTEMPT_DELAY >= deadline {
            return Err(first.into());
        }
        sleep(SECOND_ATTEMPT_DELAY).await;
        match (self.attempt(message, deadline).await, first) {
            (Ok(id), _) => Ok(id),
            // The first message may be on the queue, whatever the second attempt met.
            (Err(_), SendFailure::Unanswered(reason)) => Err(PutError::Unanswered { reason }),
            (Err(second), _) => Err(second.into()),
        }
    }

    async fn send_all(
        &self,
        messages: &[NewMessage],
    ) -> Result<Vec<Result<MessageId, PutError>>, AwsError> {
        self.sender.send_all(messages).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_time_of_usual_bodies_is_below_five_seconds() {
        for (bytes, expected) in
            [(0, 0), (32 * 1024, 62), (100_000, 190), (MAX_MESSAGE_BYTES, 2_000)]
        {
            assert_eq!(transfer_time(bytes), Duration::from_millis(expected), "{bytes}");
        }
        assert!(SEND_TIME + transfer_time(100_000) < Duration::from_secs(5));
        assert!(CONNECT_TIME + SECOND_ATTEMPT_DELAY + CONNECT_TIME < SEND_TIME);
    }
}
