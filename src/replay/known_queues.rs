//! The attributes of the queues: their limits, read once, and their depths, read at most once a minute.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use super::{Ports, Replay};
use crate::cached::Cached;
use crate::clock::Timestamp;
use crate::queue::{Queue, QueueDepth, QueueLimits};

/// SQS's longest retention, assumed for a queue that cannot be read.
const MAX_RETENTION: Duration = Duration::from_secs(14 * 24 * 3_600);

/// The time after which an unreadable queue, or a queue's depth, is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The number of messages in flight from which on deferrals for an open circuit are short. SQS's limit is 120,000: then
/// it returns no message, also none of another target.
const IN_FLIGHT_NEAR_LIMIT: u64 = 100_000;

/// The attributes of the queues that one execution environment has read, by ARN.
#[derive(Debug, Default)]
pub struct KnownQueues {
    limits: Reads<QueueLimits>,
    /// The depths; `None` if a depth cannot be read.
    depths: Reads<Option<QueueDepth>>,
}

/// Values of one kind that were read.
#[derive(Debug)]
struct Reads<T>(Cached<HashMap<String, Read<T>>, Infallible>);

#[derive(Clone, Debug)]
struct Read<T> {
    value: T,
    /// The time of the next read; `None` for a value that does not change.
    read_again: Option<Timestamp>,
}

impl<T> Default for Reads<T> {
    fn default() -> Self {
        Self(Cached::default())
    }
}

impl<T: Clone> Reads<T> {
    /// Returns the value of a queue. It is read if it was not read before, or if it is time to read it again.
    async fn get(
        &self,
        queue_arn: &str,
        now: impl Fn() -> Timestamp,
        read: impl Future<Output = Read<T>>,
    ) -> Option<T> {
        let is_usable = |reads: &HashMap<String, Read<T>>| {
            let read = reads.get(queue_arn);
            read.is_some_and(|read| read.read_again.is_none_or(|at| now() < at))
        };
        // On the heap, because this call is part of the future of every record.
        let load = Box::pin(async {
            let read = read.await;
            let mut reads = self.0.value().unwrap_or_default();
            reads.insert(queue_arn.to_owned(), read);
            Ok(reads)
        });
        let Ok(mut reads) = self.0.get_or_load(is_usable, |_| false, load).await;
        reads.remove(queue_arn).map(|read| read.value)
    }
}

impl<P: Ports> Replay<P> {
    /// Reads a queue's limits once. A queue that cannot be read is read again after a minute, with SQS's longest
    /// retention until then.
    pub(super) async fn queue_limits(&self, queue_arn: &str) -> QueueLimits {
        let read = async {
            match self.queue.limits(queue_arn).await {
                Ok(limits) => Read { value: limits, read_again: None },
                Err(reason) => {
                    tracing::warn!(queue_arn, reason, "queue attributes not read");
                    Read { value: self.unread(), read_again: Some(self.read_again()) }
                }
            }
        };
        let limits = self.known_queues.limits.get(queue_arn, || self.clock.now(), read).await;
        limits.unwrap_or_else(|| self.unread())
    }

    /// Reads a queue's depth, at most once a minute. Returns `None` if the queue cannot be read.
    pub(super) async fn queue_depth(&self, queue_arn: &str) -> Option<QueueDepth> {
        let read = async {
            let depth = self.queue.depth(queue_arn).await;
            match &depth {
                Ok(depth) if depth.is_near_limit() => {
                    self.meter.in_flight_near_limit();
                    tracing::warn!(
                        queue_arn,
                        in_flight = depth.in_flight,
                        "messages in flight near the limit"
                    );
                }
                Ok(_) => {}
                Err(reason) => tracing::warn!(queue_arn, reason, "queue depth not read"),
            }
            Read { value: depth.ok(), read_again: Some(self.read_again()) }
        };
        self.known_queues.depths.get(queue_arn, || self.clock.now(), read).await.flatten()
    }

    /// Returns the limits that are assumed for a queue that cannot be read.
    const fn unread(&self) -> QueueLimits {
        let max_receives = Some(self.policy.assumed_max_receives());
        QueueLimits { retention: MAX_RETENTION, max_receives, parking_arn: None }
    }

    fn read_again(&self) -> Timestamp {
        self.clock.now().plus(READ_AGAIN_AFTER)
    }
}

impl QueueDepth {
    /// Returns the number of messages in the queue.
    pub(super) const fn messages(self) -> u64 {
        self.visible.saturating_add(self.in_flight)
    }

    /// Returns true if so many messages are in flight that SQS may soon return none.
    pub(super) const fn is_near_limit(self) -> bool {
        self.in_flight >= IN_FLIGHT_NEAR_LIMIT
    }
}
