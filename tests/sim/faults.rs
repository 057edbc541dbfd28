//! Random numbers, clocks and injected faults of one seed.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use genesys_fakes::{FaultHookFuture, Faults};
use genesys_replay::archive::ArchiveError;
use genesys_replay::clock::{Clock, Random, Timestamp};
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::genesys::{Call, GenesysError, UnavailableCause};
use genesys_replay::ledger::LedgerError;
use genesys_replay::target::DeliveryError;
use tokio::time::Instant;

use crate::config::SimConfig;
use crate::fault_kinds::{FaultKind, FaultKinds};
use crate::lasting_fault::LastingFault;

/// The begin of every run.
const START_TIME: Timestamp = Timestamp::from_millis(1_785_000_000_000);

/// The random numbers of one seed, shared by all parts of a run.
#[derive(Clone)]
pub(crate) struct SimRng(Arc<Mutex<Rng>>);

impl SimRng {
    pub(crate) fn of(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Rng::with_seed(seed))))
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn one_in(&self, count: u32) -> bool {
        self.draw(|rng| rng.u32(0..count) == 0)
    }

    pub(crate) fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.draw(|rng| rng.u64(0..=most)))
    }
}

impl Random for SimRng {
    fn unit(&self) -> f64 {
        self.draw(Rng::f64)
    }
}

/// A clock on tokio's paused time with a constant skew.
pub(crate) struct SkewedClock {
    started: Instant,
    ahead: Duration,
}

impl SkewedClock {
    /// Returns a clock without a skew.
    pub(crate) fn right(started: Instant) -> Self {
        Self::wrong(started, Duration::ZERO)
    }

    /// Returns a clock that is ahead.
    pub(crate) fn wrong(started: Instant, ahead: Duration) -> Self {
        Self { started, ahead }
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        START_TIME.plus(self.started.elapsed()).plus(self.ahead)
    }
}

/// Injects faults until their end.
pub(crate) struct FaultInjector {
    rng: SimRng,
    /// One call in this many fails without an effect, and one in this many loses its response.
    fault_one_in: u32,
    faults_end_at: Instant,
    kinds: Arc<FaultKinds>,
    genesys: Mutex<Quota>,
    lasting_fault: LastingFault,
}

/// The rate limit of Genesys Cloud in calls per minute. It also applies after the end of faults.
struct Quota {
    most: u32,
    taken: u32,
    minute_ends: Instant,
}

impl Quota {
    /// Counts a call. Returns the retry-after if the rate limit is exceeded.
    fn take(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if now >= self.minute_ends {
            self.taken = 0;
            self.minute_ends = now + Duration::from_secs(60);
        }
        self.taken += 1;
        (self.taken > self.most).then(|| self.minute_ends - now)
    }
}

impl FaultInjector {
    pub(crate) fn new(rng: SimRng, config: &SimConfig, started: Instant) -> Self {
        Self {
            rng,
            fault_one_in: config.fault_one_in,
            faults_end_at: started + config.faults_end_after,
            kinds: Arc::clone(&config.fault_kinds),
            lasting_fault: config.lasting_fault,
            genesys: Mutex::new(Quota {
                most: config.genesys_quota,
                taken: 0,
                minute_ends: started,
            }),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        Instant::now() >= self.faults_end_at
    }

    /// Returns true once in `count` times, until the faults end, if faults of this kind may strike.
    pub(crate) fn may_strike(&self, kind: FaultKind, count: u32) -> bool {
        !self.has_ended() && self.kinds.is_enabled(kind) && self.rng.one_in(count)
    }

    /// As [`may_strike`](Self::may_strike), for a fault that takes effect at once: counts it.
    pub(crate) fn strikes(&self, kind: FaultKind, count: u32) -> bool {
        let strikes = self.may_strike(kind, count);
        if strikes {
            self.count(kind);
        }
        strikes
    }

    pub(crate) fn count(&self, kind: FaultKind) {
        self.kinds.count(kind);
    }

    /// Delays a call, so that a worker can be killed there, and fails some calls.
    fn fault_hook<E: Send + 'static>(
        &self,
        kind: FaultKind,
        most_ms: u64,
        error: fn(&SimRng) -> E,
    ) -> FaultHookFuture<'_, E> {
        Box::pin(async move {
            tokio::time::sleep(self.rng.millis(most_ms)).await;
            if self.strikes(kind, self.fault_one_in) { Err(error(&self.rng)) } else { Ok(()) }
        })
    }
}

fn outage() -> Box<dyn std::error::Error + Send + Sync> {
    io::Error::other("down").into()
}

impl Faults<LedgerError> for FaultInjector {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, LedgerError> {
        self.fault_hook(FaultKind::LedgerFails, 20, |_| LedgerError::Unavailable(outage()))
    }

