//! Failed events from another system, which the operator's command imported.

use super::event_bridge::failure_around;
use super::genesys_event::{InnerEvent, is_about_attributes};
use super::json::Body;
use super::{DeadLetter, Envelope, ParsedMessage};
use crate::message::{imported, ingested};

/// Parses an imported event. The body is the payload, in any shape: the import has read the failure around it.
pub(super) fn open_imported<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let is_import = envelope.attribute(ingested::ORIGIN) == Some(imported::IMPORT);
    if !is_import || matches!(envelope.body, Body::Empty) {
        return None;
    }
    let mut event = InnerEvent::read(envelope.body.object());
    if event.event_type.is_none() {
        event.event_type = envelope.attribute(imported::EVENT_TYPE).map(str::to_owned);
        event.shows_mark |= event.event_type.as_deref().is_some_and(is_about_attributes);
    }
    Some(DeadLetter::new(event, envelope.text, failure_around(envelope)).into())
}
