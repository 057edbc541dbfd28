//! Marking of interactions, as the setting `RETRY_STATE` requires.

use super::circuit_breaker::CircuitObserver;
use crate::dead_letter::InteractionRef;
use crate::failure::Disposition;
use crate::genesys::{Genesys, GenesysError, Interaction, RetryMark};

/// The setting `RETRY_STATE`.
pub enum RetryState<G> {
    /// An event is not replayed without its mark.
    Required(G),
    /// A failed call to Genesys Cloud does not stop a replay.
    BestEffort(G),
    /// Genesys Cloud is not called.
    Off,
}

/// A mark that was skipped, with the reason.
#[derive(Clone, Debug)]
pub(super) struct SkippedMark {
    pub(super) disposition: Disposition,
    pub(super) reason: String,
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
    /// Returns true if an event of this interaction cannot be replayed without Genesys Cloud.
    pub(super) const fn is_needed_for(&self, interaction: Option<&InteractionRef>) -> bool {
        matches!((self, interaction), (Self::Required(_), Some(_)))
    }

    /// Finds the interaction to mark; `Ok(None)` if the event gets no marks. Calls `skip` with the reason if a
    /// best-effort mark must be skipped.
    ///
    /// # Errors
    /// The interaction cannot be read although its mark is required.
    pub(super) async fn find(
        &self,
        interaction: Option<&InteractionRef>,
        observer: &CircuitObserver<'_>,
        skip: impl FnOnce(SkippedMark),
    ) -> Result<Option<Interaction>, GenesysError> {
        match (self, interaction) {
            (Self::Off, _) | (_, None) => Ok(None),
            (Self::Required(genesys), Some(interaction)) => {
                observe(observer, genesys.fetch(interaction).await).map(Some)
            }
            (Self::BestEffort(_), Some(_)) if observer.is_open() => {
                skip(circuit_open_mark());
                Ok(None)
            }
            (Self::BestEffort(genesys), Some(interaction)) => {
                let found = observe(observer, genesys.fetch(interaction).await);
                Ok(found.map_err(|error| skip(failed_mark(&error))).ok())
            }
        }
    }

    /// Marks the interaction that [`find`](Self::find) returned. Calls `skip` with the reason if a best-effort mark
    /// must be skipped.
    ///
    /// # Errors
    /// The mark cannot be written although it is required.
    pub(super) async fn mark(
        &self,
        found: Option<&Interaction>,
        mark: RetryMark,
        observer: &CircuitObserver<'_>,
        skip: impl FnOnce(SkippedMark),
    ) -> Result<(), GenesysError> {
        match (self, found) {
            (Self::Off, _) | (_, None) => Ok(()),
            (Self::Required(genesys), Some(interaction)) => {
                observe(observer, genesys.mark(interaction, mark).await)
            }
            (Self::BestEffort(_), Some(_)) if observer.is_open() => {
                skip(circuit_open_mark());
                Ok(())
            }
            (Self::BestEffort(genesys), Some(interaction)) => {
                let marked = observe(observer, genesys.mark(interaction, mark).await);
                if let Err(error) = marked {
                    skip(failed_mark(&error));
                }
                Ok(())
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
            observer.breaker.succeeded();
            Err(error)
        }
        answer => observer.observe(answer, GenesysError::disposition),
    }
}

fn failed_mark(error: &GenesysError) -> SkippedMark {
    SkippedMark {
        disposition: error.disposition(),
        reason: error.to_string(),
    }
}

fn circuit_open_mark() -> SkippedMark {
    SkippedMark {
        disposition: Disposition::Transient { after: None },
        reason: "Genesys Cloud keeps failing and is left alone".to_owned(),
    }
}