    fn after(&self, _: &'static str) -> FaultHookFuture<'_, LedgerError> {
        self.fault_hook(FaultKind::LedgerAnswerLost, 20, |_| LedgerError::Unavailable(outage()))
    }
}

impl Faults<ArchiveError> for FaultInjector {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, ArchiveError> {
        self.fault_hook(FaultKind::ArchiveFails, 50, |_| ArchiveError(outage()))
    }

    fn after(&self, _: &'static str) -> FaultHookFuture<'_, ArchiveError> {
        self.fault_hook(FaultKind::ArchiveAnswerLost, 50, |_| ArchiveError(outage()))
    }
}

impl Faults<String> for FaultInjector {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, String> {
        self.fault_hook(FaultKind::QueueFails, 20, |_| "down".to_owned())
    }

    fn after(&self, _: &'static str) -> FaultHookFuture<'_, String> {
        self.fault_hook(FaultKind::QueueAnswerLost, 20, |_| "down".to_owned())
    }
}

fn genesys_error(rng: &SimRng) -> GenesysError {
    let call = Call::Mark;
    match rng.draw(|rng| rng.u8(0..20)) {
        // Rare, because it rejects an event at once.
        19 => GenesysError::NotFound,
        18 => GenesysError::Conflict { call, status: 409, code: None, after: None },
        0..=4 => GenesysError::RateLimited {
            call,
            after: Some(Duration::from_secs(rng.draw(|rng| rng.u64(0..90)))),
        },
        5..=9 => GenesysError::Credentials { call, status: 403, code: None },
        10..=14 => GenesysError::Refused { call, status: 400, code: None },
        _ => GenesysError::Unavailable { call, problem: UnavailableCause::Timeout, after: None },
    }
}

impl Faults<GenesysError> for FaultInjector {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, GenesysError> {
        Box::pin(async move {
            if self.lasting_fault == LastingFault::AccessDenied {
                // No other fault may open the circuit.
                tokio::time::sleep(self.rng.millis(200)).await;
                return Ok(());
            }
            self.fault_hook(FaultKind::GenesysFails, 200, genesys_error).await?;
            let mut quota = self.genesys.lock().unwrap_or_else(PoisonError::into_inner);
            match quota.take() {
                None => Ok(()),
                after @ Some(_) => Err(GenesysError::RateLimited { call: Call::Mark, after }),
            }
        })
    }

    fn after(&self, _: &'static str) -> FaultHookFuture<'_, GenesysError> {
        if self.lasting_fault == LastingFault::AccessDenied {
            return Box::pin(async { Ok(()) });
        }
        self.fault_hook(FaultKind::GenesysAnswerLost, 200, |_| GenesysError::Unavailable {
            call: Call::Mark,
            problem: UnavailableCause::Broken,
            after: None,
        })
    }
}

fn delivery_error(
    code: FailureCode,
    disposition: Disposition,
    certainty: Certainty,
) -> DeliveryError {
    DeliveryError {
        code,
        disposition,
        certainty,
        timed_out: false,
        locally_throttled: false,
        reason: "injected".to_owned(),
        source: None,
    }
}

fn unavailable(after: Option<Duration>, certainty: Certainty) -> DeliveryError {
    let code = FailureCode::TargetUnavailable;
    delivery_error(code, Disposition::Transient { after }, certainty)
}

fn target_error(rng: &SimRng) -> DeliveryError {
    match rng.draw(|rng| rng.u8(0..7)) {
        0 => delivery_error(FailureCode::TargetRefused, Disposition::Permanent, Certainty::Refused),
        1 => delivery_error(
            FailureCode::TargetCredentials,
            Disposition::Operator,
            Certainty::Refused,
        ),
        2 => unavailable(None, Certainty::Unknown),
        3 => unavailable(None, Certainty::NotSent),
        4 => unavailable(
            Some(Duration::from_secs(rng.draw(|rng| rng.u64(0..90)))),
            Certainty::Refused,
        ),
        _ => unavailable(None, Certainty::Refused),
    }
}

impl Faults<DeliveryError> for FaultInjector {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, DeliveryError> {
        Box::pin(async move {
            // Sometimes a target hangs until the client's timeout.
            let duration = self.lasting_fault.target_response().is_some();
            if !duration && self.strikes(FaultKind::TargetHangs, 40) {
                tokio::time::sleep(Duration::from_secs(10)).await;
                return Err(unavailable(None, Certainty::Unknown));
            }
            tokio::time::sleep(self.rng.millis(500)).await;
            if let (false, Some(error)) = (self.has_ended(), self.lasting_fault.target_response()) {
                self.count(FaultKind::LastingFault);
                return Err(error);
            }
            if self.strikes(FaultKind::TargetFails, self.fault_one_in) {
                Err(target_error(&self.rng))
            } else {
                Ok(())
            }
        })
    }

    fn after(&self, _: &'static str) -> FaultHookFuture<'_, DeliveryError> {
        self.fault_hook(FaultKind::TargetAnswerLost, 500, |_| unavailable(None, Certainty::Unknown))
    }
}
