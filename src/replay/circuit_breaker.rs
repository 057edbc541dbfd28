//! The breaker: an upstream that fails again and again is left alone for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::destination::Destination;
use crate::failure::Disposition;
use crate::meter::UpstreamCounters;

/// Failures in a row that open it: enough to be no chance, few enough that a dead upstream costs a
/// batch nothing.
pub(super) const FAILURES_TO_OPEN: u32 = 5;

/// How long it stays open, unless the upstream asks for longer.
pub(super) const OPEN_TIME: Duration = Duration::from_secs(30);

/// One upstream's breaker. By the wall clock: a frozen execution environment counts the time too.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    /// The upstream, for people.
    upstream: Arc<str>,
    state: Arc<Mutex<State>>,
    /// When it accepted last; `None` if it never did, or is no target.
    accepted: Arc<Mutex<Option<Timestamp>>>,
    meter: Arc<UpstreamCounters>,
}

/// An upstream that is left alone for now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{upstream} keeps failing and is left alone for {} s", after.as_secs())]
pub(super) struct OpenBreaker {
    pub(super) upstream: Arc<str>,
    /// How long from now.
    pub(super) after: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Everything passes.
    Closed { failures: u32 },
    /// Nothing passes until then.
    Open { until: Timestamp },
    /// One passes, to see whether the upstream is back.
    Probing,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// The right to call an upstream. Dropped without a word from the upstream, a probe's place is
/// free for another.
#[derive(Debug)]
pub(super) struct Permit {
    probe_of: Option<(Breaker, Timestamp)>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((breaker, now)) = self.probe_of.take() {
            let mut state = breaker.state();
            if matches!(*state, State::Probing) {
                *state = State::Open { until: now };
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks to call the upstream; `Err` says how long to stay away.
    pub(super) fn admit(&self, now: Timestamp) -> Result<Permit, OpenBreaker> {
        let refusal = |after| OpenBreaker {
            upstream: Arc::clone(&self.upstream),
            after,
        };
        let mut state = self.state();
        match *state {
            State::Closed { .. } => Ok(Permit { probe_of: None }),
            State::Open { until } if now < until => Err(refusal(until.since(now))),
            State::Open { .. } => {
                *state = State::Probing;
                Ok(Permit {
                    probe_of: Some((self.clone(), now)),
                })
            }
            State::Probing => Err(refusal(OPEN_TIME)),
        }
    }

    /// Whether calls that are under way already may go on.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        matches!(*self.state(), State::Open { until } if now < until)
    }

    /// When the upstream accepted last, as far as this environment knows.
    pub(super) fn accepted_at(&self) -> Option<Timestamp> {
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accepted(&self, now: Timestamp) {
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.succeeded();
    }

    /// The upstream works.
    pub(super) fn succeeded(&self) {
        *self.state() = State::default();
    }

    /// The upstream failed in a way that says nothing of the event.
    pub(super) fn failed(&self, now: Timestamp, retry_after: Option<Duration>) {
        let until = now.plus(retry_after.unwrap_or_default().max(OPEN_TIME));
        let mut state = self.state();
        *state = match *state {
            State::Closed { failures } if failures + 1 < FAILURES_TO_OPEN => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } | State::Probing => {
                tracing::warn!(upstream = %self.upstream, until = %until, "upstream keeps failing, left alone until then");
                self.meter.breaker_opened();
                State::Open { until }
            }
            State::Open { until: earlier } => State::Open {
                until: until.max(earlier),
            },
        };
    }
}

/// A breaker that learns from what its upstream answers.
#[derive(Clone)]
pub(super) struct CircuitObserver<'c> {
    pub(super) breaker: Breaker,
    pub(super) clock: &'c dyn Clock,
}

impl CircuitObserver<'_> {
    pub(super) fn is_open(&self) -> bool {
        self.breaker.is_open(self.clock.now())
    }

