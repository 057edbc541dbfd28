//! The tutorials' API: interactions with nested attributes.

use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{Interaction, RetryMark};
use crate::dead_letter::{InteractionId, InteractionRef};

/// The answer to a GET: any object, since nothing of it is needed.
#[derive(Deserialize)]
struct AnyInteraction {}

pub(super) fn url(base: &Url, id: &InteractionId) -> Url {
    super::client::below(base, &["api", "v2", "interactions", id.as_str()])
}

pub(super) fn mark_body(mark: RetryMark) -> String {
    json!({ "attributes": { "system": {
        "retryAttempt": mark.attempt,
        "retryStatus": mark.status.as_str(),
    }}})
    .to_string()
}

/// `None` when the answer is no object.
pub(super) fn read(body: &[u8], wanted: &InteractionRef) -> Option<Interaction> {
    serde_json::from_slice::<AnyInteraction>(body).ok()?;
    Some(Interaction::Record {
        id: wanted.id.clone(),
    })
}
