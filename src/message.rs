//! A message as the queue handed it over, before anything in it is believed.

use std::collections::BTreeMap;
use std::fmt;

use crate::clock::Timestamp;

/// The message attributes by which ingest says what it knows of a message.
pub mod ingested {
    /// How it came: [`DEAD_LETTER`] or [`WEBHOOK`].
    pub const ORIGIN: &str = "Origin";
    /// The origin of a wrapped dead letter.
    pub const DEAD_LETTER: &str = "ingest/dead-letter";
    /// The origin of an outbound webhook.
    pub const WEBHOOK: &str = "ingest/webhook";
    /// When it came, in RFC 3339.
    pub const RECEIVED_AT: &str = "ReceivedAt";
    /// The id of the request that brought it, which no other request has.
    pub const RECEIPT_ID: &str = "ReceiptId";
    /// The id that the sender gave it, the same however often it is sent.
    pub const WEBHOOK_ID: &str = "WebhookId";
    /// When the sender says that it was sent first.
    pub const WEBHOOK_TIMESTAMP: &str = "WebhookTimestamp";
    /// How often its delivery was tried before.
    pub const RETRY_COUNT: &str = "RetryCount";
    /// Why it can only be kept: a word of `Malformed`.
    pub const MALFORMED: &str = "Malformed";
    /// How the body is written where it cannot stand as it is: [`BASE64`].
    pub const BODY_ENCODING: &str = "BodyEncoding";
    /// The body is base64 of what came.
    pub const BASE64: &str = "base64";
}

/// The message attributes by which the operator's command says what it knows of a message.
pub mod resent {
    /// The plan by which it was sent again.
    pub const PLAN: &str = "ReplayPlan";
    /// What its event is known by, where the event has no id of its own: the message that brought it first
    /// had another one.
    pub const EVENT_ID: &str = "ReplayEventId";
}

/// The system attribute of a message that SQS moved from another queue, where it was received too often: that
/// queue's ARN. Kept among the message attributes, so that it stays when the message is archived and sent again.
pub const SOURCE_QUEUE: &str = "DeadLetterQueueSourceArn";

/// The id that SQS gave a message: never empty, since an empty id in the answer would make Lambda
/// return the whole batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(String);

impl MessageId {
    /// Takes an id, or `None` when it is empty.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        (!id.is_empty()).then_some(Self(id))
    }

    /// The id as SQS wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One raw message of a batch.
#[derive(Clone)]
pub struct Message {
    /// Its id in the queue, which a redrive changes.
    pub id: MessageId,
    /// The body, byte for byte as it stood in the queue.
    pub body: String,
    /// The handle of this receipt; needed to change how long the message stays away.
    pub receipt_handle: Option<String>,
    /// The ARN of the queue it came from.
    pub queue_arn: Option<String>,
    /// Its message group, in a FIFO queue.
    pub group: Option<String>,
    /// When it was put on the queue.
    pub sent_at: Option<Timestamp>,
    /// How often SQS has handed it out, this time included; at least 1.
    pub receive_count: u32,
    /// The message attributes that carry a text value, whatever data type they claim.
    pub attributes: BTreeMap<String, String>,
    /// The message attributes of another data type than `String`, those with a text value too.
    pub typed: BTreeMap<String, TypedAttribute>,
}

/// A message attribute with its data type, such as `String`, `Number.int` or `Binary`.
#[derive(Clone, PartialEq, Eq)]
pub struct TypedAttribute {
    /// The data type, with its custom label.
    pub data_type: String,
    /// The value.
    pub value: AttributeValue,
}

/// The value of a message attribute.
#[derive(Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// Of the types `String` and `Number`.
    Text(String),
    /// Of the type `Binary`.
    Binary(Vec<u8>),
}

impl fmt::Debug for TypedAttribute {
    /// Leaves out the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.data_type)
    }
}

impl Message {
    /// A message of which nothing but its body is known, received for the first time.
    #[must_use]
    pub fn new(id: MessageId, body: String) -> Self {
        Self {
            id,
            body,
            receipt_handle: None,
            queue_arn: None,
            group: None,
            sent_at: None,
            receive_count: 1,
            attributes: BTreeMap::new(),
            typed: BTreeMap::new(),
        }
    }

    /// Whether it came from a FIFO queue, whose groups are handled in order.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.queue_arn
            .as_deref()
            .is_some_and(|arn| arn.strip_suffix(".fifo").is_some())
    }

    /// The queue from which SQS moved it, unless that is the queue that it is in.
    #[must_use]
    pub fn moved_from(&self) -> Option<&str> {
        let source = self.attribute(SOURCE_QUEUE).filter(|arn| !arn.is_empty())?;
        (self.queue_arn.as_deref() != Some(source)).then_some(source)
    }

    /// The message attributes without those that SQS or the operator's command added.
    #[must_use]
    pub fn own_attributes(&self) -> BTreeMap<&str, TypedAttribute> {
        let mut own = BTreeMap::new();
        for (name, value) in &self.attributes {
            let attribute = TypedAttribute {
                data_type: "String".to_owned(),
                value: AttributeValue::Text(value.clone()),
            };
            own.insert(name.as_str(), attribute);
        }
        for (name, attribute) in &self.typed {
            own.insert(name.as_str(), attribute.clone());
        }
        own.retain(|name, _| ![SOURCE_QUEUE, resent::PLAN, resent::EVENT_ID].contains(name));
        own
    }

    /// The plan by which an operator sent it again, if one did.
    #[must_use]
    pub fn replay_plan(&self) -> Option<&str> {
        self.attribute(resent::PLAN).filter(|plan| !plan.is_empty())
    }

    /// Whether ingest has written the body in base64, since it cannot stand in a message as it came.
    #[must_use]
    pub fn is_base64(&self) -> bool {
        self.attribute(ingested::ORIGIN) == Some(ingested::WEBHOOK)
            && self.attribute(ingested::BODY_ENCODING) == Some(ingested::BASE64)
    }

    /// The text of a message attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Message {
    /// Leaves out body and attribute values: they may hold personal data and must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("body_bytes", &self.body.len())
            .field("receive_count", &self.receive_count)
            .field("attributes", &self.attributes.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_names_the_message_and_hides_what_is_in_it() {
        let message = MessageId::new("m-1").map(|id| {
            let mut message = Message::new(id, "private body".to_owned());
            let attribute = ("ERROR_MESSAGE".to_owned(), "private words".to_owned());
            message.attributes.extend([attribute]);
            message
        });
        let shown = format!("{message:?}");
        assert!(
            shown.contains("m-1") && shown.contains("ERROR_MESSAGE"),
            "{shown}"
        );
        assert!(!shown.contains("private"), "{shown}");
    }
}
