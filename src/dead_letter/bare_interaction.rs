//! Hand-written bodies that name an interaction: `{"interactionId":…}`, or the same inside `detail` with an
//! `errorMessage` beside it.

use super::event_bridge::failure_around;
use super::genesys_event::InnerEvent;
use super::{DeadLetter, Envelope, ParsedMessage};

/// Parses such a body; returns `None` if it names no interaction.
pub(super) fn open_interaction<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let object = envelope.body.object()?;
    let event = InnerEvent::read(Some(object));
    event.interaction.as_ref()?;
    let mut failure = failure_around(envelope);
    failure.error_message = object.string("errorMessage").or(failure.error_message);
    Some(DeadLetter::new(event, envelope.text, failure).into())
}
