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
            CircuitState::Probing { failed_probes } => Err(open(open_time(*failed_probes))),
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

    /// Returns true if every call or, after an outage, every second some calls are admitted.
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
            CircuitState::Probing { failed_probes }
            | CircuitState::Recovering(Recovery { failed_probes, .. }) => {
                open(failed_probes.saturating_add(1))
            }
            // A late answer of a call from before the opening.
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
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_785_000_000_000);

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn waits(breaker: &Breaker, now: Timestamp) -> Option<Duration> {
        breaker.admit(now).err().map(|refusal| match refusal {
            CallRefusal::Open { after, .. } | CallRefusal::Recovering { after, .. } => after,
        })
    }

    fn opened(retry_after: Option<Duration>) -> Breaker {
        let breaker = Breaker::of("it", &Arc::default());
        for _ in 0..FAILURES_TO_OPEN {
            assert!(breaker.admit(START).is_ok());
            breaker.failed(START, retry_after);
        }
        breaker
    }

    #[test]
    fn circuit_opens_for_30_s_after_five_failures_in_a_row() {
        let breaker = opened(None);
        assert!(breaker.is_open(at(29)));
        assert_eq!(breaker.meter.take().breakers_opened, 1);
        assert_eq!(waits(&breaker, at(10)), Some(Duration::from_secs(20)));
        assert!(breaker.admit(at(30)).is_ok());
    }

    #[test]
    fn circuit_stays_open_for_the_retry_after() {
        let breaker = opened(Some(Duration::from_secs(300)));
        assert_eq!(waits(&breaker, START), Some(Duration::from_secs(300)));
        let impatient = opened(Some(Duration::from_secs(1)));
        assert_eq!(waits(&impatient, START), Some(OPEN_TIME));
    }

    #[test]
    fn circuit_failure_count_restarts_after_a_success() {
        let breaker = Breaker::of("it", &Arc::default());
        for _ in 0..3 {
            for _ in 1..FAILURES_TO_OPEN {
                breaker.failed(START, None);
            }
            breaker.succeeded(START);
        }
        assert!(breaker.admit(START).is_ok());
    }

    #[test]
    fn circuit_is_closed_or_reopened_by_one_probe() {
        let breaker = opened(None);
        let probe = breaker.admit(at(30));
        assert!(breaker.admit(at(30)).is_err(), "one at a time");
        breaker.failed(at(31), None);
        drop(probe);
        assert_eq!(waits(&breaker, at(31)), Some(OPEN_TIME * 2));

        let probe = breaker.admit(at(91));
        breaker.succeeded(at(91));
        drop(probe);
        assert!(breaker.admit(at(91)).is_ok() && breaker.admit(at(91)).is_ok());
    }

    #[test]
    fn circuit_admits_more_calls_step_by_step_after_an_outage() {
        let breaker = opened(None);
        drop(breaker.admit(at(30)));
        breaker.succeeded(at(30));
        let admitted = |second| (0..200).filter(|_| breaker.admit(at(second)).is_ok()).count();
        let by_second: Vec<usize> = (30..62).map(admitted).collect();
        let steps: Vec<usize> = by_second.chunks(5).filter_map(|it| it.first().copied()).collect();
        assert_eq!(steps, [2, 4, 8, 16, 32, 64, 200]);
        assert!(by_second.chunks(5).all(|step| step.windows(2).all(|pair| pair[0] == pair[1])));
    }

    #[test]
    fn circuit_refusal_during_recovery_names_the_time_left() {
        let breaker = opened(None);
        drop(breaker.admit(at(30)));
        breaker.succeeded(at(30));
        while breaker.admit(at(41)).is_ok() {}
        assert_eq!(waits(&breaker, at(41)), Some(Duration::from_secs(19)));
        assert!(!breaker.is_open(at(41)));
    }

    #[test]
    fn circuit_reopens_for_longer_when_the_recovery_fails() {
        let breaker = opened(None);
        drop(breaker.admit(at(30)));
        breaker.succeeded(at(30));
        for failure in 1..=FAILURES_TO_OPEN {
            breaker.failed(at(35), None);
            assert_eq!(breaker.is_open(at(35)), failure == FAILURES_TO_OPEN);
        }
        assert_eq!(waits(&breaker, at(35)), Some(OPEN_TIME * 2));
    }

    #[test]
    fn circuit_open_time_doubles_while_probes_fail() {
        let breaker = opened(None);
        let mut now = 0;
        let mut waited = Vec::new();
        for _ in 0..8 {
            let wait = waits(&breaker, at(now)).map(|it| it.as_secs()).unwrap_or_default();
            waited.push(wait);
            now += wait;
            let probe = breaker.admit(at(now));
            breaker.failed(at(now), None);
            drop(probe);
        }
        assert_eq!(waited, [30, 60, 120, 240, 480, 900, 900, 900]);
        let probe = breaker.admit(at(now + 900));
        breaker.succeeded(at(now + 900));
        drop(probe);
        let recovered = at(now + 931);
        for _ in 0..FAILURES_TO_OPEN {
            breaker.failed(recovered, None);
        }
        assert_eq!(waits(&breaker, recovered), Some(OPEN_TIME), "from the start after a recovery");
    }

    #[test]
    fn dropped_probe_does_not_double_the_open_time() {
        let breaker = opened(None);
        drop(breaker.admit(at(30)));
        let probe = breaker.admit(at(30));
        breaker.failed(at(30), None);
        drop(probe);
        assert_eq!(waits(&breaker, at(30)), Some(OPEN_TIME * 2));
    }

    #[test]
    fn circuit_admits_another_probe_when_one_is_dropped() {
        let breaker = opened(None);
        drop(breaker.admit(at(30)));
        assert!(breaker.admit(at(30)).is_ok());
    }

    #[test]
    fn circuit_open_time_is_not_shortened_by_a_late_failure() {
        let breaker = opened(Some(Duration::from_secs(300)));
        breaker.failed(at(1), None);
        assert_eq!(waits(&breaker, at(1)), Some(Duration::from_secs(299)));
    }

    #[test]
    fn circuits_are_limited_and_closed_ones_are_forgotten_first() {
        let circuit_breakers = CircuitBreakers::new(Arc::default());
        let target = |number: usize| Destination::Unsupported(format!("t-{number}"));
        for _ in 0..FAILURES_TO_OPEN {
            circuit_breakers.target(&target(0)).failed(START, None);
        }
        for number in 1..=2 * MAX_TARGET_CIRCUITS {
            circuit_breakers.target(&target(number)).succeeded(START);
        }
        let kept = circuit_breakers.targets.lock().unwrap_or_else(PoisonError::into_inner).len();
        assert_eq!(kept, MAX_TARGET_CIRCUITS);
        assert!(circuit_breakers.target(&target(0)).is_open(START), "the open circuit is kept");
    }

    #[test]
    fn circuits_are_limited_when_all_are_open() {
        let circuit_breakers = CircuitBreakers::new(Arc::default());
        for number in 0..=MAX_TARGET_CIRCUITS {
            let breaker = circuit_breakers.target(&Destination::Unsupported(format!("t-{number}")));
            for _ in 0..FAILURES_TO_OPEN {
                breaker.failed(START, None);
            }
        }
        let targets = circuit_breakers.targets.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(targets.len(), MAX_TARGET_CIRCUITS);
        assert!(!targets.contains("t-0"), "the one that was not used for the longest time");
    }

    #[test]
    fn circuit_of_each_target_is_separate() {
        let circuit_breakers = CircuitBreakers::new(Arc::default());
        for _ in 0..FAILURES_TO_OPEN {
            circuit_breakers.target(&Destination::None).failed(START, None);
        }
        assert!(circuit_breakers.target(&Destination::None).admit(START).is_err());
        assert!(circuit_breakers.target(&Destination::Missing).admit(START).is_ok());
    }
}
