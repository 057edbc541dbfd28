//! The limits of the queues: retention and receive counts.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{Ports, Replay};
use crate::clock::Timestamp;
use crate::queue::{Queue, QueueLimits};

/// SQS's longest retention, assumed for a queue that cannot be read.
const MAX_RETENTION: Duration = Duration::from_secs(14 * 24 * 3_600);

/// The time after which an unreadable queue is read again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The limits of the queues that one execution environment has read.
#[derive(Debug, Default)]
pub struct KnownLimits(Mutex<HashMap<String, Known>>);

#[derive(Clone, Debug)]
struct Known {
    limits: QueueLimits,
    /// The time of the next read; `None` for limits that were read.
    ask_again: Option<Timestamp>,
}

impl<P: Ports> Replay<P> {
    /// Reads a queue's limits once. A queue that cannot be read is read again after a minute, with SQS's longest
    /// retention until then.
    pub(super) async fn queue_limits(&self, queue_arn: &str) -> QueueLimits {
        // Held during the call, so that all records of a batch share one call.
        let mut known = self.known_limits.0.lock().await;
        if let Some(known) = known.get(queue_arn)
            && known.ask_again.is_none_or(|at| self.clock.now() < at)
        {
            return known.limits.clone();
        }
        let (limits, ask_again) = match self.queue.limits(queue_arn).await {
            Ok(limits) => (limits, None),
            Err(reason) => {
                tracing::warn!(queue_arn, reason, "queue attributes not read");
                let limits = QueueLimits {
                    retention: MAX_RETENTION,
                    max_receives: None,
                    parking_arn: None,
                };
                (limits, Some(self.clock.now().plus(ASK_AGAIN_AFTER)))
            }
        };
        let read = Known {
            limits: limits.clone(),
            ask_again,
        };
        known.insert(queue_arn.to_owned(), read);
        limits
    }
}
