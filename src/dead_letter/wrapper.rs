//! The wrapper of the HTTP ingest: `{"eventType":"dead-letter",…,"originalEvent":{…}}`.

use super::genesys_event::InnerEvent;
use super::json::Object;
use super::{DeadLetter, Envelope, NotAnEvent, Opened};
use crate::failure::OriginalFailure;

/// A wrapped event; what is delivered is the `originalEvent`.
pub(super) fn open_wrapper<'m>(envelope: &Envelope<'m>) -> Option<Opened<'m>> {
    let wrapper = envelope.body.object()?;
    if wrapper.string("eventType")? != "dead-letter" {
        return None;
    }
    let Some(payload) = wrapper.raw("originalEvent") else {
        return Some(Opened::NotAnEvent(NotAnEvent::EmptyWrapper));
    };
    let failure = OriginalFailure {
        error_message: wrapper.string("failureReason"),
        retry_attempts: wrapper.number("retryCount").unwrap_or(0),
        ..OriginalFailure::default()
    };
    let event = InnerEvent::read(Object::read(payload).as_ref());
    Some(DeadLetter::new(event, payload, failure).into())
}
