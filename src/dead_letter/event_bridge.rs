//! Messages that `EventBridge` wrote: dead letters of a rule or a schedule, and events that a rule sent to a
//! queue.

use super::genesys_event::{InnerEvent, is_detail, is_event};
use super::{DeadLetter, Envelope, EventId, ParsedMessage};
use crate::failure::OriginalFailure;
use crate::message::{Message, imported};

/// The attributes that name the origin and the target of an event. Every dead letter of a rule or a schedule
/// has two of them: its own ARN and the target's.
const ORIGINS: [&str; 3] = ["RULE_ARN", "TARGET_ARN", "SCHEDULE_ARN"];

/// Parses a dead letter of a rule or a schedule. Attributes describe the failure. The body is the target's
/// input, which an input transformer may have turned into any JSON value.
pub(super) fn open_dead_letter<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    if !is_from_event_bridge(envelope) {
        return None;
    }
    let mut event = InnerEvent::read(envelope.body.object());
    if envelope.attribute("EXECUTION_ID").is_some() {
        event.id = execution_id(envelope);
    }
    Some(DeadLetter::new(event, envelope.text, failure_around(envelope)).into())
}

/// Returns the id of the schedule's execution. A schedule sends the same payload at every execution, so only this id
/// distinguishes them.
pub(super) fn execution_id(envelope: &Envelope<'_>) -> Option<EventId> {
    envelope.attribute("EXECUTION_ID").and_then(EventId::new)
}

/// Returns true if attributes of a rule or a schedule mark the body as the input of a target.
pub(super) fn is_from_event_bridge(envelope: &Envelope<'_>) -> bool {
    ORIGINS.iter().any(|name| envelope.attribute(name).is_some())
}

/// Parses a plain event or its detail, as a rule sends it to a queue.
pub(super) fn open_event<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let object = envelope.body.object().filter(|it| is_event(it) || is_detail(it))?;
    let event = InnerEvent::read(Some(object));
    Some(DeadLetter::new(event, envelope.text, failure_around(envelope)).into())
}

/// Parses any other message with an error code. Its body is delivered unchanged.
pub(super) fn parse_rule_body<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    envelope.attribute("ERROR_CODE")?;
    let event = InnerEvent::read(envelope.body.object());
    Some(DeadLetter::new(event, envelope.text, failure_around(envelope)).into())
}

/// Returns the failure that the attributes around a body describe.
pub(super) fn failure_around(envelope: &Envelope<'_>) -> OriginalFailure {
    failure(|name| envelope.attribute(name))
}

/// Returns the failure that a message's `EventBridge` attributes describe; empty without such attributes.
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
        stack_trace: text(imported::STACK_TRACE),
        is_targets_text: false,
        retry_attempts: attribute("RETRY_ATTEMPTS")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0),
    }
}
