//! Pools of connections in an environment that may be frozen between two requests.
//!
//! Lambda freezes an execution environment between two invocations. Meanwhile a server may close an idle connection, or
//! a network device may forget it. A delivery over such a connection fails without proof that the target did not act.
//! So a pool that is older than the last possible freeze is replaced.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// Detects times in which the environment may have been frozen, from the requests of all pools.
///
/// All pools of a process share one detector. While a request of one pool is in flight, the environment is not frozen,
/// so a slow target does not make the connections of the ledger suspicious. A request must end before its invocation
/// is answered.
pub struct FreezeDetector {
    clock: Arc<dyn Clock>,
    max_quiet_time: Duration,
    requests: Mutex<Requests>,
}

struct Requests {
    in_flight: usize,
    /// The end of the last request, or the creation of the detector.
    last_end: Timestamp,
    /// The number of quiet times so far in which the environment may have been frozen.
    possible_freezes: u64,
}

impl FreezeDetector {
    /// Creates a detector. From `max_quiet_time` without a request in flight, the environment may have been frozen.
    /// `clock` must be a wall clock, because other clocks stop while the environment is frozen.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, max_quiet_time: Duration) -> Arc<Self> {
        let last_end = clock.now();
        let requests = Requests { in_flight: 0, last_end, possible_freezes: 0 };
        Arc::new(Self { clock, max_quiet_time, requests: Mutex::new(requests) })
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the start of a request. Returns the number of possible freezes so far.
    fn request_started(&self) -> u64 {
        let mut requests = self.requests();
        let now = self.clock.now();
        // A clock that was set back shows nothing about the time that has passed.
        let is_set_back = now < requests.last_end;
        let is_long = now.since(requests.last_end) >= self.max_quiet_time;
        if requests.in_flight == 0 && (is_set_back || is_long) {
            requests.possible_freezes += 1;
        }
        requests.in_flight += 1;
        requests.possible_freezes
    }

    fn request_ended(&self) {
        let mut requests = self.requests();
        requests.in_flight = requests.in_flight.saturating_sub(1);
        requests.last_end = self.clock.now();
    }
}

/// A client `T` that owns pooled connections. It is replaced by a new one after each possible freeze.
pub struct ConnectionPool<T> {
    detector: Arc<FreezeDetector>,
    build: Box<dyn Fn() -> Option<T> + Send + Sync>,
    current: Mutex<Generation<T>>,
}

/// The connections that began after the same possible freeze or renewal.
struct Generation<T> {
    client: T,
    number: u64,
    /// The number of possible freezes before these connections.
    possible_freezes: u64,
    has_served: Arc<AtomicBool>,
}

/// A client during one request. The request ends when this is dropped.
pub struct PooledClient<T> {
    client: T,
    generation: u64,
    has_served: Arc<AtomicBool>,
    detector: Arc<FreezeDetector>,
}

impl<T: Clone> ConnectionPool<T> {
    /// Creates a pool with its first client. `build` must be cheap, because it runs after each possible freeze. If it
    /// returns `None`, the earlier client is used, and the next request calls `build` again.
    #[must_use]
    pub fn new(
        first: T,
        detector: Arc<FreezeDetector>,
        build: impl Fn() -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        let current = Generation {
            client: first,
            number: 0,
            possible_freezes: 0,
            has_served: Arc::default(),
        };
        Self { detector, build: Box::new(build), current: Mutex::new(current) }
    }

    /// Returns the client for one request. Its connections are younger than the last possible freeze.
    #[must_use]
    pub fn acquire(&self) -> PooledClient<T> {
        let possible_freezes = self.detector.request_started();
        let mut current = self.current();
        if current.possible_freezes < possible_freezes && self.replace(&mut current) {
            current.possible_freezes = possible_freezes;
        }
        PooledClient {
            client: current.client.clone(),
            generation: current.number,
            has_served: Arc::clone(&current.has_served),
            detector: Arc::clone(&self.detector),
        }
    }

    /// Returns a client with new connections after a request whose connection broke. If another caller has already
    /// replaced the connections of `broken`, its new ones are shared.
    #[must_use]
    pub fn renew(&self, broken: PooledClient<T>) -> PooledClient<T> {
        let mut current = self.current();
        if current.number == broken.generation {
            self.replace(&mut current);
        }
        drop(current);
        let renewed = self.acquire();
        // Dropped last, so that no quiet time is between the two requests.
        drop(broken);
        renewed
    }

    /// Replaces the client. Returns false if no new one can be built.
    fn replace(&self, current: &mut Generation<T>) -> bool {
        let Some(client) = (self.build)() else {
            return false;
        };
        current.client = client;
        current.number += 1;
        current.has_served = Arc::default();
        true
    }

    fn current(&self) -> MutexGuard<'_, Generation<T>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for ConnectionPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool").finish_non_exhaustive()
    }
}