    /// Learns from an answer and hands it on. A refusal for good is an answer of an upstream that
    /// works.
    pub(super) fn observe<T, E>(
        &self,
        answer: Result<T, E>,
        disposition: impl FnOnce(&E) -> Disposition,
    ) -> Result<T, E> {
        match answer.as_ref().map_err(disposition) {
            Ok(_) => self.breaker.accepted(self.clock.now()),
            Err(Disposition::Permanent) => self.breaker.succeeded(),
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
    targets: Mutex<HashMap<String, Breaker>>,
    meter: Arc<UpstreamCounters>,
}

impl CircuitBreakers {
    /// Closed circuit breakers, whose openings are counted.
    #[must_use]
    pub fn new(meter: Arc<UpstreamCounters>) -> Self {
        Self {
            ledger: Breaker::of("the ledger", &meter),
            genesys: Breaker::of("Genesys Cloud", &meter),
            targets: Mutex::default(),
            meter,
        }
    }

    /// The breaker of one target: another one may be well.
    pub(super) fn target(&self, destination: &Destination) -> Breaker {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = targets.get(destination.key_part()) {
            return breaker.clone();
        }
        let breaker = Breaker::of(&format!("the target {destination}"), &self.meter);
        targets.insert(destination.key_part().to_owned(), breaker.clone());
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
        breaker.admit(now).err().map(|refusal| refusal.after)
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
    fn opens_after_five_failures_in_a_row_for_thirty_seconds() {
        let breaker = opened(None);
        assert!(breaker.is_open(at(29)));
        assert_eq!(breaker.meter.take().breakers_opened, 1);
        assert_eq!(waits(&breaker, at(10)), Some(Duration::from_secs(20)));
        assert!(breaker.admit(at(30)).is_ok());
    }

    #[test]
    fn stays_open_for_as_long_as_the_upstream_asks() {
        let breaker = opened(Some(Duration::from_secs(300)));
        assert_eq!(waits(&breaker, START), Some(Duration::from_secs(300)));
        let impatient = opened(Some(Duration::from_secs(1)));
        assert_eq!(waits(&impatient, START), Some(OPEN_TIME));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let breaker = Breaker::of("it", &Arc::default());
        for _ in 0..3 {
            for _ in 1..FAILURES_TO_OPEN {
                breaker.failed(START, None);
            }
            breaker.succeeded();
        }
        assert!(breaker.admit(START).is_ok());
    }

    #[test]
    fn one_probe_decides() {
        let breaker = opened(None);
        let probe = breaker.admit(at(30));
        assert!(breaker.admit(at(30)).is_err(), "one at a time");
        breaker.failed(at(31), None);
        drop(probe);
        assert_eq!(waits(&breaker, at(31)), Some(OPEN_TIME));

        let probe = breaker.admit(at(61));
        breaker.succeeded();
        drop(probe);
        assert!(breaker.admit(at(61)).is_ok() && breaker.admit(at(61)).is_ok());
    }

    #[test]
    fn a_probe_that_did_not_reach_the_upstream_gives_its_place_back() {
        let breaker = opened(None);
        drop(breaker.admit(at(30)));
        assert!(breaker.admit(at(30)).is_ok());
    }

    #[test]
    fn a_late_failure_does_not_shorten_the_time() {
        let breaker = opened(Some(Duration::from_secs(300)));
        breaker.failed(at(1), None);
        assert_eq!(waits(&breaker, at(1)), Some(Duration::from_secs(299)));
    }

    #[test]
    fn each_target_has_its_own() {
        let circuit_breakers = CircuitBreakers::new(Arc::default());
        for _ in 0..FAILURES_TO_OPEN {
            circuit_breakers
                .target(&Destination::None)
                .failed(START, None);
        }
        assert!(
            circuit_breakers
                .target(&Destination::None)
                .admit(START)
                .is_err()
        );
        assert!(
            circuit_breakers
                .target(&Destination::Missing)
                .admit(START)
                .is_ok()
        );
    }
}
