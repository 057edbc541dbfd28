//! Taking dead letters and webhooks that come from outside, and putting them on the queue.
//!
//! Nothing is replayed here: what is on the queue is safe, and the replay function takes it from
//! there, with its ledger, its waits and its archive.

pub mod app;
pub mod config;
pub mod http;
mod keys;
mod log;
mod refusal;
mod signature;
pub mod startup;
mod subscription;

use std::string::FromUtf8Error;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay::clock::{Clock, Random};
use genesys_replay::dead_letter::{EventId, Malformed, ParsedMessage, Wrapper, webhook_text};
use genesys_replay::genesys::{Standing, Subscriptions};
use genesys_replay::message::{Message, MessageId, ingested};
use genesys_replay::queue::{AttributeValue, MessageSender, NewMessage, PutError, takes};
use genesys_replay::secret::SecretText;
use genesys_replay::{dead_letter, digest};

pub use keys::{KeySource, Keys, KeysError, VerifyError};
pub(crate) use log::warn_of_short;
pub use refusal::Refusal;
pub use signature::{AuthenticationError, KeyRing, KeyRingFault, check_headers};
pub use subscription::{LOOKUP_TIMEOUT, SubscriptionCheck};

/// The adapters that ingest works with.
pub trait IngestPorts: 'static {
    /// The queue.
    type MessageSender: MessageSender;
    /// Genesys Cloud.
    type Subscriptions: Subscriptions;
    /// Where the secrets of signatures are.
    type Secret: SecretText;
}

/// Who may send.
pub enum Authentication<S> {
    /// Whoever signs with one of the secrets.
    Signature(Keys<S>),
    /// Whom AWS IAM has authorized, in front of the function.
    Iam,
    /// Anybody.
    None,
}

/// Takes what comes and puts it on the queue.
pub struct Ingest<P: IngestPorts> {
    /// The queue that the replay function drains.
    pub sender: P::MessageSender,
    /// Whether a subscription is active, where that is asked.
    pub check: Option<SubscriptionCheck<P::Subscriptions>>,
    /// Who may send.
    pub authentication: Authentication<P::Secret>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for ids.
    pub random: Arc<dyn Random>,
}

/// What a sender says of what it sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimedIds {
    /// Its id, the same however often it is sent.
    pub webhook_id: Option<String>,
    /// When it was sent first.
    pub webhook_timestamp: Option<String>,
}

/// What is known of an event, whether it was accepted or not. Nothing in it is payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestSummary {
    /// The event's id, as the replay function will know it; of what is only kept, none.
    pub event_id: Option<String>,
    /// The id that the sender gave it.
    pub webhook_id: Option<String>,
    /// The subscription that it names.
    pub subscription_id: Option<String>,
    /// How often its delivery was tried before.
    pub retry_count: Option<u32>,
    /// Why it can only be kept.
    pub malformed: Option<Malformed>,
}

impl RequestSummary {
    /// What a sender says, as far as it can be an id: anything may stand in a header.
    #[must_use]
    pub fn of(said: &ClaimedIds) -> Self {
        let id = said.webhook_id.as_ref().and_then(EventId::new);
        Self {
            webhook_id: id.map(|id| id.as_str().to_owned()),
            ..Self::default()
        }
    }
}

/// An event that is on the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The message's id.
    pub message_id: MessageId,
    /// The number of the next attempt at its delivery, counted from 1.
    pub attempt: u64,
}

/// What became of a request: what is known of it, and whether it was accepted.
pub type IngestResult = (RequestSummary, Result<Accepted, Refusal>);

impl<P: IngestPorts> Ingest<P> {
    /// Does at start-up what the first request would otherwise wait for.
    pub async fn prepare(&self) {
        if let Authentication::Signature(keys) = &self.authentication {
            keys.prepare().await;
        }
    }

    /// Takes a wrapped dead letter.
    ///
    /// Accepted means that it is on the queue. The refusals are those of its wrapper, of its
    /// subscription and of the queue.
    pub async fn dead_letter(&self, body: Vec<u8>, said: &ClaimedIds) -> IngestResult {
        let mut summary = RequestSummary::of(said);
        let result = self.take_dead_letter(body, said, &mut summary).await;
        (summary, result)
    }

    async fn take_dead_letter(
        &self,
        body: Vec<u8>,
        said: &ClaimedIds,
        summary: &mut RequestSummary,
    ) -> Result<Accepted, Refusal> {
        let body = String::from_utf8(body).map_err(|_| Refusal::NotQueueable)?;
        let wrapper = Wrapper::read(&body, self.check.is_some())?;
        summary.retry_count = Some(wrapper.retry_count);
        summary.subscription_id = wrapper.subscription.as_ref().map(ToString::to_string);
        if !takes(&body) {
            return Err(Refusal::NotQueueable);
        }
        let retries = AttributeValue::Number(wrapper.retry_count.into());
        let letter = QueuedEvent {
            origin: ingested::DEAD_LETTER,
            body,
            attributes: vec![(ingested::RETRY_COUNT, retries)],
        };
        let message = self.message(letter, said, summary)?;
        if let (Some(check), Some(id)) = (&self.check, &wrapper.subscription) {
            match check.standing(id).await.map_err(Refusal::Genesys)? {
                Standing::Active => {}
                refused @ (Standing::Inactive | Standing::Unknown) => {
                    return Err(Refusal::SubscriptionRefused(refused));
                }
            }
        }
        Ok(Accepted {
            message_id: self.send(&message).await?,
            attempt: u64::from(wrapper.retry_count) + 1,
        })
    }

