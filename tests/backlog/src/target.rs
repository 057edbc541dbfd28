//! A target with an outage and a rate limit.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId, Target};
use tokio::time::sleep;

use crate::time::{UPSTREAM_LATENCY, lock};

/// The window of the target's rate limit.
const WINDOW: Duration = Duration::from_secs(60);

/// A target whose clones share the accepted deliveries.
#[derive(Clone)]
pub(crate) struct LimitedTarget {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    started: Timestamp,
    /// The target answers with 503 until this time.
    repaired: Timestamp,
    /// The deliveries that the target accepts in a minute; `None` without a limit.
    per_minute: Option<usize>,
}

#[derive(Default)]
struct State {
    accepted: HashSet<String>,
    duplicates: usize,
    calls: usize,
    /// The accepted deliveries by the hour after the repair.
    by_hour: Vec<usize>,
    window: u64,
    in_window: usize,
    last_accepted: Option<Timestamp>,
}

/// The counts at the end of a run.
pub(crate) struct TargetCounts {
    pub(crate) delivered: usize,
    pub(crate) duplicates: usize,
    pub(crate) calls: usize,
    pub(crate) by_hour: Vec<usize>,
    /// The time from the repair to the last delivery.
    pub(crate) drained_after: Duration,
}

impl LimitedTarget {
    /// Returns a target that is down for the time of the outage from now on.
    pub(crate) fn new(outage: Duration, per_minute: Option<usize>, clock: Arc<dyn Clock>) -> Self {
        let started = clock.now();
        let repaired = started.plus(outage);
        Self { state: Arc::default(), clock, started, repaired, per_minute }
    }

    /// Returns the counts at the end of a run.
    pub(crate) fn counts(&self) -> TargetCounts {
        let state = lock(&self.state);
        TargetCounts {
            delivered: state.accepted.len(),
            duplicates: state.duplicates,
            calls: state.calls,
            by_hour: state.by_hour.clone(),
            drained_after: state.last_accepted.map_or(Duration::ZERO, |at| at.since(self.repaired)),
        }
    }

    fn answer(&self, key: &str) -> Result<(), DeliveryError> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.calls += 1;
        if now < self.repaired {
            return Err(refusal(FailureCode::TargetUnavailable, None));
        }
        let since_start = now.since(self.started);
        let window = since_start.as_secs() / WINDOW.as_secs();
        if window != state.window {
            (state.window, state.in_window) = (window, 0);
        }
        if self.per_minute.is_some_and(|most| state.in_window >= most) {
            let left = WINDOW.as_secs() - since_start.as_secs() % WINDOW.as_secs();
            return Err(refusal(FailureCode::TargetRateLimited, Some(Duration::from_secs(left))));
        }
        state.in_window += 1;
        let hour =
            usize::try_from(now.since(self.repaired).as_secs() / 3_600).unwrap_or(usize::MAX);
        if state.by_hour.len() <= hour {
            state.by_hour.resize(hour.saturating_add(1), 0);
        }
        if let Some(count) = state.by_hour.get_mut(hour) {
            *count += 1;
        }
        state.last_accepted = Some(now);
        if !state.accepted.insert(key.to_owned()) {
            state.duplicates += 1;
        }
        Ok(())
    }
}

impl Target for LimitedTarget {
    async fn deliver(&self, delivery: &Delivery<'_>) -> Result<Option<DeliveryId>, DeliveryError> {
        sleep(UPSTREAM_LATENCY).await;
        self.answer(delivery.key.as_str()).map(|()| None)
    }
}

fn refusal(code: FailureCode, after: Option<Duration>) -> DeliveryError {
    DeliveryError {
        code,
        disposition: Disposition::Transient { after },
        certainty: Certainty::Refused,
        timed_out: false,
        locally_throttled: false,
        reason: "refused by the simulated target".to_owned(),
        source: None,
    }
}
