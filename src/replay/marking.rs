//! Marking of interactions, as the setting `RETRY_STATE` requires.

use std::time::Duration;

use super::circuit_breaker::CircuitObserver;
use super::invocation::InvocationContext;
use super::result::SkippedMark;
use super::retry_policy::{AttemptFailure, RetryDecision};
use super::task::RecordTask;
use super::{Ports, Replay, log};
use crate::dead_letter::InteractionRef;
use crate::failure::Disposition;
use crate::genesys::{Call, Genesys, GenesysError, Interaction, RetryMark, RetryStatus};
use crate::ledger::Lease;

/// The setting `RETRY_STATE`.
pub enum RetryState<G> {
    /// An event is not replayed without its mark.
    Required(G),
    /// A failed call to Genesys Cloud does not stop a replay.
    BestEffort(G),
    /// Genesys Cloud is not called.
    Off,
}

/// The marking of an event's interaction in one receive.
pub(super) enum Marker {
    /// The interaction was not fetched yet.
    Pending,
    /// The event gets no marks.
    Unmarked,
    /// The interaction could not be fetched; its marks are skipped.
    Skipped(SkippedMark),
    /// The interaction was fetched.
    Fetched {
        interaction: Interaction,
        /// The last mark, if it was skipped.
        skipped: Option<SkippedMark>,
    },
}

impl Marker {
    /// Returns a marker that does not fetch the interaction any more.
    pub(super) fn without_fetch(self) -> Self {
        match self {
            Self::Pending => Self::Unmarked,
            Self::Unmarked | Self::Skipped(_) | Self::Fetched { .. } => self,
        }
    }

    /// Returns the last mark, if it was skipped.
    pub(super) fn into_skipped(self) -> Option<SkippedMark> {
        match self {
            Self::Pending | Self::Unmarked => None,
            Self::Skipped(skipped) => Some(skipped),
            Self::Fetched { skipped, .. } => skipped,
        }
    }
}

impl<P: Ports> Replay<P> {
    /// Fetches the interaction unless it was fetched before, and marks it.
    pub(super) async fn fetch_and_mark(
        &self,
        task: &RecordTask<'_>,
        marker: &mut Marker,
        mark: RetryMark,
    ) -> Result<(), AttemptFailure> {
        let observer = self.circuit_breakers.genesys.observer(self.clock.as_ref());
        if matches!(marker, Marker::Pending) {
            let interaction = task.dead_letter.marked_interaction();
            *marker = self.retry_state.fetch(interaction, &observer).await?;
        }
        if let Marker::Fetched { interaction, skipped } = marker {
            *skipped = self.retry_state.mark(interaction, mark, &observer).await?;
        }
        Ok(())
    }

    /// Writes the final mark, with retries in this invocation as far as the policy allows. Returns the marker for the
    /// skipped mark.
    pub(super) async fn mark_final_status(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: &Lease,
        mut marker: Marker,
        status: RetryStatus,
    ) -> Result<Marker, AttemptFailure> {
        let mark = RetryMark { attempt: lease.reported_attempt(), status };
        let mut attempts_this_receive = 1;
        loop {
            let Err(failure) = self.fetch_and_mark(task, &mut marker, mark).await else {
                return Ok(marker);
            };
            let situation =
                self.situation(task, ctx, &failure, attempts_this_receive, attempts_this_receive);
            let next = self.policy.decide(&failure, &situation, self.random.unit());
            match next {
                RetryDecision::RetryNow { after } => {
                    log::retried(task, &failure, mark.attempt, after);
                    tokio::time::sleep(after).await;
                    attempts_this_receive += 1;
                }
                RetryDecision::Defer { .. } | RetryDecision::Reject { .. } => return Err(failure),
            }
        }
    }
}

impl<G> RetryState<G> {
    /// Returns the port of Genesys Cloud; `None` if Genesys Cloud is not called.
    pub const fn genesys(&self) -> Option<&G> {
        match self {
            Self::Required(genesys) | Self::BestEffort(genesys) => Some(genesys),
            Self::Off => None,
        }
    }
}

impl<G: Genesys> RetryState<G> {
    /// Returns the port of Genesys Cloud if an event of this interaction cannot be replayed without it.
    pub(super) const fn required_for(&self, interaction: Option<&InteractionRef>) -> Option<&G> {
        match (self, interaction) {
            (Self::Required(genesys), Some(_)) => Some(genesys),
            (Self::Required(_) | Self::BestEffort(_) | Self::Off, _) => None,
        }
    }

    /// Fetches the interaction to mark. A best-effort mark is skipped if the call fails, the circuit is open, or the rate
    /// limit is reached. For a required mark, the calls are reserved before the claim.
    ///
    /// # Errors
    /// The interaction cannot be read although its mark is required.
    async fn fetch(
        &self,
        interaction: Option<&InteractionRef>,
        observer: &CircuitObserver<'_>,
    ) -> Result<Marker, GenesysError> {
        let fetched = |interaction| Marker::Fetched { interaction, skipped: None };
        match (self, interaction) {
            (Self::Off, _) | (_, None) => Ok(Marker::Unmarked),
            (Self::Required(genesys), Some(interaction)) => {
                observe(observer, genesys.fetch(interaction).await).map(fetched)
            }
            (Self::BestEffort(genesys), Some(interaction)) => {
                let Ok(_permit) = observer.admit() else {
                    return Ok(Marker::Skipped(circuit_open_mark()));
                };
                let reserved = genesys.reserve_replay(Duration::MAX).await;
                let answer = match reserved {
                    Ok(()) => observe(observer, genesys.fetch(interaction).await),
                    Err(after) => {
                        Err(GenesysError::LocallyRateLimited { call: Call::Fetch, after })
                    }
                };
                Ok(answer.map_or_else(|error| Marker::Skipped(failed_mark(&error)), fetched))
            }
        }
    }

    /// Marks a fetched interaction. Returns the mark if it is best-effort and was skipped.
    ///
    /// # Errors
    /// The mark cannot be written although it is required.
    async fn mark(
        &self,
        interaction: &Interaction,
        mark: RetryMark,
        observer: &CircuitObserver<'_>,
    ) -> Result<Option<SkippedMark>, GenesysError> {
        match self {
            Self::Off => Ok(None),
            Self::Required(genesys) => {
                observe(observer, genesys.mark(interaction, mark).await).map(|()| None)
            }
            Self::BestEffort(_) if observer.is_open() => Ok(Some(circuit_open_mark())),
            Self::BestEffort(genesys) => {
                let marked = observe(observer, genesys.mark(interaction, mark).await);
                Ok(marked.err().map(|error| failed_mark(&error)))
            }
        }
    }
}

/// Reports an answer to the circuit breaker. A call that our own rate limiter rejected is not an answer.
fn observe<T>(
    observer: &CircuitObserver<'_>,
    answer: Result<T, GenesysError>,
) -> Result<T, GenesysError> {
    match answer {
        Err(error @ GenesysError::LocallyRateLimited { .. }) => Err(error),
        Err(error) if error.is_about_one_object() => {
            observer.succeeded();
            Err(error)
        }
        answer => observer.observe(answer, GenesysError::disposition),
    }
}

fn failed_mark(error: &GenesysError) -> SkippedMark {
    SkippedMark { disposition: error.disposition(), reason: error.to_string() }
}

fn circuit_open_mark() -> SkippedMark {
    SkippedMark {
        disposition: Disposition::Transient { after: None },
        reason: "the circuit of Genesys Cloud is open".to_owned(),
    }
}
