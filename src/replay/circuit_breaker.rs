//! Circuit breakers: an upstream that fails repeatedly is not called for a while.

mod recovery;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use recovery::Recovery;

use crate::clock::{Clock, Timestamp};
use crate::destination::Destination;
use crate::failure::Disposition;
use crate::meter::UpstreamCounters;

/// The number of consecutive failures that open a circuit: too many for chance, but so few that a dead upstream costs
/// a batch nothing.
pub(super) const FAILURES_TO_OPEN: u32 = 5;

/// The maximum number of circuits of targets. Dead letters name targets, so their number has no other limit.
const MAX_TARGET_CIRCUITS: usize = 1_000;

/// The time for which a circuit stays open, unless the upstream's retry-after is longer. Each failed probe doubles the
/// time.
pub(super) const OPEN_TIME: Duration = Duration::from_secs(30);

/// The maximum of the doubled time: a repaired upstream is called again soon enough, and a long outage costs four calls an
/// hour and environment.
pub(super) const MAX_OPEN_TIME: Duration = Duration::from_secs(15 * 60);

/// The minimum delay of a message that is received during a probe. Most probes end within this time.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// The circuit breaker of one upstream. Uses the wall clock, because time in a frozen execution environment counts
/// too.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    /// The name of the upstream for log lines.
    upstream: Arc<str>,
    state: Arc<Mutex<CircuitState>>,
    /// The time at which the upstream last accepted a call; `None` before the first acceptance.
    accepted: Arc<Mutex<Option<Timestamp>>>,
    meter: Arc<UpstreamCounters>,
}

/// The reasons for not admitting a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallRefusal {
    /// The circuit is open, or its probe is under way.
    #[error("{upstream} is not called for {} s, because its circuit is open", after.as_secs())]
    Open {
        upstream: Arc<str>,
        /// The time from now until another call may be admitted.
        after: Duration,
    },
    /// The upstream works again, and the admitted rate still rises.
    #[error("{upstream} gets fewer calls for {} s, because its circuit was open", after.as_secs())]
    Recovering {
        upstream: Arc<str>,
        /// The time from now until every call is admitted.
        after: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
enum CircuitState {
    /// Every call is admitted.
    Closed { failures: u32 },
    /// Calls are not admitted until this time. `failed_probes` counts the failed probes in a row.
    Open { until: Timestamp, failed_probes: u32 },
    /// Half-open: one call is admitted, to test the upstream.
    Probing { failed_probes: u32 },
    /// The probe has succeeded: the admitted rate rises step by step, because an upstream with a backlog would fail
    /// again under the full load.
    Recovering(Recovery),
}

/// Returns the time for which a circuit stays open after this number of failed probes in a row.
fn open_time(failed_probes: u32) -> Duration {
    OPEN_TIME.saturating_mul(2_u32.saturating_pow(failed_probes)).min(MAX_OPEN_TIME)
}

impl Default for CircuitState {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// Permission to call an upstream. If a half-open probe is dropped without a result, the next call becomes the probe.
#[derive(Debug)]
pub(super) struct Permit {
    probe_of: Option<(Breaker, Timestamp)>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((breaker, now)) = self.probe_of.take() {
            let mut state = breaker.state(now);
            if let CircuitState::Probing { failed_probes } = *state {
                *state = CircuitState::Open { until: now, failed_probes };
            }
        }
    }
}

impl Breaker {
    fn of(upstream: &str, meter: &Arc<UpstreamCounters>) -> Self {
        Self {
            upstream: upstream.into(),
            state: Arc::default(),
            accepted: Arc::default(),
            meter: Arc::clone(meter),
        }
    }

    /// Returns an observer that updates this breaker with the answers of its upstream.
    pub(super) fn observer<'c>(&self, clock: &'c dyn Clock) -> CircuitObserver<'c> {
        CircuitObserver { breaker: self.clone(), clock }
    }

    /// Returns the state; a recovery that is over is a closed circuit.
    fn state(&self, now: Timestamp) -> MutexGuard<'_, CircuitState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let CircuitState::Recovering(recovery) = &*state
            && recovery.left(now).is_none()
        {
            *state = CircuitState::Closed { failures: recovery.failures };
        }
        state
    }

    /// Admits a call to the upstream.
    pub(super) fn admit(&self, now: Timestamp) -> Result<Permit, CallRefusal> {
        let upstream = || Arc::clone(&self.upstream);
        let open = |after| CallRefusal::Open { upstream: upstream(), after };
        let mut state = self.state(now);
        match &mut *state {
            CircuitState::Closed { .. } => Ok(Permit { probe_of: None }),
            CircuitState::Open { until, .. } if now < *until => Err(open(until.since(now))),
            CircuitState::Open { failed_probes, .. } => {
                *state = CircuitState::Probing { failed_probes: *failed_probes };
                Ok(Permit { probe_of: Some((self.clone(), now)) })
            }
            CircuitState::Probing { .. } => Err(open(PROBE_TIME)),
            CircuitState::Recovering(recovery) => {
                let after = recovery.left(now).unwrap_or_default();
                if recovery.admits(now) {
                    Ok(Permit { probe_of: None })
                } else {
                    Err(CallRefusal::Recovering { upstream: upstream(), after })
                }
            }
        }
    }

    /// Returns true if the circuit is open; false if it is closed, half-open or recovering.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        matches!(*self.state(now), CircuitState::Open { until, .. } if now < until)
    }

    /// Returns true unless the circuit is open or half-open.
    fn admits_calls(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            CircuitState::Closed { .. } | CircuitState::Recovering(_) => true,
            CircuitState::Open { .. } | CircuitState::Probing { .. } => false,
        }
    }

    /// Returns the time at which the upstream last accepted a call in this environment.
    pub(super) fn accepted_at(&self) -> Option<Timestamp> {
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accepted(&self, now: Timestamp) {
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.succeeded(now);
    }

    /// Closes the circuit. After an outage, the recovery comes first.
    pub(super) fn succeeded(&self, now: Timestamp) {
        let mut state = self.state(now);
        *state = match *state {
            CircuitState::Closed { .. } => CircuitState::default(),
            CircuitState::Open { failed_probes, .. } | CircuitState::Probing { failed_probes } => {
                tracing::info!(upstream = %self.upstream, "circuit closed, the rate rises step by step");
                CircuitState::Recovering(Recovery::new(now, failed_probes))
            }
            CircuitState::Recovering(recovery) => {
                CircuitState::Recovering(recovery.with_failures(0))
            }
        };
    }

    /// Counts a failure that is not the event's fault. Opens the circuit after five failures in a row, or after a
    /// failed probe.
    pub(super) fn failed(&self, now: Timestamp, retry_after: Option<Duration>) {
        let until =
            |failed_probes| now.plus(retry_after.unwrap_or_default().max(open_time(failed_probes)));
        let open = |failed_probes| {
            let until = until(failed_probes);
            tracing::warn!(upstream = %self.upstream, until = %until, "circuit opened");
            self.meter.breaker_opened();
            CircuitState::Open { until, failed_probes }
        };
        let mut state = self.state(now);
        *state = match *state {
            CircuitState::Closed { failures } if failures + 1 < FAILURES_TO_OPEN => {
                CircuitState::Closed { failures: failures + 1 }
            }
            CircuitState::Closed { .. } => open(0),
            CircuitState::Recovering(recovery) if recovery.failures + 1 < FAILURES_TO_OPEN => {
                CircuitState::Recovering(recovery.with_failures(recovery.failures + 1))
            }
            // A rate limit, which the recovery has reached: the upstream names the time until it works again.
            CircuitState::Recovering(_) if retry_after.is_some() => open(0),
            CircuitState::Probing { failed_probes }
            | CircuitState::Recovering(Recovery { failed_probes, .. }) => {
                open(failed_probes.saturating_add(1))
            }
            // A late answer of a call from before the opening, or a last attempt that was admitted nevertheless.
            CircuitState::Open { until: earlier, failed_probes } => {
                CircuitState::Open { until: until(0).max(earlier), failed_probes }
            }
        };
    }
}

