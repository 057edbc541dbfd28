//! Messages that `EventBridge` wrote: a rule's dead letter, and an event that a rule sent to a queue.

use std::borrow::Cow;

use super::json::{Body, Object};
use super::{DeadLetter, EventId, genesys_event};
use crate::failure::OriginalFailure;
use crate::message::Message;

/// The attributes by which `EventBridge` marks its dead letters; four or six come together.
const MARKS: [&str; 3] = ["RULE_ARN", "TARGET_ARN", "ERROR_CODE"];

/// A rule's dead letter: attributes say why it failed, the body is what the target would have got,
/// which an input transformer may have made into any JSON value.
pub(super) fn open_dead_letter<'m>(
    message: &'m Message,
    body: &Body<'m>,
) -> Option<DeadLetter<'m>> {
    if !MARKS.iter().any(|mark| message.attribute(mark).is_some()) {
        return None;
    }
    let attribute = |name| {
        message
            .attribute(name)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    let failure = OriginalFailure {
        error_code: attribute("ERROR_CODE"),
        error_message: attribute("ERROR_MESSAGE"),
        rule_arn: attribute("RULE_ARN"),
        target_arn: attribute("TARGET_ARN"),
        retry_attempts: message
            .attribute("RETRY_ATTEMPTS")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0),
    };
    Some(letter(message, body.object(), failure))
}

/// A plain event, as a rule sends it to a queue.
pub(super) fn open_event<'m>(message: &'m Message, body: &Body<'m>) -> Option<DeadLetter<'m>> {
    let event = body.object().filter(|object| is_event(object))?;
    Some(letter(message, Some(event), OriginalFailure::default()))
}

fn is_event(object: &Object<'_>) -> bool {
    ["detail-type", "source", "detail"]
        .iter()
        .all(|name| object.has(name))
}

fn letter<'m>(
    message: &'m Message,
    event: Option<&Object<'m>>,
    failure: OriginalFailure,
) -> DeadLetter<'m> {
    DeadLetter {
        // A transformed input may have an "id" of any meaning: only a whole event's is the event's.
        event_id: event
            .filter(|object| is_event(object))
            .and_then(|object| EventId::new(object.string("id")?)),
        event_type: event.and_then(genesys_event::event_type),
        interaction: event.and_then(genesys_event::interaction),
        payload: Cow::Borrowed(&message.body),
        failure,
    }
}
