//! Time, chance and misfortune, all of one seed.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use genesys_fakes::{Faults, Passage};
use genesys_replay::archive::ArchiveError;
use genesys_replay::clock::{Clock, Random, Timestamp};
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::genesys::{Call, GenesysError, UnavailableCause};
use genesys_replay::ledger::LedgerError;
use genesys_replay::target::DeliveryError;
use tokio::time::Instant;

use crate::scene::Scene;
use crate::trouble::Trouble;

/// When every story begins.
const BEGINNING: Timestamp = Timestamp::from_millis(1_785_000_000_000);

/// Draws of one seed, shared by all who live in its story.
#[derive(Clone)]
pub(crate) struct Chance(Arc<Mutex<Rng>>);

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Rng::with_seed(seed))))
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn happens(&self, one_in: u32) -> bool {
        self.draw(|rng| rng.u32(0..one_in) == 0)
    }

    pub(crate) fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.draw(|rng| rng.u64(0..=most)))
    }
}

impl Random for Chance {
    fn unit(&self) -> f64 {
        self.draw(Rng::f64)
    }
}

/// A clock on tokio's paused time that is wrong by a constant.
pub(crate) struct SkewedClock {
    started: Instant,
    ahead: Duration,
}

impl SkewedClock {
    /// The time of the story.
    pub(crate) fn right(started: Instant) -> Self {
        Self::wrong(started, Duration::ZERO)
    }

    /// A clock that is ahead of it.
    pub(crate) fn wrong(started: Instant, ahead: Duration) -> Self {
        Self { started, ahead }
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        BEGINNING.plus(self.started.elapsed()).plus(self.ahead)
    }
}

/// What goes wrong, until the world has healed.
pub(crate) struct Misfortune {
    chance: Chance,
    /// One call in so many fails before it acts, and as many lose their answer.
    one_in: u32,
    heals_at: Instant,
    happened: AtomicU64,
    genesys: Mutex<Quota>,
    trouble: Trouble,
}

/// How many calls Genesys Cloud takes in a minute, healed or not.
struct Quota {
    most: u32,
    taken: u32,
    minute_ends: Instant,
}

