//! Messages that an event bus wrote: they tell of events without holding them.

use super::{Envelope, ParsedMessage, UnreplayableReason};

/// A custom event bus's record: several failed events, by id only.
pub(super) fn open_custom_bus_record<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let body = envelope.body.object()?;
    let record = body.has("failedMessages") && body.has("busArn");
    record.then_some(ParsedMessage::Unreplayable(
        UnreplayableReason::CustomBusRecord,
    ))
}

/// An event that the bus could not decrypt: an error code, but neither rule nor target, since the
/// event never reached one, around a body of no other shape.
pub(super) fn open_encrypted_event<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    envelope.body.object()?;
    envelope.attribute("ERROR_CODE")?;
    Some(ParsedMessage::Unreplayable(UnreplayableReason::Encrypted))
}
