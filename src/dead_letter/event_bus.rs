//! Messages that an event bus wrote: they report events without their content.

use super::{Envelope, ParsedMessage, UnreplayableReason};

/// The message attributes of a record of a custom event bus.
const BUS_ATTRIBUTES: [&str; 2] = ["SUBSCRIBER_ARN", "BUS_ARN"];

/// Recognises the failure record of a custom event bus: several failed events, by id only.
pub(super) fn open_custom_bus_record<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let is_from_bus = BUS_ATTRIBUTES.iter().any(|name| envelope.attribute(name).is_some());
    let is_record =
        || envelope.body.object().is_some_and(|it| it.has("failedMessages") && it.has("busArn"));
    (is_from_bus || is_record())
        .then_some(ParsedMessage::Unreplayable(UnreplayableReason::CustomBusRecord))
}

/// Recognises an event that the bus could not decrypt: an error code around a body of no other shape. It has
/// neither rule nor target, because the event never reached one.
pub(super) fn open_encrypted_event<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    envelope.body.object()?;
    envelope.attribute("ERROR_CODE")?;
    Some(ParsedMessage::Unreplayable(UnreplayableReason::Encrypted))
}
