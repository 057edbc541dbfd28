//! What a raw message turns out to be.
//!
//! One file per shape, each recognising its own; [`open`] asks them in order. A shape that is not
//! there yet is added as one more file and one more line in `open`.

mod event_bridge;
mod genesys_event;
mod json;
mod tutorial;

use std::borrow::Cow;

pub use genesys_event::{InteractionId, InteractionRef};

use crate::failure::OriginalFailure;
use crate::message::Message;

/// The longest event id that is used as a key, in bytes; longer ones fall back to the message id.
const LONGEST_EVENT_ID: usize = 256;

/// A message that is an event which once failed to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<'m> {
    /// The event's own id, where it has a usable one.
    pub event_id: Option<EventId>,
    /// Its type with placeholders, such as `v2.detail.events.conversation.{id}.customer.end`.
    pub event_type: Option<String>,
    /// The interaction to mark, for events that belong to one.
    pub interaction: Option<InteractionRef>,
    /// What is delivered, byte for byte.
    pub payload: Cow<'m, str>,
    /// What is known of the delivery that failed.
    pub failure: OriginalFailure,
}

/// An event's own id: printable ASCII without spaces, short enough for a key and a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId(String);

impl EventId {
    /// Takes an id, or `None` when it cannot serve as a key or stand in an HTTP header.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let usable = !id.is_empty()
            && id.len() <= LONGEST_EVENT_ID
            && id.bytes().all(|byte| byte.is_ascii_graphic());
        usable.then_some(Self(id))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What [`open`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened<'m> {
    /// An event to be replayed.
    DeadLetter(Box<DeadLetter<'m>>),
    /// No shape fits: kept for a person to look at, never dropped.
    NotAnEvent(NotAnEvent),
}

/// Why a message is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    /// There is nothing in it.
    #[error("the message body is empty")]
    Empty,
    /// It cannot be read, and no attribute says where it comes from.
    #[error("the message body is not JSON and carries no EventBridge attributes")]
    NotJson,
    /// It can be read, but nothing in it says that it is an event.
    #[error("the message body is JSON of no known shape and carries no EventBridge attributes")]
    UnknownShape,
}

/// Finds out what a message is. Never fails: what is not understood is [`Opened::NotAnEvent`].
#[must_use]
pub fn open(message: &Message) -> Opened<'_> {
    let body = json::Body::read(&message.body);
    event_bridge::open_dead_letter(message, &body)
        .or_else(|| event_bridge::open_event(message, &body))
        .or_else(|| tutorial::open_interaction(message, &body))
        .map_or_else(
            || {
                Opened::NotAnEvent(match body {
                    json::Body::Empty => NotAnEvent::Empty,
                    json::Body::NotJson => NotAnEvent::NotJson,
                    json::Body::Object(_) | json::Body::OtherJson => NotAnEvent::UnknownShape,
                })
            },
            |letter| Opened::DeadLetter(Box::new(letter)),
        )
}
