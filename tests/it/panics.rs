//! Panics between the steps of a record, over the fakes in paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use genesys_fakes::{FaultHookFuture, Faults};
use genesys_replay::clock::Random;
use genesys_replay::failure::FailureCode;
use genesys_replay::target::DeliveryError;
use genesys_test_support::TestResult;
use genesys_test_support::memory::{InMemoryFunction, target_unavailable};

struct Unavailable;

impl Faults<DeliveryError> for Unavailable {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, DeliveryError> {
        Box::pin(async { Err(target_unavailable()) })
    }
}

/// A source of randomness whose first call panics: in the decision after a failed attempt.
#[derive(Default)]
struct PanicsOnce(AtomicBool);

impl Random for PanicsOnce {
    fn unit(&self) -> f64 {
        let has_panicked = self.0.swap(true, Ordering::Relaxed);
        assert!(has_panicked, "injected");
        0.5
    }
}

#[tokio::test(start_paused = true)]
async fn panic_between_two_steps_costs_one_record_only() -> TestResult {
    let mut function = InMemoryFunction::new()?.target_with(Arc::new(Unavailable));
    function.0.random = Arc::new(PanicsOnce::default());
    function.0.max_concurrency = 1;
    let handled = function.batch(2, Duration::from_secs(600)).await?;
    let codes: Vec<_> = handled.iter().map(|it| it.result.code()).collect();
    let expected = [FailureCode::Internal, FailureCode::TargetUnavailable];
    assert_eq!(codes, expected.map(Some));
    Ok(())
}
