//! The real API: conversations, and attributes on one of their participants.

use genesys_replay::dead_letter::{InteractionId, InteractionRef};
use genesys_replay::genesys::{Interaction, RetryMark};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::answer::join_path;
use super::body::parse_object;

#[derive(Deserialize)]
struct Conversation {
    participants: Vec<Participant>,
}

#[derive(Deserialize)]
struct Participant {
    id: String,
    purpose: Option<String>,
}

pub(super) fn fetch_url(base: &Url, id: &InteractionId) -> Url {
    join_path(base, &["api", "v2", "conversations", id.as_str()])
}

pub(super) fn mark_url(base: &Url, id: &InteractionId, participant: &InteractionId) -> Url {
    join_path(
        base,
        &[
            "api",
            "v2",
            "conversations",
            id.as_str(),
            "participants",
            participant.as_str(),
            "attributes",
        ],
    )
}

/// Returns the body of a mark: a flat map of strings, because the API has no nested attributes.
pub(super) fn mark_body(mark: RetryMark) -> String {
    json!({ "attributes": {
        "system.retryAttempt": mark.attempt.to_string(),
        "system.retryStatus": mark.status.as_str(),
    }})
    .to_string()
}

/// Returns the conversation with the participant that receives the mark. The order of choice is: the event's
/// own participant if the conversation has it, the customer, the first participant. Returns `None` if the
/// answer is not a conversation, or has no participants.
pub(super) fn read(body: &[u8], wanted: &InteractionRef) -> Option<Interaction> {
    let Conversation { participants } = parse_object(body)?;
    let has = |wanted: &str| participants.iter().any(|participant| participant.id == wanted);
    let customer = || {
        participants
            .iter()
            .find(|participant| {
                matches!(participant.purpose.as_deref(), Some("customer" | "external"))
            })
            .or_else(|| participants.first())
            .map(|participant| participant.id.clone())
    };
    let participant = wanted
        .participant
        .clone()
        .filter(|id| has(id))
        .or_else(customer)
        .and_then(InteractionId::new)?;
    Some(Interaction::Conversation { id: wanted.id.clone(), participant })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant_of(body: &str, wanted: Option<&str>) -> Option<String> {
        let wanted = InteractionRef {
            id: InteractionId::new("conversation-1")?,
            participant: wanted.map(str::to_owned),
        };
        match read(body.as_bytes(), &wanted)? {
            Interaction::Conversation { participant, .. } => Some(participant.to_string()),
            Interaction::Record { .. } => None,
        }
    }

    #[test]
    fn mark_goes_to_the_participant_else_customer_else_first() {
        let body = r#"{"participants":[{"id":"agent","purpose":"agent"},{"id":"caller","purpose":"customer"},{"id":"x"}]}"#;
        assert_eq!(participant_of(body, Some("x")).as_deref(), Some("x"));
        assert_eq!(participant_of(body, Some("gone")).as_deref(), Some("caller"));
        assert_eq!(participant_of(body, None).as_deref(), Some("caller"));
        let external = r#"{"participants":[{"id":"agent","purpose":"agent"},{"id":"caller","purpose":"external"}]}"#;
        assert_eq!(participant_of(external, None).as_deref(), Some("caller"));
        let nobody =
            r#"{"participants":[{"id":"ivr","purpose":"ivr"},{"id":"agent","purpose":"agent"}]}"#;
        assert_eq!(participant_of(nobody, None).as_deref(), Some("ivr"));
    }

    #[test]
    fn response_is_refused_when_it_is_not_a_conversation() {
        for body in [
            "",
            "{}",
            "<html>",
            "[]",
            r#"{"participants":[]}"#,
            r#"{"participants":[{"id":"../x"}]}"#,
            r#"[[{"id":"caller","purpose":"customer"}]]"#,
        ] {
            assert_eq!(participant_of(body, None), None, "{body}");
        }
    }
}
