//! The legacy sample API: interactions with nested attributes.

use genesys_replay::dead_letter::{InteractionId, InteractionRef};
use genesys_replay::genesys::{Interaction, RetryMark};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::answer::join_path;
use super::body::parse_object;

/// The answer to a GET. Any object is accepted, because no member is needed.
#[derive(Deserialize)]
struct AnyInteraction {}

pub(super) fn url(base: &Url, id: &InteractionId) -> Url {
    join_path(base, &["api", "v2", "interactions", id.as_str()])
}

pub(super) fn mark_body(mark: RetryMark) -> String {
    json!({ "attributes": { "system": {
        "retryAttempt": mark.attempt,
        "retryStatus": mark.status.as_str(),
    }}})
    .to_string()
}

/// Returns the interaction; `None` if the answer is not an object.
pub(super) fn read(body: &[u8], wanted: &InteractionRef) -> Option<Interaction> {
    parse_object::<AnyInteraction>(body)?;
    Some(Interaction::Record { id: wanted.id.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interaction_is_any_json_object() {
        let wanted = InteractionId::new("c-1").map(|id| InteractionRef { id, participant: None });
        for (body, is_one) in [
            ("{}", true),
            (r#"{"id":"c-1","attributes":{}}"#, true),
            ("", false),
            ("[]", false),
            ("\"c-1\"", false),
            ("<html>", false),
        ] {
            let found = wanted.as_ref().and_then(|it| read(body.as_bytes(), it));
            assert_eq!(found.is_some(), is_one, "{body}");
        }
    }
}
