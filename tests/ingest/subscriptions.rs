//! The cache of subscription lookups.

use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use genesys_fakes::{FaultHookFuture, Faults, ManualClock, MemorySubscriptions};
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::{Call, GenesysError, Standing, UnavailableCause};
use genesys_replay_ingest::SubscriptionCheck;
use genesys_test_support::TestResult;
use tokio::sync::Semaphore;

struct SubscriptionCheckHarness {
    subscriptions: MemorySubscriptions,
    clock: Arc<ManualClock>,
    check: SubscriptionCheck<MemorySubscriptions>,
}

impl SubscriptionCheckHarness {
    fn new(faults: Option<Arc<dyn Faults<GenesysError>>>) -> Self {
        let subscriptions = MemorySubscriptions::default();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_785_000_000_000)));
        let port = match faults {
            Some(faults) => subscriptions.with_faults(faults),
            None => subscriptions.clone(),
        };
        let check = SubscriptionCheck::new(port, clock.clone());
        Self { subscriptions, clock, check }
    }

    fn asked(&self) -> usize {
        self.subscriptions.asked().len()
    }
}

fn id(text: &str) -> Result<InteractionId, Box<dyn Error>> {
    Ok(InteractionId::new(text).ok_or("no id")?)
}

#[tokio::test]
async fn active_subscription_is_cached_for_60_seconds() -> TestResult {
    let harness = SubscriptionCheckHarness::new(None);
    let s = id("s-1")?;
    for _ in 0..10 {
        assert_eq!(harness.check.standing(&s).await, Ok(Standing::Active));
    }
    assert_eq!(harness.asked(), 1);
    harness.subscriptions.put("s-1", Standing::Inactive);
    harness.clock.pass(Duration::from_secs(59));
    assert_eq!(harness.check.standing(&s).await, Ok(Standing::Active));
    harness.clock.pass(Duration::from_secs(1));
    assert_eq!(harness.check.standing(&s).await, Ok(Standing::Inactive));
    assert_eq!(harness.check.standing(&id("s-2")?).await, Ok(Standing::Active));
    assert_eq!(harness.subscriptions.asked(), ["s-1", "s-1", "s-2"]);
    Ok(())
}

#[tokio::test]
async fn inactive_subscription_is_not_cached() -> TestResult {
    let harness = SubscriptionCheckHarness::new(None);
    let s = id("s-1")?;
    for standing in [Standing::Unknown, Standing::Inactive, Standing::Active] {
        harness.subscriptions.put("s-1", standing);
        assert_eq!(harness.check.standing(&s).await, Ok(standing));
    }
    Ok(())
}

/// A hook that blocks calls until there are permits, then fails them or lets them continue.
struct Gate {
    open: Semaphore,
    fails: bool,
    came: AtomicUsize,
}

const DOWN: GenesysError = GenesysError::Unavailable {
    call: Call::Subscription,
    problem: UnavailableCause::Status(503),
    after: None,
};

impl Gate {
    fn closed(fails: bool) -> Arc<Self> {
        Arc::new(Self { open: Semaphore::new(0), fails, came: AtomicUsize::new(0) })
    }
}

impl Faults<GenesysError> for Gate {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, GenesysError> {
        self.came.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            if let Ok(permit) = self.open.acquire().await {
                permit.forget();
            }
            if self.fails { Err(DOWN) } else { Ok(()) }
        })
    }
}

#[tokio::test]
async fn concurrent_lookups_share_one_response_or_failure() -> TestResult {
    for fails in [false, true] {
        let gate = Gate::closed(fails);
        let harness = SubscriptionCheckHarness::new(Some(gate.clone()));
        let (s, other) = (id("s-1")?, id("s-2")?);
        let expected = if fails { Err(DOWN) } else { Ok(Standing::Active) };
        let all = (0..20).map(|_| harness.check.standing(&s));
        let open = async { gate.open.add_permits(2) };
        let (answers, second, ()) =
            tokio::join!(join_all(all), harness.check.standing(&other), open);
        assert!(answers.iter().all(|answer| *answer == expected), "{answers:?}");
        assert_eq!(second, expected);
        assert_eq!(gate.came.load(Ordering::SeqCst), 2, "one for each subscription");
    }
    Ok(())
}

#[tokio::test]
async fn cancelled_lookup_is_repeated_by_the_next_caller() -> TestResult {
    let gate = Gate::closed(false);
    let harness = SubscriptionCheckHarness::new(Some(gate.clone()));
    let s = id("s-1")?;
    tokio::select! {
        biased;
        _ = harness.check.standing(&s) => return Err("the gate is closed".into()),
        () = std::future::ready(()) => {}
    }
    gate.open.add_permits(1);
    assert_eq!(harness.check.standing(&s).await, Ok(Standing::Active));
    assert_eq!(gate.came.load(Ordering::SeqCst), 2);
    Ok(())
}

/// A hook that never returns.
struct NeverReturns;

impl Faults<GenesysError> for NeverReturns {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, GenesysError> {
        Box::pin(pending())
    }
}

#[tokio::test(start_paused = true)]
async fn lookup_deadline_is_3_seconds() -> TestResult {
    let harness = SubscriptionCheckHarness::new(Some(Arc::new(NeverReturns)));
    let before = tokio::time::Instant::now();
    let answer = harness.check.standing(&id("s-1")?).await;
    let late = GenesysError::Unavailable {
        call: Call::Subscription,
        problem: UnavailableCause::Timeout,
        after: None,
    };
    assert_eq!(answer, Err(late));
    assert_eq!(before.elapsed(), Duration::from_secs(3));
    Ok(())
}
