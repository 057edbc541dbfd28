//! The use case: claim, fetch, mark `retrying`, deliver, checkpoint, mark `replay_successful`, complete.

mod batch;
mod outcome;
mod policy;
mod record;
mod retry_state;

use std::sync::Arc;
use std::time::Duration;

pub use outcome::{Counts, Handled, Outcome, Verdict};
pub use policy::{Limits, Policy};
pub use retry_state::RetryState;
use tokio::time::Instant;

use crate::clock::{Clock, Random, Timestamp};
use crate::destination::ReplayTarget;

/// Nothing starts when less than this is left of the invocation: one attempt needs its round trips.
pub const LEAST_TIME: Duration = Duration::from_secs(1);

/// What still runs this long before the invocation's end is cut off, so that the answer, which says
/// what comes back, reaches Lambda in time.
pub const ANSWER_TIME: Duration = Duration::from_millis(300);

/// A lease ends this long after the invocation's deadline: while the function can still run, nobody
/// else takes its event, whatever the clocks of two machines differ by.
pub const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// Replays dead letters.
pub struct Replay<L, G, T> {
    /// Who may work on an event.
    pub ledger: L,
    /// Whether and how interactions are marked.
    pub retry_state: RetryState<G>,
    /// What takes the events.
    pub target: T,
    /// Where events go.
    pub destination: ReplayTarget,
    /// How long to keep trying.
    pub policy: Policy,
    /// How many records of a batch are in flight at once; at least 1.
    pub max_concurrency: usize,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for jitter.
    pub random: Arc<dyn Random>,
}

/// One call of the function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's id of it; unique.
    pub request_id: String,
    /// When Lambda ends it.
    pub deadline: Timestamp,
}

/// How much time an invocation has left, on the clock that cannot jump.
#[derive(Clone, Copy, Debug)]
struct TimeBox {
    end: Instant,
}

impl TimeBox {
    fn of(invocation: &Invocation, now: Timestamp) -> Self {
        Self {
            end: Instant::now() + invocation.deadline.since(now),
        }
    }

    fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Whether something new may start.
    fn allows_start(self) -> bool {
        self.left() >= LEAST_TIME
    }

    /// The longest wait after which something new may still start.
    fn longest_wait(self) -> Duration {
        self.left().saturating_sub(LEAST_TIME)
    }

    /// When to cut off what still runs.
    fn cut_off(self) -> Instant {
        self.end.checked_sub(ANSWER_TIME).unwrap_or(self.end)
    }
}
