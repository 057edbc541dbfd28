//! Messages from ingest: malformed webhooks, and the ids that ingest assigns.

use std::fmt;

use super::event_bridge::is_from_event_bridge;
use super::{Envelope, EventId, FormerId, ParsedMessage, UnreplayableReason};
use crate::digest;
use crate::message::ingested;

/// The reasons why the body of a webhook cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The body is not UTF-8 text.
    NotUtf8,
    /// The body is not JSON.
    NotJson,
    /// The body is JSON, but not an object.
    NotAnObject,
    /// The body is an object with characters that SQS rejects.
    NotQueueable,
}

impl Malformed {
    /// Every reason.
    pub const ALL: [Self; 4] =
        [Self::NotUtf8, Self::NotJson, Self::NotAnObject, Self::NotQueueable];

    /// Returns the value of the message attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::NotQueueable => "not_queueable",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "is not UTF-8 text",
            Self::NotJson => "is not JSON",
            Self::NotAnObject => "is JSON, but not an object",
            Self::NotQueueable => "has characters that SQS does not accept",
        })
    }
}

/// Recognises a webhook that ingest marked as malformed.
pub(super) fn open_marked_webhook<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let word =
        envelope.attribute(ingested::MALFORMED).filter(|_| is_from(envelope, ingested::WEBHOOK))?;
    let malformed = Malformed::ALL.into_iter().find(|it| it.as_str() == word)?;
    Some(ParsedMessage::Unreplayable(UnreplayableReason::Webhook(malformed)))
}

/// Returns true if the message came through ingest from this origin. Messages of a rule or a schedule never
/// did.
pub(super) fn is_from(envelope: &Envelope<'_>, origin: &str) -> bool {
    envelope.attribute(ingested::ORIGIN) == Some(origin) && !is_from_event_bridge(envelope)
}

/// Returns the id for an event without an id of its own: the sender's id, else the id of the request. A
/// message that SQS stored twice is still one event.
pub(super) fn given_id(envelope: &Envelope<'_>, payload: &str) -> Option<EventId> {
    sender_id(envelope, payload).or_else(|| receipt_id(envelope))
}

/// Returns the sender's id and 16 digits of the payload's SHA-256. The sender's id may name the configured
/// webhook, which many events share. An id that cannot be used in a key is replaced by its digest.
pub(super) fn sender_id(envelope: &Envelope<'_>, payload: &str) -> Option<EventId> {
    let id = envelope.attribute(ingested::WEBHOOK_ID)?;
    let of = |id: &str| EventId::new(format!("{id}-{}", digest::short(payload)));
    of(id).or_else(|| of(&digest::hexadecimal(id)))
}

/// Returns the id that version 0.1.0 gave an event without the id of a whole event: the sender's id, else `own_id`, else
/// the id of the request, else the message id. `None` if it is `current`.
pub(super) fn former_id(
    envelope: &Envelope<'_>,
    own_id: Option<EventId>,
    current: Option<&EventId>,
) -> Option<FormerId> {
    let of_sender = envelope.attribute(ingested::WEBHOOK_ID);
    let is_shared = of_sender.is_some();
    let of_sender = of_sender.and_then(|id| EventId::new(id).or_else(|| digest_id(id)));
    let id = of_sender
        .or(own_id)
        .or_else(|| receipt_id(envelope))
        .or_else(|| EventId::new(envelope.message.id.as_str()))?;
    current.is_some_and(|current| *current != id).then_some(FormerId { id, is_shared })
}

fn digest_id(id: &str) -> Option<EventId> {
    EventId::new(digest::hexadecimal(id))
}

/// Returns the id of the request that carried the message.
pub(super) fn receipt_id(envelope: &Envelope<'_>) -> Option<EventId> {
    envelope.attribute(ingested::RECEIPT_ID).and_then(EventId::new)
}
