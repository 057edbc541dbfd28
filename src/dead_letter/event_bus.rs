//! Messages that an event bus wrote: they report events without their content.

use super::{Envelope, ParsedMessage, UnreplayableReason};

/// Recognises the record of a custom event bus: several failed events, by id only.
pub(super) fn open_custom_bus_record<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let body = envelope.body.object()?;
    let record = body.has("failedMessages") && body.has("busArn");
    record.then_some(ParsedMessage::Unreplayable(UnreplayableReason::CustomBusRecord))
}

/// Recognises an event that the bus could not decrypt: an error code around a body of no other shape. It has
/// neither rule nor target, because the event never reached one.
pub(super) fn open_encrypted_event<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    envelope.body.object()?;
    envelope.attribute("ERROR_CODE")?;
    Some(ParsedMessage::Unreplayable(UnreplayableReason::Encrypted))
}
