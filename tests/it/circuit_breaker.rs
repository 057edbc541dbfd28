//! The circuit breaker of a target, over the fakes in paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use genesys_fakes::{FaultHookFuture, Faults};
use genesys_replay::backoff::Backoff;
use genesys_replay::failure::FailureCode;
use genesys_replay::replay::{Limits, Policy, RecordReport};
use genesys_replay::target::DeliveryError;
use genesys_test_support::TestResult;
use genesys_test_support::memory::{InMemoryFunction, ms, target_unavailable};
use tokio::time::sleep;

/// A target that responds with 503 until it is repaired.
#[derive(Default)]
struct Unavailable {
    calls: AtomicUsize,
}

impl Faults<DeliveryError> for Unavailable {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, DeliveryError> {
        Box::pin(async {
            self.calls.fetch_add(1, Ordering::Relaxed);
            // As a call over the wire, it lets other records continue.
            sleep(ms(20)).await;
            Err(target_unavailable())
        })
    }
}

/// A function that makes one attempt per receive.
fn function(target: &Arc<Unavailable>) -> Result<InMemoryFunction, url::ParseError> {
    let mut function = InMemoryFunction::new()?.target_with(target.clone());
    function.0.policy = Policy::new(Limits {
        max_attempts: 1,
        retry_for: Duration::from_secs(72 * 3_600),
        max_receives: 10,
        stale_after: None,
        backoff: Backoff { base: ms(2_000), max: ms(900_000) },
        max_wait: ms(2_000),
        replay_malformed: false,
        max_rounds: 10,
    });
    Ok(function)
}

fn count(handled: &[RecordReport], code: FailureCode) -> usize {
    let codes = handled.iter().map(|it| it.result.code());
    codes.filter(|it| *it == Some(code)).count()
}

#[tokio::test(start_paused = true)]
async fn circuit_opens_after_repeated_target_failures() -> TestResult {
    let target = Arc::new(Unavailable::default());
    let function = function(&target)?;
    let first = function.batch(100, ms(30_000)).await?;
    let calls = target.calls.load(Ordering::Relaxed);
    // Five failures open the circuit. Nine more records may be in flight then.
    assert!((5..=14).contains(&calls), "{calls} calls");
    assert_eq!(count(&first, FailureCode::TargetUnavailable), calls);
    assert_eq!(count(&first, FailureCode::BreakerOpen), 100 - calls);

    let second = function.batch(5, ms(30_000)).await?;
    assert_eq!(count(&second, FailureCode::BreakerOpen), 5);
    assert_eq!(target.calls.load(Ordering::Relaxed), calls);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn circuit_half_open_admits_one_probe() -> TestResult {
    let target = Arc::new(Unavailable::default());
    let function = function(&target)?;
    function.batch(100, ms(30_000)).await?;
    let before = target.calls.load(Ordering::Relaxed);
    sleep(Duration::from_secs(31)).await;
    let probe = function.batch(10, ms(30_000)).await?;
    assert_eq!(target.calls.load(Ordering::Relaxed), before + 1);
    assert_eq!(count(&probe, FailureCode::BreakerOpen), 9);
    Ok(())
}
