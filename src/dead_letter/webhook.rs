//! The webhook of a Genesys Cloud outbound campaign.

use super::event_bridge::failure_around;
use super::ingest::{is_from, sender_id};
use super::json::{Body, Object};
use super::{DeadLetter, Envelope, EventId, InnerEvent, Malformed, ParsedMessage};
use crate::digest;
use crate::message::ingested;

/// A webhook that ingest has taken, whatever it looks like: delivered as it stands.
///
/// It may lack members, for Genesys sends test events and changes its payloads, and it is the target
/// that has to understand them. Nor is it taken for an envelope of any kind.
pub(super) fn parse_ingested_webhook<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let webhook = envelope
        .body
        .object()
        .filter(|_| is_from(envelope, ingested::WEBHOOK))?;
    Some(opened(envelope, own_id(webhook)))
}

/// A webhook that something else has put on the queue, known by its members.
pub(super) fn open_webhook<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let own_id = own_id(envelope.body.object()?)?;
    Some(opened(envelope, Some(own_id)))
}

/// A webhook has no interaction, and an id by which a repeated call is known.
fn opened<'m>(envelope: &Envelope<'m>, own_id: Option<String>) -> ParsedMessage<'m> {
    let event = InnerEvent {
        id: sender_id(envelope, envelope.text)
            .or_else(|| EventId::new(own_id?))
            .or_else(|| EventId::new(digest::hexadecimal(envelope.text))),
        ..InnerEvent::default()
    };
    let mut failure = failure_around(envelope);
    if let Some(count) = envelope.attribute(ingested::RETRY_COUNT) {
        failure.retry_attempts = count.parse().unwrap_or(0);
    }
    DeadLetter::new(event, envelope.text, failure).into()
}

/// Call, status and time tell one webhook from another; `None` when it is not a whole webhook.
fn own_id(webhook: &Object<'_>) -> Option<String> {
    if !webhook.has("campaignId") && !webhook.has("contactId") {
        return None;
    }
    let call = webhook.string("callId")?;
    let status = webhook.string("status")?;
    let timestamp = webhook.string("timestamp")?;
    Some(format!("{call}/{status}/{timestamp}"))
}

/// Reads the body of a webhook that has come over HTTP.
///
/// # Errors
/// Why it can only be kept.
pub fn webhook_text(body: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed::NotUtf8)?;
    match Body::read(text) {
        Body::Object(_) => Ok(text),
        Body::OtherJson => Err(Malformed::NotAnObject),
        Body::Empty | Body::NotJson => Err(Malformed::NotJson),
    }
}
