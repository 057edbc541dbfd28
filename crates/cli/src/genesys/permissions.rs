//! The permissions of the OAuth client, tested without changing anything.

use std::future::Future;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::{InteractionId, InteractionRef};
use genesys_replay::genesys::{ApiForm, Call, Genesys, GenesysError};
use genesys_replay_genesys::GenesysClient;
use reqwest::Method;
use serde_json::json;

use super::analytics::{ConversationQuery, Conversations};
use super::endpoint;

/// An id that no interaction has.
const NIL_UUID: &str = "00000000-0000-0000-0000-000000000000";

/// The start of the searched interval, which has no conversation with the nil id.
const YEAR_2020: Timestamp = Timestamp::from_millis(1_577_836_800_000);
const DAY: Duration = Duration::from_secs(86_400);

/// A client's permissions.
///
/// `Ok` means that the call was not refused. An error is the [`GenesysError`] that any other call would return.
pub trait Permissions: Send + Sync {
    /// Returns the form of the API.
    fn form(&self) -> ApiForm;

    /// Reads an interaction that does not exist. Returns `Ok(false)` if Genesys Cloud did not find it, as expected.
    ///
    /// # Errors
    /// The errors of [`Genesys::fetch`], except [`GenesysError::NotFound`].
    fn may_read(&self) -> impl Future<Output = Result<bool, GenesysError>> + Send;

    /// Writes an empty set of attributes on a conversation that does not exist. Call it only if
    /// [`may_read`](Self::may_read) returned `Ok(false)`.
    ///
    /// # Errors
    /// The errors of [`Genesys::mark`], except [`GenesysError::NotFound`] and [`GenesysError::Refused`]: a call with
    /// such an answer did not fail because of a missing permission.
    fn may_mark(&self) -> impl Future<Output = Result<(), GenesysError>> + Send;

    /// Searches for a conversation that does not exist, with the query of `diagnose --correlate`.
    ///
    /// # Errors
    /// [`GenesysError`] if the search fails.
    fn may_search(&self) -> impl Future<Output = Result<(), GenesysError>> + Send;
}

impl Permissions for GenesysClient {
    fn form(&self) -> ApiForm {
        GenesysClient::form(self)
    }

    async fn may_read(&self) -> Result<bool, GenesysError> {
        let Some(id) = InteractionId::new(NIL_UUID) else {
            return Ok(false);
        };
        let nobody = InteractionRef {
            id,
            participant: None,
        };
        match self.fetch(&nobody).await {
            Ok(_) => Ok(true),
            Err(GenesysError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn may_mark(&self) -> Result<(), GenesysError> {
        let path = format!("api/v2/conversations/{NIL_UUID}/participants/{NIL_UUID}/attributes");
        let nothing = json!({ "attributes": {} }).to_string();
        let url = endpoint(self, &path);
        match self
            .call(Call::Mark, Method::PATCH, url, Some(nothing))
            .await
        {
            Ok(_)
            | Err(
                GenesysError::NotFound
                | GenesysError::Refused { .. }
                | GenesysError::Conflict { .. },
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn may_search(&self) -> Result<(), GenesysError> {
        let Some(nobody) = InteractionId::new(NIL_UUID) else {
            return Ok(());
        };
        let query = ConversationQuery {
            ids: &[nobody],
            from: YEAR_2020,
            until: YEAR_2020.plus(DAY),
        };
        self.page(query, 1).await?;
        Ok(())
    }
}
