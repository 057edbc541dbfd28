//! Messages that `EventBridge` wrote: the dead letters of a rule and of a schedule, and an event
//! that a rule sent to a queue.

use super::genesys_event::{InnerEvent, is_event};
use super::{DeadLetter, Envelope, EventId, ParsedMessage};
use crate::failure::OriginalFailure;
use crate::message::Message;

/// The attributes that name where an event was going: every dead letter of a rule or a schedule
/// has its own and the target's.
const ORIGINS: [&str; 3] = ["RULE_ARN", "TARGET_ARN", "SCHEDULE_ARN"];

/// A rule's or a schedule's dead letter: attributes say why it failed, the body is what the target
/// would have got, which an input transformer may have made into any JSON value.
pub(super) fn open_dead_letter<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    if !is_from_event_bridge(envelope) {
        return None;
    }
    let mut event = InnerEvent::read(envelope.body.object());
    if let Some(execution) = envelope.attribute("EXECUTION_ID") {
        // A schedule sends the same input every time: the execution tells one time from another.
        event.id = EventId::new(execution);
    }
    Some(DeadLetter::new(event, envelope.text, failure_around(envelope)).into())
}

/// Whether a rule or a schedule says that the body is what a target should have got.
pub(super) fn is_from_event_bridge(envelope: &Envelope<'_>) -> bool {
    ORIGINS
        .iter()
        .any(|name| envelope.attribute(name).is_some())
}

/// A plain event, as a rule sends it to a queue.
pub(super) fn open_event<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let object = envelope.body.object().filter(|object| is_event(object))?;
    let event = InnerEvent::read(Some(object));
    Some(DeadLetter::new(event, envelope.text, failure_around(envelope)).into())
}

/// What carries an error code and is nothing else that is known: delivered as it stands.
pub(super) fn parse_rule_body<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    envelope.attribute("ERROR_CODE")?;
    let event = InnerEvent::read(envelope.body.object());
    Some(DeadLetter::new(event, envelope.text, failure_around(envelope)).into())
}

/// What the attributes around a body say of its failure.
pub(super) fn failure_around(envelope: &Envelope<'_>) -> OriginalFailure {
    failure(|name| envelope.attribute(name))
}

/// What a message's `EventBridge` attributes say; nothing where there are none.
#[must_use]
pub fn original_failure(message: &Message) -> OriginalFailure {
    failure(|name| message.attribute(name).filter(|value| !value.is_empty()))
}

fn failure<'a>(attribute: impl Fn(&str) -> Option<&'a str>) -> OriginalFailure {
    let text = |name| attribute(name).map(str::to_owned);
    OriginalFailure {
        error_code: text("ERROR_CODE"),
        error_message: text("ERROR_MESSAGE"),
        rule_arn: text("RULE_ARN"),
        target_arn: text("TARGET_ARN"),
        is_targets_text: false,
        retry_attempts: attribute("RETRY_ATTEMPTS")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0),
    }
}
