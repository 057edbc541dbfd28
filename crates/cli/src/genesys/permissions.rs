//! The permissions of the OAuth client, tested without changing anything.

use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::{InteractionId, InteractionRef};
use genesys_replay::genesys::{Call, Genesys, GenesysError};
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

/// Reads an interaction that does not exist. Returns `Ok(false)` if Genesys Cloud did not find it, as expected.
pub(crate) async fn may_read(client: &GenesysClient) -> Result<bool, GenesysError> {
    let Some(id) = InteractionId::new(NIL_UUID) else {
        return Ok(false);
    };
    let nobody = InteractionRef { id, participant: None };
    match client.fetch(&nobody).await {
        Ok(_) => Ok(true),
        Err(GenesysError::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes an empty set of attributes on a conversation that does not exist. Call it only if [`may_read`] returned
/// `Ok(false)`. Some errors do not mean that a permission is missing.
pub(crate) async fn may_mark(client: &GenesysClient) -> Result<(), GenesysError> {
    let path = format!("api/v2/conversations/{NIL_UUID}/participants/{NIL_UUID}/attributes");
    let nothing = json!({ "attributes": {} }).to_string();
    let url = endpoint(client, &path);
    let answer = client.call(Call::Mark, Method::PATCH, url, Some(nothing));
    match answer.await {
        Ok(_)
        | Err(
            GenesysError::NotFound | GenesysError::Refused { .. } | GenesysError::Conflict { .. },
        ) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Searches for a conversation that does not exist, with the query of `diagnose --correlate`.
pub(crate) async fn may_search(client: &GenesysClient) -> Result<(), GenesysError> {
    let Some(nobody) = InteractionId::new(NIL_UUID) else {
        return Ok(());
    };
    let query = ConversationQuery { ids: &[nobody], from: YEAR_2020, until: YEAR_2020.plus(DAY) };
    client.page(query, 1).await.map(drop)
}
