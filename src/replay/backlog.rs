//! Delays that follow from the queue's backlog.

use std::time::Duration;

use super::invocation::InvocationContext;
use super::{Ports, RecordResult, Replay};
use crate::failure::FailureCode;
use crate::genesys::{CALLS_PER_REPLAY, Genesys};
use crate::message::Message;
use crate::queue::{MAX_VISIBILITY_TIMEOUT, QueueDepth};

/// The maximum deferral for an open circuit while the messages in flight are near SQS's limit.
const MAX_DELAY_NEAR_LIMIT: Duration = Duration::from_secs(15 * 60);

impl<P: Ports> Replay<P> {
    /// Adjusts the delay of a message for the queue's backlog. Messages that wait for the rate limit of Genesys Cloud are
    /// spread over the time that all messages of the queue need. Without a depth, the delay stays.
    pub(super) async fn with_backlog(
        &self,
        message: &Message,
        ctx: InvocationContext<'_>,
        result: RecordResult,
    ) -> RecordResult {
        let (Some(after), Some(code)) = (result.outcome.retry_delay(), result.code()) else {
            return result;
        };
        let waits_for_rate_limit = code == FailureCode::GenesysRateLimited;
        if !waits_for_rate_limit && code != FailureCode::BreakerOpen {
            return result;
        }
        let Some(depth) = self.depth(message, ctx).await else {
            return result;
        };
        let calls_per_minute = self.retry_state.genesys().map(Genesys::calls_per_minute);
        match calls_per_minute.filter(|_| waits_for_rate_limit) {
            Some(calls_per_minute) => {
                let needed = time_for(depth, calls_per_minute).min(MAX_VISIBILITY_TIMEOUT);
                let spread = needed.mul_f64(self.random.unit());
                result.within(after.saturating_add(spread).min(MAX_VISIBILITY_TIMEOUT))
            }
            None if depth.is_near_limit() => result.within(after.min(MAX_DELAY_NEAR_LIMIT)),
            None => result,
        }
    }

    async fn depth(&self, message: &Message, ctx: InvocationContext<'_>) -> Option<QueueDepth> {
        let queue_arn = message.queue_arn.as_deref()?;
        self.in_time(ctx, self.queue_depth(queue_arn)).await.flatten()
    }
}

/// Returns the time that the replays of all messages in the queue need at this rate.
fn time_for(depth: QueueDepth, calls_per_minute: u32) -> Duration {
    let calls = depth.messages().saturating_mul(CALLS_PER_REPLAY.into());
    Duration::from_secs(calls.saturating_mul(60) / u64::from(calls_per_minute.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backlog_of_50_000_returns_over_eight_hours_at_100_a_minute() {
        let depth = QueueDepth { visible: 20_000, in_flight: 30_000 };
        assert_eq!(time_for(depth, 300), Duration::from_secs(30_000));
        assert_eq!(time_for(QueueDepth { visible: 1, in_flight: 0 }, 300), Duration::ZERO);
        let all = QueueDepth { visible: u64::MAX, in_flight: 1 };
        assert!(time_for(all, 0) > MAX_VISIBILITY_TIMEOUT);
    }
}