impl Quota {
    /// How long to wait when this minute's calls are used up.
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

impl Misfortune {
    pub(crate) fn new(chance: Chance, scene: &Scene, started: Instant) -> Self {
        Self {
            chance,
            one_in: scene.one_in,
            heals_at: started + scene.heals_after,
            happened: AtomicU64::new(0),
            trouble: scene.trouble,
            genesys: Mutex::new(Quota {
                most: scene.genesys_quota,
                taken: 0,
                minute_ends: started,
            }),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.heals_at
    }

    pub(crate) fn happened(&self) -> u64 {
        self.happened.load(Ordering::Relaxed)
    }

    fn strikes(&self) -> bool {
        let strikes = !self.is_over() && self.chance.happens(self.one_in);
        self.happened
            .fetch_add(u64::from(strikes), Ordering::Relaxed);
        strikes
    }

    /// Lets a call take its time, which is where a worker may die, and maybe fail.
    fn passage<E: Send + 'static>(&self, most_ms: u64, error: fn(&Chance) -> E) -> Passage<'_, E> {
        Box::pin(async move {
            tokio::time::sleep(self.chance.millis(most_ms)).await;
            if self.strikes() {
                Err(error(&self.chance))
            } else {
                Ok(())
            }
        })
    }
}

fn outage() -> Box<dyn std::error::Error + Send + Sync> {
    io::Error::other("down").into()
}

impl Faults<LedgerError> for Misfortune {
    fn before(&self, _: &'static str) -> Passage<'_, LedgerError> {
        self.passage(20, |_| LedgerError::Unavailable(outage()))
    }

    fn after(&self, _: &'static str) -> Passage<'_, LedgerError> {
        self.passage(20, |_| LedgerError::Unavailable(outage()))
    }
}

impl Faults<ArchiveError> for Misfortune {
    fn before(&self, _: &'static str) -> Passage<'_, ArchiveError> {
        self.passage(50, |_| ArchiveError(outage()))
    }

    fn after(&self, _: &'static str) -> Passage<'_, ArchiveError> {
        self.passage(50, |_| ArchiveError(outage()))
    }
}

impl Faults<String> for Misfortune {
    fn before(&self, _: &'static str) -> Passage<'_, String> {
        self.passage(20, |_| "down".to_owned())
    }

    fn after(&self, _: &'static str) -> Passage<'_, String> {
        self.passage(20, |_| "down".to_owned())
    }
}

fn genesys_fails(chance: &Chance) -> GenesysError {
    let call = Call::Mark;
    match chance.draw(|rng| rng.u8(0..20)) {
        // Seldom, since it ends an event at once.
        19 => GenesysError::NotFound,
        18 => GenesysError::Conflict {
            call,
            status: 409,
            code: None,
            after: None,
        },
        0..=4 => GenesysError::RateLimited {
            call,
            after: Some(Duration::from_secs(chance.draw(|rng| rng.u64(0..90)))),
        },
        5..=9 => GenesysError::Credentials {
            call,
            status: 403,
            code: None,
        },
        10..=14 => GenesysError::Refused {
            call,
            status: 400,
            code: None,
        },
        _ => GenesysError::Unavailable {
            call,
            problem: UnavailableCause::Timeout,
            after: None,
        },
    }
}

impl Faults<GenesysError> for Misfortune {
    fn before(&self, _: &'static str) -> Passage<'_, GenesysError> {
        Box::pin(async move {
            if self.trouble == Trouble::Division {
                // Nothing else fails that could open the circuit.
                tokio::time::sleep(self.chance.millis(200)).await;
                return Ok(());
            }
            self.passage(200, genesys_fails).await?;
            let mut quota = self.genesys.lock().unwrap_or_else(PoisonError::into_inner);
            match quota.take() {
                None => Ok(()),
                after @ Some(_) => Err(GenesysError::RateLimited {
                    call: Call::Mark,
                    after,
                }),
            }
        })
    }

    fn after(&self, _: &'static str) -> Passage<'_, GenesysError> {
        if self.trouble == Trouble::Division {
            return Box::pin(async { Ok(()) });
        }
        self.passage(200, |_| GenesysError::Unavailable {
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
        reason: "made up".to_owned(),
        source: None,
    }
}

fn unavailable(after: Option<Duration>, certainty: Certainty) -> DeliveryError {
    let code = FailureCode::TargetUnavailable;
    delivery_error(code, Disposition::Transient { after }, certainty)
}

fn target_fails(chance: &Chance) -> DeliveryError {
    match chance.draw(|rng| rng.u8(0..7)) {
        0 => delivery_error(
            FailureCode::TargetRefused,
            Disposition::Permanent,
            Certainty::Refused,
        ),
        1 => delivery_error(
            FailureCode::TargetCredentials,
            Disposition::Operator,
            Certainty::Refused,
        ),
        2 => unavailable(None, Certainty::Unknown),
        3 => unavailable(None, Certainty::NotSent),
        4 => unavailable(
            Some(Duration::from_secs(chance.draw(|rng| rng.u64(0..90)))),
            Certainty::Refused,
        ),
        _ => unavailable(None, Certainty::Refused),
    }
}

impl Faults<DeliveryError> for Misfortune {
    fn before(&self, _: &'static str) -> Passage<'_, DeliveryError> {
        Box::pin(async move {
            // Now and then a target stalls until the client's timeout.
            let lasts = self.trouble.target_answer().is_some();
            if !self.is_over() && !lasts && self.chance.happens(40) {
                tokio::time::sleep(Duration::from_secs(10)).await;
                self.happened.fetch_add(1, Ordering::Relaxed);
                return Err(unavailable(None, Certainty::Unknown));
            }
            tokio::time::sleep(self.chance.millis(500)).await;
            if let (false, Some(error)) = (self.is_over(), self.trouble.target_answer()) {
                self.happened.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
            if self.strikes() {
                Err(target_fails(&self.chance))
            } else {
                Ok(())
            }
        })
    }

    fn after(&self, _: &'static str) -> Passage<'_, DeliveryError> {
        self.passage(500, |_| unavailable(None, Certainty::Unknown))
    }
}
