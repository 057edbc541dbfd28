//! Accepts dead letters and webhooks over HTTP and puts them on the queue.
//!
//! Ingest does not deliver events. A queued event is safe: the replay function receives it and applies its ledger,
//! its delays and its archive.

pub mod app;
mod base_path;
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
use genesys_replay::message::{Message, MessageId, TypedAttribute, ingested};
use genesys_replay::queue::{MessageSender, NewMessage, PutError, takes};
use genesys_replay::secret::SecretText;
use genesys_replay::{dead_letter, digest};

pub use base_path::BasePath;
pub use keys::{KeySource, Keys, KeysError, VerifyError};
pub(crate) use log::warn_of_short;
pub use refusal::{Refusal, RequestFault};
pub use signature::{AuthenticationError, KeyRing, KeyRingFault, check_headers};
pub use subscription::{LOOKUP_TIMEOUT, SubscriptionCheck};

/// The ports of ingest, each filled by one adapter.
pub trait IngestPorts: 'static {
    /// The queue.
    type MessageSender: MessageSender;
    /// Genesys Cloud.
    type Subscriptions: Subscriptions;
    /// The store of the secrets for signatures.
    type Secret: SecretText;
}

/// The authentication of callers.
pub enum Authentication<S> {
    /// A signature with one of the secrets.
    Signature(Keys<S>),
    /// AWS IAM, which authorizes requests in front of the function.
    Iam,
    /// Every caller is accepted without authentication.
    None,
}

/// Accepts events and puts them on the queue.
pub struct Ingest<P: IngestPorts> {
    /// The queue that the replay function drains.
    pub sender: P::MessageSender,
    /// The check that a subscription is active; `None` disables the check.
    pub check: Option<SubscriptionCheck<P::Subscriptions>>,
    /// The authentication of callers.
    pub authentication: Authentication<P::Secret>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness for ids.
    pub random: Arc<dyn Random>,
}

/// The ids in the headers of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimedIds {
    /// The id of the event, the same in every repetition.
    pub webhook_id: Option<String>,
    /// The time at which the event was first sent.
    pub webhook_timestamp: Option<String>,
}

/// A summary of an event, accepted or not, without payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestSummary {
    /// The event's id in the replay function; `None` for events that are only archived.
    pub event_id: Option<String>,
    /// The id that the sender gave the event.
    pub webhook_id: Option<String>,
    /// The subscription id in the wrapper.
    pub subscription_id: Option<String>,
    /// The number of earlier delivery attempts.
    pub retry_count: Option<u32>,
    /// The defect of an event that can only be archived.
    pub malformed: Option<Malformed>,
}

impl RequestSummary {
    /// Creates a summary from the sender's id. A header may hold any text, so a text that cannot be an id is omitted.
    #[must_use]
    pub fn of(said: &ClaimedIds) -> Self {
        let id = said.webhook_id.as_ref().and_then(EventId::new);
        Self { webhook_id: id.map(|id| id.as_str().to_owned()), ..Self::default() }
    }
}

/// An event that is on the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRequest {
    /// The id of the message.
    pub message_id: MessageId,
    /// The number of the next delivery attempt, counted from 1.
    pub attempt: u64,
}

/// The summary of a request, with the accepted message or the refusal.
pub type IngestResult = (RequestSummary, Result<AcceptedRequest, Refusal>);

impl<P: IngestPorts> Ingest<P> {
    /// Reads secrets at start-up, so that the first request does not wait.
    pub async fn prepare(&self) {
        if let Authentication::Signature(keys) = &self.authentication {
            keys.prepare().await;
        }
    }

    /// Accepts a wrapped dead letter.
    ///
    /// [`AcceptedRequest`] means that the event is on the queue. Refusals concern the wrapper, the subscription and the
    /// queue.
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
    ) -> Result<AcceptedRequest, Refusal> {
        let body = String::from_utf8(body).map_err(|_| Refusal::NotQueueable)?;
        let wrapper = Wrapper::read(&body, self.check.is_some())?;
        summary.retry_count = Some(wrapper.retry_count);
        summary.subscription_id = wrapper.subscription.as_ref().map(ToString::to_string);
        if !takes(&body) {
            return Err(Refusal::NotQueueable);
        }
        let retries = TypedAttribute::number(wrapper.retry_count.into());
        let queued = QueuedEvent {
            origin: ingested::DEAD_LETTER,
            body,
            attributes: vec![(ingested::RETRY_COUNT, retries)],
        };
        let message = self.message(queued, said, summary)?;
        if let (Some(check), Some(id)) = (&self.check, &wrapper.subscription) {
            match check.standing(id).await.map_err(Refusal::Genesys)? {
                Standing::Active => {}
                refused @ (Standing::Inactive | Standing::Unknown) => {
                    return Err(Refusal::SubscriptionRefused(refused));
                }
            }
        }
        Ok(AcceptedRequest {
            message_id: self.send(&message).await?,
            attempt: u64::from(wrapper.retry_count) + 1,
        })
    }

    /// Accepts the webhook of an outbound campaign, with any content. A malformed body is queued with a flag, and the
    /// replay function archives it.
    ///
    /// [`AcceptedRequest`] means that the event is on the queue. Refusals concern the queue, an empty body, and a dead
    /// letter on this path.
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
    ) -> Result<AcceptedRequest, Refusal> {
        if body.is_empty() {
            return Err(Refusal::Empty("the body"));
        }
        if std::str::from_utf8(&body).is_ok_and(Wrapper::is_meant) {
            // A signature does not cover the path. Without this check one request could become two events.
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
        let queued = QueuedEvent { origin: ingested::WEBHOOK, body, attributes };
        let message = self.message(queued, said, summary)?;
        Ok(AcceptedRequest { message_id: self.send(&message).await?, attempt: 1 })
    }

    /// Builds the message of an event, with all attributes.
    fn message(
        &self,
        queued: QueuedEvent,
        said: &ClaimedIds,
        summary: &mut RequestSummary,
    ) -> Result<NewMessage, Refusal> {
        let receipt = self.receipt_id();
        let mut attributes = queued.attributes;
        attributes.extend([
            (ingested::ORIGIN, text(queued.origin)),
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
        let mut message = Message::new(id, queued.body);
        message.attributes = attributes
            .iter()
            .map(|(name, value)| {
                ((*name).to_owned(), value.as_text().unwrap_or_default().to_owned())
            })
            .collect();
        // Use the replay function's parser, so that ingest and replay derive the same event id and the same order.
        let (event_id, interaction) = match dead_letter::parse(&message) {
            ParsedMessage::DeadLetter(parsed) => (parsed.event_id, parsed.interaction),
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
            attributes: attributes.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        })
    }

    async fn send(&self, message: &NewMessage) -> Result<MessageId, Refusal> {
        self.sender.send(message).await.map_err(|error| match error {
            PutError::TooLong { .. } => Refusal::MessageTooLong,
            PutError::Rejected { .. } | PutError::Unavailable { .. } => Refusal::Queue(error),
            PutError::Unanswered { .. } => Refusal::QueueUnanswered(error),
        })
    }

    /// Returns a unique id from the time and random bits.
    fn receipt_id(&self) -> String {
        let chance = || self.random.unit().to_bits();
        let now = self.clock.now().as_millis();
        format!("{now:x}-{:016x}{:016x}", chance(), chance())
    }
}

/// An event to queue.
struct QueuedEvent {
    origin: &'static str,
    body: String,
    attributes: Vec<(&'static str, TypedAttribute)>,
}

fn text(value: &str) -> TypedAttribute {
    TypedAttribute::text(value)
}
