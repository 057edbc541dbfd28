//! The webhook of a Genesys Cloud outbound campaign.

use super::event_bridge::failure_around;
use super::{DeadLetter, Envelope, EventId, InnerEvent, Opened};

/// A webhook: no interaction, and an id by which a repeated call is known.
pub(super) fn open_webhook<'m>(envelope: &Envelope<'m>) -> Option<Opened<'m>> {
    let webhook = envelope.body.object()?;
    if !webhook.has("campaignId") && !webhook.has("contactId") {
        return None;
    }
    let call = webhook.string("callId")?;
    let status = webhook.string("status")?;
    let timestamp = webhook.string("timestamp")?;
    let event = InnerEvent {
        id: envelope
            .attribute("WebhookId")
            .and_then(EventId::new)
            .or_else(|| EventId::new(format!("{call}/{status}/{timestamp}"))),
        ..InnerEvent::default()
    };
    let mut failure = failure_around(envelope);
    if let Some(count) = envelope.attribute("RetryCount") {
        failure.retry_attempts = count.parse().unwrap_or(0);
    }
    Some(DeadLetter::new(event, envelope.text, failure).into())
}