    /// Takes the webhook of an outbound campaign, whatever is in it: what is malformed is queued
    /// with a mark by which the replay function archives it.
    ///
    /// Accepted means that it is on the queue. The refusals are those of the queue, and that there is nothing in it.
    pub async fn webhook(&self, body: Vec<u8>, said: &ClaimedIds) -> IngestResult {
        let mut summary = RequestSummary::of(said);
        let result = self.take_webhook(body, said, &mut summary).await;
        (summary, result)
    }

    async fn take_webhook(
        &self,
        body: Vec<u8>,
        said: &ClaimedIds,
        summary: &mut RequestSummary,
    ) -> Result<Accepted, Refusal> {
        if body.is_empty() {
            return Err(Refusal::Empty("the body"));
        }
        if std::str::from_utf8(&body).is_ok_and(Wrapper::is_meant) {
            // A signature does not say to which path it was sent: one request must not become two events.
            return Err(Refusal::WrongPath);
        }
        summary.malformed = match webhook_text(&body) {
            Ok(text) if takes(text) => None,
            Ok(_) => Some(Malformed::NotQueueable),
            Err(malformed) => Some(malformed),
        };
        let mut attributes = Vec::new();
        if let Some(malformed) = summary.malformed {
            attributes.push((ingested::MALFORMED, text(malformed.as_str())));
        }
        let body = match String::from_utf8(body) {
            Ok(body) if takes(&body) => body,
            unfit => {
                attributes.push((ingested::BODY_ENCODING, text(ingested::BASE64)));
                STANDARD.encode(unfit.map_or_else(FromUtf8Error::into_bytes, String::into_bytes))
            }
        };
        let letter = QueuedEvent {
            origin: ingested::WEBHOOK,
            body,
            attributes,
        };
        let message = self.message(letter, said, summary)?;
        Ok(Accepted {
            message_id: self.send(&message).await?,
            attempt: 1,
        })
    }

    /// A letter with all that is known of it.
    fn message(
        &self,
        letter: QueuedEvent,
        said: &ClaimedIds,
        summary: &mut RequestSummary,
    ) -> Result<NewMessage, Refusal> {
        let receipt = self.receipt_id();
        let mut attributes = letter.attributes;
        attributes.extend([
            (ingested::ORIGIN, text(letter.origin)),
            (ingested::RECEIVED_AT, text(&self.clock.now().to_string())),
            (ingested::RECEIPT_ID, text(&receipt)),
        ]);
        for (name, value) in [
            (ingested::WEBHOOK_ID, &said.webhook_id),
            (ingested::WEBHOOK_TIMESTAMP, &said.webhook_timestamp),
        ] {
            let value = value.as_ref().filter(|value| !value.is_empty());
            attributes.extend(value.map(|value| (name, text(value))));
        }
        let id = MessageId::new(receipt.as_str()).ok_or(Refusal::Internal)?;
        let mut message = Message::new(id, letter.body);
        message.attributes = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.parts().1))
            .collect();
        // With the replay function's own eyes: what it will know the event by, and in what order it comes.
        let (event_id, interaction) = match dead_letter::parse(&message) {
            ParsedMessage::DeadLetter(letter) => (letter.event_id, letter.interaction),
            ParsedMessage::Unreplayable(_) => (None, None),
        };
        summary.event_id = event_id.map(|id| id.as_str().to_owned());
        let deduplication = match (&summary.event_id, &said.webhook_id) {
            (Some(id), _) => digest::hexadecimal(id),
            (None, Some(id)) => digest::hexadecimal(&format!("{id} {}", message.body)),
            (None, None) => digest::hexadecimal(&receipt),
        };
        Ok(NewMessage {
            group: interaction.map_or_else(|| deduplication.clone(), |it| it.id.to_string()),
            deduplication,
            body: message.body,
            attributes: attributes
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        })
    }

    async fn send(&self, message: &NewMessage) -> Result<MessageId, Refusal> {
        self.sender
            .send(message)
            .await
            .map_err(|error| match error {
                PutError::TooLong { .. } => Refusal::MessageTooLong,
                PutError::Unavailable { .. } => Refusal::Queue(error),
            })
    }

    /// An id that no other request has: the time, and chance.
    fn receipt_id(&self) -> String {
        let chance = || self.random.unit().to_bits();
        let now = self.clock.now().as_millis();
        format!("{now:x}-{:016x}{:016x}", chance(), chance())
    }
}

/// What is to be queued.
struct QueuedEvent {
    origin: &'static str,
    body: String,
    attributes: Vec<(&'static str, AttributeValue)>,
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::Text(value.to_owned())
}
