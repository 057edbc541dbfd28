//! A hook that holds every send to the queue.

use std::error::Error;
use std::sync::Arc;

use genesys_fakes::{FaultHookFuture, Faults};
use genesys_replay::queue::PutError;
use genesys_replay_ingest::{Authentication, Ingest};
use genesys_test_support::ingest_harness::IngestHarness;
use tokio::sync::Notify;

/// A hook that holds each send until it is opened, and notifies at its begin and its end.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) came: Notify,
    pub(crate) open: Notify,
    pub(crate) through: Notify,
}

impl Gate {
    /// Starts ingest without authentication behind a gate.
    pub(crate) async fn start() -> Result<(Arc<Self>, IngestHarness), Box<dyn Error>> {
        let gate = Arc::new(Self::default());
        let faults = gate.clone();
        let ingest = IngestHarness::with(Authentication::None, |ingest| Ingest {
            sender: ingest.sender.with_faults(faults),
            ..ingest
        })
        .await?;
        Ok((gate, ingest))
    }
}

impl Faults<PutError> for Gate {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, PutError> {
        Box::pin(async {
            self.came.notify_one();
            self.open.notified().await;
            Ok(())
        })
    }

    fn after(&self, _: &'static str) -> FaultHookFuture<'_, PutError> {
        self.through.notify_one();
        Box::pin(std::future::ready(Ok(())))
    }
}
