//! Marking interactions as the setting `RETRY_STATE` wants it.

use crate::dead_letter::InteractionRef;
use crate::failure::Disposition;
use crate::genesys::{Genesys, GenesysError, Interaction, RetryMark};

use super::breaker::Watch;

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
pub(super) struct Missed {
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

    /// Finds where the marks of an event go; `Ok(None)` when there will be none. `miss` is told why
    /// there will be none although there should be.
    ///
    /// # Errors
    /// The interaction cannot be read although its mark is required.
    pub(super) async fn find(
        &self,
        interaction: Option<&InteractionRef>,
        watch: &Watch<'_>,
        miss: impl FnOnce(Missed),
    ) -> Result<Option<Interaction>, GenesysError> {
        match (self, interaction) {
            (Self::Off, _) | (_, None) => Ok(None),
            (Self::Required(genesys), Some(interaction)) => {
                note(watch, genesys.fetch(interaction).await).map(Some)
            }
            (Self::BestEffort(_), Some(_)) if watch.is_open() => {
                miss(left_alone());
                Ok(None)
            }
            (Self::BestEffort(genesys), Some(interaction)) => {
                let found = note(watch, genesys.fetch(interaction).await);
                Ok(found.map_err(|error| miss(passed_over(&error))).ok())
            }
        }
    }

    /// Marks what [`find`](Self::find) found. `miss` is told why it was not although it should be.
    ///
    /// # Errors
    /// The mark is not written although it is required.
    pub(super) async fn mark(
        &self,
        found: Option<&Interaction>,
        mark: RetryMark,
        watch: &Watch<'_>,
        miss: impl FnOnce(Missed),
    ) -> Result<(), GenesysError> {
        match (self, found) {
            (Self::Off, _) | (_, None) => Ok(()),
            (Self::Required(genesys), Some(interaction)) => {
                note(watch, genesys.mark(interaction, mark).await)
            }
            (Self::BestEffort(_), Some(_)) if watch.is_open() => {
                miss(left_alone());
                Ok(())
            }
            (Self::BestEffort(genesys), Some(interaction)) => {
                let marked = note(watch, genesys.mark(interaction, mark).await);
                if let Err(error) = marked {
                    miss(passed_over(&error));
                }
                Ok(())
            }
        }
    }
}

/// Lets the breaker learn from an answer; a call that was held back is none.
fn note<T>(watch: &Watch<'_>, answer: Result<T, GenesysError>) -> Result<T, GenesysError> {
    match answer {
        Err(error @ GenesysError::HeldBack { .. }) => Err(error),
        Err(error) if error.is_about_one_object() => {
            watch.breaker.succeeded();
            Err(error)
        }
        answer => watch.note(answer, GenesysError::disposition),
    }
}

fn passed_over(error: &GenesysError) -> Missed {
    Missed {
        disposition: error.disposition(),
        reason: error.to_string(),
    }
}

fn left_alone() -> Missed {
    Missed {
        disposition: Disposition::Transient { after: None },
        reason: "Genesys Cloud keeps failing and is left alone".to_owned(),
    }
}