/// A circuit breaker that is updated with the answers of its upstream.
#[derive(Clone)]
pub(super) struct CircuitObserver<'c> {
    breaker: Breaker,
    clock: &'c dyn Clock,
}

impl CircuitObserver<'_> {
    /// Admits a call to the upstream.
    pub(super) fn admit(&self) -> Result<Permit, CallRefusal> {
        self.breaker.admit(self.clock.now())
    }

    /// Counts an answer as a success of the upstream.
    pub(super) fn succeeded(&self) {
        self.breaker.succeeded(self.clock.now());
    }

    pub(super) fn is_open(&self) -> bool {
        self.breaker.is_open(self.clock.now())
    }

    /// Updates the breaker with an answer and returns the answer. A permanent refusal counts as a success, because
    /// the upstream works.
    pub(super) fn observe<T, E>(
        &self,
        answer: Result<T, E>,
        disposition: impl FnOnce(&E) -> Disposition,
    ) -> Result<T, E> {
        match answer.as_ref().map_err(disposition) {
            Ok(_) => self.breaker.accepted(self.clock.now()),
            Err(Disposition::Permanent) => self.succeeded(),
            Err(Disposition::Operator) => self.breaker.failed(self.clock.now(), None),
            Err(Disposition::Transient { after }) => self.breaker.failed(self.clock.now(), after),
        }
        answer
    }
}

/// The circuit breakers of all upstreams of one execution environment.
#[derive(Debug)]
pub struct CircuitBreakers {
    pub(super) ledger: Breaker,
    pub(super) genesys: Breaker,
    targets: Mutex<LruCache<String, Breaker>>,
    meter: Arc<UpstreamCounters>,
}

impl CircuitBreakers {
    /// Creates closed circuit breakers; `meter` counts their openings.
    #[must_use]
    pub fn new(meter: Arc<UpstreamCounters>) -> Self {
        Self {
            ledger: Breaker::of("the ledger", &meter),
            genesys: Breaker::of("Genesys Cloud", &meter),
            targets: Mutex::new(LruCache::unbounded()),
            meter,
        }
    }

    /// Returns the breaker of one target. Each target has its own, because other targets may work. Of more than
    /// [`MAX_TARGET_CIRCUITS`], the closed circuit that was not used for the longest time is forgotten.
    pub(super) fn target(&self, destination: &Destination) -> Breaker {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = targets.get(destination.key_part()) {
            return breaker.clone();
        }
        if targets.len() >= MAX_TARGET_CIRCUITS {
            let closed = targets.iter().rev().find(|(_, breaker)| breaker.admits_calls());
            match closed.map(|(target, _)| target.clone()) {
                Some(target) => targets.pop(&target),
                None => targets.pop_lru().map(|(_, breaker)| breaker),
            };
        }
        let breaker = Breaker::of(&format!("the target {destination}"), &self.meter);
        targets.put(destination.key_part().to_owned(), breaker.clone());
        breaker
    }
}

#[cfg(test)]
mod tests;
