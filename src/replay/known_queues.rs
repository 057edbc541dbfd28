//! The limits of the queues: retention and receive counts.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use super::{Ports, Replay};
use crate::cached::Cached;
use crate::clock::Timestamp;
use crate::queue::{Queue, QueueLimits};

/// SQS's longest retention, assumed for a queue that cannot be read.
const MAX_RETENTION: Duration = Duration::from_secs(14 * 24 * 3_600);

/// The time after which an unreadable queue is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The limits of the queues that one execution environment has read, by ARN.
#[derive(Debug, Default)]
pub struct KnownQueues(Cached<HashMap<String, ReadLimits>, Infallible>);

#[derive(Clone, Debug)]
struct ReadLimits {
    limits: QueueLimits,
    /// The time of the next read; `None` for limits that were read.
    read_again: Option<Timestamp>,
}

impl<P: Ports> Replay<P> {
    /// Reads a queue's limits once. A queue that cannot be read is read again after a minute, with SQS's longest
    /// retention until then.
    pub(super) async fn queue_limits(&self, queue_arn: &str) -> QueueLimits {
        let known = &self.known_queues.0;
        let is_usable = |limits: &HashMap<String, ReadLimits>| {
            limits
                .get(queue_arn)
                .is_some_and(|read| read.read_again.is_none_or(|at| self.clock.now() < at))
        };
        // On the heap, because this call is part of the future of every record.
        let load = Box::pin(async {
            let read = self.read_limits(queue_arn).await;
            let mut limits = known.value().unwrap_or_default();
            limits.insert(queue_arn.to_owned(), read);
            Ok(limits)
        });
        let Ok(mut limits) = known.get_or_load(is_usable, |_| false, load).await;
        limits.remove(queue_arn).map_or_else(unread, |read| read.limits)
    }

    async fn read_limits(&self, queue_arn: &str) -> ReadLimits {
        match self.queue.limits(queue_arn).await {
            Ok(limits) => ReadLimits { limits, read_again: None },
            Err(reason) => {
                tracing::warn!(queue_arn, reason, "queue attributes not read");
                ReadLimits {
                    limits: unread(),
                    read_again: Some(self.clock.now().plus(READ_AGAIN_AFTER)),
                }
            }
        }
    }
}

/// Returns the limits that are assumed for a queue that cannot be read.
const fn unread() -> QueueLimits {
    QueueLimits { retention: MAX_RETENTION, max_receives: None, parking_arn: None }
}
