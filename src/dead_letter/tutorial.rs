//! The hand-written bodies that point at an interaction: `{"interactionId":…}`, or the same inside
//! `detail` with an `errorMessage` beside it.

use std::borrow::Cow;

use super::json::Body;
use super::{DeadLetter, genesys_event};
use crate::failure::OriginalFailure;
use crate::message::Message;

/// Such a body; `None` when it names no interaction.
pub(super) fn open_interaction<'m>(
    message: &'m Message,
    body: &Body<'m>,
) -> Option<DeadLetter<'m>> {
    let object = body.object()?;
    let interaction = genesys_event::interaction(object)?;
    Some(DeadLetter {
        // These bodies have no id of their own: two equal ones may be two events.
        event_id: None,
        event_type: genesys_event::event_type(object),
        interaction: Some(interaction),
        payload: Cow::Borrowed(&message.body),
        failure: OriginalFailure {
            error_message: object.string("errorMessage"),
            ..OriginalFailure::default()
        },
    })
}
