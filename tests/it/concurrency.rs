//! The concurrency of the records of a batch, over the fakes in paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use genesys_fakes::{FaultHookFuture, Faults};
use genesys_replay::target::DeliveryError;
use genesys_test_support::TestResult;
use genesys_test_support::memory::{InMemoryFunction, ms};
use tokio::time::sleep;

/// Counts the calls in flight.
#[derive(Default)]
struct InFlight {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Faults<DeliveryError> for InFlight {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, DeliveryError> {
        Box::pin(async {
            let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
            self.peak.fetch_max(now, Ordering::Relaxed);
            sleep(ms(300)).await;
            self.now.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn concurrency_reaches_its_limit_and_does_not_exceed_it() -> TestResult {
    for limit in [1, 4, 10] {
        let target = Arc::new(InFlight::default());
        let mut function = InMemoryFunction::new()?.target_with(target.clone());
        function.0.max_concurrency = limit;
        let handled = function.batch(25, ms(30_000)).await?;
        assert_eq!(function.0.target.accepted().len(), 25, "{handled:?}");
        assert_eq!(target.peak.load(Ordering::Relaxed), limit);
    }
    Ok(())
}