impl<T> PooledClient<T> {
    /// Returns the client.
    #[must_use]
    pub const fn client(&self) -> &T {
        &self.client
    }

    /// Returns true if the request may have run over a connection that another request opened.
    #[must_use]
    pub fn may_reuse_connection(&self) -> bool {
        self.has_served.load(Ordering::Relaxed)
    }
}

impl<T> Drop for PooledClient<T> {
    fn drop(&mut self) {
        self.has_served.store(true, Ordering::Relaxed);
        self.detector.request_ended();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    const START: u64 = 1_785_000_000_000;
    /// Just below the time from which a freeze is possible.
    const MAX_QUIET_MILLIS: u64 = 99;

    /// A clock that a test sets, also back.
    struct SetClock(AtomicU64);

    impl SetClock {
        fn set(&self, millis_after_start: u64) {
            self.0.store(START + millis_after_start, Ordering::Relaxed);
        }
    }

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn detector() -> (Arc<SetClock>, Arc<FreezeDetector>) {
        let clock = Arc::new(SetClock(AtomicU64::new(START)));
        let detector = FreezeDetector::new(
            Arc::<SetClock>::clone(&clock),
            Duration::from_millis(MAX_QUIET_MILLIS + 1),
        );
        (clock, detector)
    }

    /// Returns a pool whose clients are the numbers from 0.
    fn pool(detector: &Arc<FreezeDetector>) -> ConnectionPool<u64> {
        let newest = AtomicU64::new(0);
        let build = move || Some(newest.fetch_add(1, Ordering::Relaxed) + 1);
        ConnectionPool::new(0, Arc::clone(detector), build)
    }

    #[test]
    fn connections_are_replaced_when_no_request_was_in_flight() {
        let (clock, detector) = detector();
        let pool = pool(&detector);
        let mut now = 0;
        for (quiet, client) in [
            (0, 0),
            (MAX_QUIET_MILLIS, 0),
            (MAX_QUIET_MILLIS + 1, 1),
            (MAX_QUIET_MILLIS, 1),
            (3_600_000, 2),
            (1, 2),
        ] {
            now += quiet;
            clock.set(now);
            assert_eq!(*pool.acquire().client(), client, "after {quiet} ms");
        }
    }

    #[test]
    fn connections_stay_when_another_pool_has_a_request_in_flight() {
        let (clock, detector) = detector();
        let (ledger, target) = (pool(&detector), pool(&detector));
        drop(ledger.acquire());
        let delivery = target.acquire();
        clock.set(10_000);
        assert_eq!(*ledger.acquire().client(), 0);
        drop(delivery);
        clock.set(10_000 + MAX_QUIET_MILLIS);
        assert_eq!(*ledger.acquire().client(), 0);
        // The target's connections are replaced too, although the first request after the freeze was the ledger's.
        clock.set(20_000);
        assert_eq!(*ledger.acquire().client(), 1);
        assert_eq!(*target.acquire().client(), 1);
    }

    #[test]
    fn connections_are_replaced_when_the_clock_was_set_back() {
        let (clock, detector) = detector();
        let pool = pool(&detector);
        clock.set(50);
        drop(pool.acquire());
        clock.set(49);
        assert_eq!(*pool.acquire().client(), 1);
        assert_eq!(*pool.acquire().client(), 1);
    }

    #[test]
    fn connection_may_be_reused_when_a_request_has_ended() {
        let (clock, detector) = detector();
        let pool = pool(&detector);
        let (first, second) = (pool.acquire(), pool.acquire());
        assert!(!first.may_reuse_connection() && !second.may_reuse_connection());
        drop(first);
        assert!(pool.acquire().may_reuse_connection());
        drop(second);
        clock.set(1_000);
        assert!(!pool.acquire().may_reuse_connection());
    }

    #[test]
    fn broken_connections_are_replaced_once_for_all_callers() {
        let (_clock, detector) = detector();
        let pool = pool(&detector);
        drop(pool.acquire());
        let (first, second) = (pool.acquire(), pool.acquire());
        let first = pool.renew(first);
        let second = pool.renew(second);
        assert_eq!((*first.client(), *second.client()), (1, 1));
        assert!(!first.may_reuse_connection() && !second.may_reuse_connection());
        assert_eq!(*pool.renew(second).client(), 2);
    }

    #[test]
    fn earlier_client_is_used_when_no_new_one_can_be_built() {
        let (clock, detector) = detector();
        let failures = AtomicU64::new(0);
        let build = move || (failures.fetch_add(1, Ordering::Relaxed) > 0).then_some(1);
        let pool = ConnectionPool::new(0, detector, build);
        clock.set(1_000);
        assert_eq!(*pool.acquire().client(), 0);
        assert_eq!(*pool.acquire().client(), 1);
    }
}
