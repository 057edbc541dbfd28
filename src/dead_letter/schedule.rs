//! Dead letters of `EventBridge` Scheduler. The body holds the parameters of the call that failed, such as
//! `{"QueueUrl":…,"MessageBody":…}`. A call with a supported target becomes that target and its payload.

mod call;

use std::borrow::Cow;

use call::ScheduledCall;
pub use call::{BusEvent, CallParameters};

use super::event_bridge::{execution_id, failure_around};
use super::genesys_event::InnerEvent;
use super::json::Object;
use super::{DeadLetter, Envelope, ParsedMessage, UnreplayableReason};

/// Recognises a payload that was cut off before it was queued: another delivery would send half of it.
pub(super) fn open_truncated<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    envelope
        .attribute("IS_PAYLOAD_TRUNCATED")
        .filter(|value| value.trim().eq_ignore_ascii_case("true"))
        .map(|_| ParsedMessage::Unreplayable(UnreplayableReason::Truncated))
}

/// Parses a dead letter of a schedule whose call has a supported target. Other calls are left to the parser of rules: the
/// body is then delivered unchanged, if a target is set.
pub(super) fn open_dead_letter<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let action = envelope.attribute("TARGET_ARN")?;
    let schedule = envelope.attribute("SCHEDULE_ARN");
    let call = ScheduledCall::read(action, schedule, envelope.body.object()?)?;
    let mut event = InnerEvent::read(Object::read(&call.payload).as_ref());
    event.id = execution_id(envelope);
    if let Some(named) = &call.parameters.event {
        event.event_type = Some(named.detail_type.clone());
    }
    let mut failure = failure_around(envelope);
    failure.target_arn = Some(call.target_arn);
    let mut dead_letter = DeadLetter::new(event, Cow::Owned(call.payload), failure);
    dead_letter.call = Some(Box::new(call.parameters));
    Some(dead_letter.into())
}
