//! Marking interactions as the setting `RETRY_STATE` wants it.

use super::circuit_breaker::CircuitObserver;
use crate::dead_letter::InteractionRef;
use crate::failure::Disposition;
use crate::genesys::{Genesys, GenesysError, Interaction, RetryMark};

/// Whether and how interactions are marked.
pub enum RetryState<G> {
    /// No mark, no replay.
    Required(G),
    /// A failed call to Genesys Cloud stops nothing.
    BestEffort(G),
    /// Genesys Cloud is not called.
    Off,
}

/// A mark that was passed over, and why.
#[derive(Clone, Debug)]
pub(super) struct SkippedMark {
    pub(super) disposition: Disposition,
    pub(super) reason: String,
}

impl<G> RetryState<G> {
    /// Genesys Cloud, if it is called at all.
    pub const fn genesys(&self) -> Option<&G> {
        match self {
            Self::Required(genesys) | Self::BestEffort(genesys) => Some(genesys),
            Self::Off => None,
        }
    }
}

impl<G: Genesys> RetryState<G> {
    /// Whether an event of this interaction cannot be replayed without Genesys Cloud.
    pub(super) const fn is_needed_for(&self, interaction: Option<&InteractionRef>) -> bool {
        matches!((self, interaction), (Self::Required(_), Some(_)))
    }

    /// Finds where the marks of an event go; `Ok(None)` when there will be none. `skip` is told why
    /// there will be none although there should be.
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

    /// Marks what [`find`](Self::find) found. `skip` is told why it was not although it should be.
    ///
    /// # Errors
    /// The mark is not written although it is required.
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

/// Lets the breaker learn from an answer; a call that was held back is none.
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
