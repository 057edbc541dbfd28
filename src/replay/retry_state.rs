//! Marking interactions as the setting `RETRY_STATE` wants it.

use crate::dead_letter::InteractionRef;
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

impl<G: Genesys> RetryState<G> {
    /// Finds where the marks of an event go; `Ok(None)` when there will be none.
    ///
    /// # Errors
    /// The interaction cannot be read although its mark is required.
    pub(super) async fn find(
        &self,
        interaction: Option<&InteractionRef>,
    ) -> Result<Option<Interaction>, GenesysError> {
        match (self, interaction) {
            (Self::Off, _) | (_, None) => Ok(None),
            (Self::Required(genesys), Some(interaction)) => {
                genesys.fetch(interaction).await.map(Some)
            }
            (Self::BestEffort(genesys), Some(interaction)) => {
                match genesys.fetch(interaction).await {
                    Ok(found) => Ok(Some(found)),
                    Err(error) => {
                        passed_over(&error);
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Marks what [`find`](Self::find) found.
    ///
    /// # Errors
    /// The mark is not written although it is required.
    pub(super) async fn mark(
        &self,
        found: Option<&Interaction>,
        mark: RetryMark,
    ) -> Result<(), GenesysError> {
        match (self, found) {
            (Self::Off, _) | (_, None) => Ok(()),
            (Self::Required(genesys), Some(interaction)) => genesys.mark(interaction, mark).await,
            (Self::BestEffort(genesys), Some(interaction)) => {
                if let Err(error) = genesys.mark(interaction, mark).await {
                    passed_over(&error);
                }
                Ok(())
            }
        }
    }
}

fn passed_over(error: &GenesysError) {
    tracing::warn!(
        failure_code = error.failure_code().as_str(),
        disposition = error.disposition().as_str(),
        %error,
        "interaction not marked, replaying all the same"
    );
}
