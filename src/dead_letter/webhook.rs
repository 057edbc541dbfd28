//! The webhook of a Genesys Cloud outbound campaign.

use super::event_bridge::failure_around;
use super::ingest::{former_id, is_from, sender_id};
use super::json::{Body, Object};
use super::{DeadLetter, Envelope, EventId, InnerEvent, Malformed, ParsedMessage};
use crate::digest;
use crate::message::ingested;

/// Parses a webhook that ingest accepted, with any content. The body is delivered unchanged.
///
/// Members may be missing: Genesys sends test events and changes its payloads, and only the target must
/// understand them. The body is never parsed as an envelope.
pub(super) fn parse_ingested_webhook<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let webhook = envelope.body.object().filter(|_| is_from(envelope, ingested::WEBHOOK))?;
    Some(opened(envelope, webhook))
}

/// Parses a webhook that another system put on the queue, recognised by a campaign or contact and another member.
pub(super) fn open_webhook<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let webhook = envelope.body.object()?;
    let has = |names: &[&str]| names.iter().filter(|name| webhook.text(name).is_some()).count();
    let owners = has(&["campaignId", "contactId"]);
    let is_webhook = owners > 0 && owners + has(&["callId", "status", "timestamp"]) > 1;
    is_webhook.then(|| opened(envelope, webhook))
}

/// Returns a webhook as a dead letter. It has no interaction, and an id that identifies a repeated call.
fn opened<'m>(envelope: &Envelope<'m>, webhook: &Object<'_>) -> ParsedMessage<'m> {
    let id = sender_id(envelope, envelope.text)
        .or_else(|| own_id(webhook, Object::text))
        .or_else(|| EventId::new(digest::hexadecimal(envelope.text)));
    // Version 0.1.0 did not accept numbers here.
    let former_id = former_id(envelope, own_id(webhook, Object::string), id.as_ref());
    let mut failure = failure_around(envelope);
    if let Some(count) = envelope.attribute(ingested::RETRY_COUNT) {
        failure.retry_attempts = count.parse().unwrap_or(0);
    }
    let event = InnerEvent { id, ..InnerEvent::default() };
    DeadLetter { former_id, ..DeadLetter::new(event, envelope.text, failure) }.into()
}

/// Returns an id from call, status and time, as `read` returns them; `None` if one of them is missing.
fn own_id<'w>(
    webhook: &Object<'w>,
    read: fn(&Object<'w>, &str) -> Option<String>,
) -> Option<EventId> {
    if !webhook.has("campaignId") && !webhook.has("contactId") {
        return None;
    }
    let call = read(webhook, "callId")?;
    let status = read(webhook, "status")?;
    let timestamp = read(webhook, "timestamp")?;
    EventId::new(format!("{call}/{status}/{timestamp}"))
}

/// Reads the body of a webhook that was received over HTTP.
///
/// # Errors
/// [`Malformed`]: the webhook can be archived, but not replayed.
pub fn webhook_text(body: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed::NotUtf8)?;
    match Body::read(text) {
        Body::Object(_) => Ok(text),
        Body::OtherJson => Err(Malformed::NotAnObject),
        Body::Empty | Body::NotJson => Err(Malformed::NotJson),
    }
}
