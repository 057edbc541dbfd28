//! The port of Genesys Cloud, which records failed calls in the history.

use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::MemoryGenesys;
use genesys_replay::dead_letter::InteractionRef;
use genesys_replay::genesys::{Call, Genesys, GenesysError, Interaction, RetryMark, RetryStatus};

use crate::bugs::Bug;
use crate::fault_kinds::FaultKind;
use crate::faults::FaultInjector;
use crate::history::History;
use crate::ports::FailureGuard;

pub(crate) struct WatchedGenesys {
    pub(crate) inner: MemoryGenesys,
    pub(crate) history: Arc<History>,
    pub(crate) faults: Arc<FaultInjector>,
    /// The conversations whose access is denied until the faults end.
    pub(crate) denied: Vec<String>,
    pub(crate) bug: Option<Bug>,
}

impl WatchedGenesys {
    fn allows(&self, call: Call, conversation: &str) -> Result<(), GenesysError> {
        let is_denied = self.denied.iter().any(|it| it == conversation);
        if self.faults.has_ended() || !is_denied {
            return Ok(());
        }
        self.faults.count(FaultKind::LastingFault);
        let code = Some("missing.any.division.permissions".to_owned());
        Err(if self.bug == Some(Bug::ObjectOpensCircuit) {
            let status = 403;
            GenesysError::Credentials { call, status, code }
        } else {
            GenesysError::Forbidden { call, code }
        })
    }
}

impl Genesys for WatchedGenesys {
    async fn reserve_replay(&self, max_wait: Duration) -> Result<(), Duration> {
        self.inner.reserve_replay(max_wait).await
    }

    fn calls_per_minute(&self) -> u32 {
        self.inner.calls_per_minute()
    }

    async fn fetch(&self, interaction: &InteractionRef) -> Result<Interaction, GenesysError> {
        let mark_failed = || self.history.mark_failed(interaction.id.as_str());
        let mut guard = FailureGuard::new(mark_failed);
        self.allows(Call::Fetch, interaction.id.as_str())?;
        let found = self.inner.fetch(interaction).await;
        guard.succeeded = found.is_ok();
        found
    }

    async fn mark(&self, interaction: &Interaction, mark: RetryMark) -> Result<(), GenesysError> {
        let forgets = match mark.status {
            RetryStatus::Retrying => false,
            RetryStatus::ReplaySuccessful => self.bug == Some(Bug::SuccessNotMarked),
            RetryStatus::ReplayFailed | RetryStatus::ExhaustedRetries => {
                self.bug == Some(Bug::FailureNotMarked)
            }
        };
        if forgets {
            return Ok(());
        }
        let (Interaction::Conversation { id, .. } | Interaction::Record { id }) = interaction;
        let mut guard = FailureGuard::new(|| self.history.mark_failed(id.as_str()));
        self.allows(Call::Mark, id.as_str())?;
        let marked = self.inner.mark(interaction, mark).await;
        guard.succeeded = marked.is_ok();
        marked
    }
}
