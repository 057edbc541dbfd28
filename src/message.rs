//! A message as the queue delivered it, before anything in it is trusted.

use std::collections::BTreeMap;
use std::fmt;

use crate::clock::Timestamp;

/// The message attributes that ingest sets.
pub mod ingested {
    /// The origin of the message: [`DEAD_LETTER`] or [`WEBHOOK`].
    pub const ORIGIN: &str = "Origin";
    /// The origin of a wrapped dead letter.
    pub const DEAD_LETTER: &str = "ingest/dead-letter";
    /// The origin of an outbound webhook.
    pub const WEBHOOK: &str = "ingest/webhook";
    /// The time at which ingest received the request, in RFC 3339.
    pub const RECEIVED_AT: &str = "ReceivedAt";
    /// The unique id of the request that carried the message.
    pub const RECEIPT_ID: &str = "ReceiptId";
    /// The sender's id of the message. A resent message has the same id.
    pub const WEBHOOK_ID: &str = "WebhookId";
    /// The sender's time of the first sending.
    pub const WEBHOOK_TIMESTAMP: &str = "WebhookTimestamp";
    /// The number of earlier delivery attempts.
    pub const RETRY_COUNT: &str = "RetryCount";
    /// The reason for archiving the message without replay: a value of `Malformed`.
    pub const MALFORMED: &str = "Malformed";
    /// The encoding of a body that SQS would not accept unchanged: [`BASE64`].
    pub const BODY_ENCODING: &str = "BodyEncoding";
    /// The value for a body that is the base64 of the received bytes.
    pub const BASE64: &str = "base64";
}

/// The message attributes that the import of failed events sets.
pub mod imported {
    /// The value of [`ORIGIN`](super::ingested::ORIGIN): the whole body is the payload.
    pub const IMPORT: &str = "import";
    /// The type of the event, for a payload without a type.
    pub const EVENT_TYPE: &str = "EventType";
    /// The stack trace of the first failure.
    pub const STACK_TRACE: &str = "StackTrace";
}

/// The message attributes that the operator's command sets.
pub mod resent {
    /// The plan that resent the message.
    pub const PLAN: &str = "ReplayPlan";
    /// The operator who applied the plan.
    pub const BY: &str = "ReplayBy";
    /// The reason of the operator.
    pub const REASON: &str = "ReplayReason";
    /// The first id of an imported message that SQS had moved from its target queue. The target knows the message by it.
    pub const MESSAGE_ID: &str = "ReplayMessageId";
    /// The event id, if the event has no id of its own. The key uses the id of the first message, and a
    /// resent message has another id.
    pub const EVENT_ID: &str = "ReplayEventId";
    /// The id that an older version gave the event, if its ledger item proves it. It replaces the event's id.
    pub const FORMER_ID: &str = "ReplayFormerId";
    /// The old target, if the plan redirects the event to the target in `TARGET_ARN`.
    pub const REDIRECTED_FROM: &str = "ReplayRedirectedFrom";
}

/// The message attribute with the target that did not accept the event, as `EventBridge` writes it.
pub const TARGET_ARN: &str = "TARGET_ARN";

/// The system attribute of a message that SQS moved from another queue after too many receives: that queue's
/// ARN. It is stored among the message attributes, so that an archived and resent message still has it.
pub const SOURCE_QUEUE: &str = "DeadLetterQueueSourceArn";

/// The id that SQS gave a message. It is never empty: an empty id in the answer would make Lambda return the
/// whole batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(String);

impl MessageId {
    /// Creates an id; returns `None` if it is empty.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        (!id.is_empty()).then_some(Self(id))
    }

    /// Returns the id as SQS wrote it.
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
    /// The message id in the queue. A redrive changes it.
    pub id: MessageId,
    /// The body, byte for byte as in the queue.
    pub body: String,
    /// The handle of this receive, needed to change the visibility timeout.
    pub receipt_handle: Option<String>,
    /// The ARN of the queue that delivered the message.
    pub queue_arn: Option<String>,
    /// The message group, in a FIFO queue.
    pub group: Option<String>,
    /// The time at which the message was sent to the queue.
    pub sent_at: Option<Timestamp>,
    /// The receive count, including this receive; at least 1.
    pub receive_count: u32,
    /// The message attributes with a text value, of any declared data type.
    pub attributes: BTreeMap<String, String>,
    /// The message attributes of another data type than `String`, including those with a text value.
    pub typed: BTreeMap<String, TypedAttribute>,
}

/// The data type of a plain text.
const STRING: &str = "String";

/// A message attribute with its data type, such as `String`, `Number.int` or `Binary`.
#[derive(Clone, PartialEq, Eq)]
pub struct TypedAttribute {
    /// The data type, with its custom label.
    pub data_type: String,
    /// The value.
    pub value: TypedValue,
}

/// The value of a message attribute.
#[derive(Clone, PartialEq, Eq)]
pub enum TypedValue {
    /// A value of the types `String` and `Number`.
    Text(String),
    /// A value of the type `Binary`.
    Binary(Vec<u8>),
}

impl TypedAttribute {
    /// Returns an attribute of the type `String`.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { data_type: STRING.to_owned(), value: TypedValue::Text(text.into()) }
    }

    /// Returns an attribute of the type `Number`.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self { data_type: "Number".to_owned(), value: TypedValue::Text(number.to_string()) }
    }

    /// Returns the value of a text or number; `None` for a binary value.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            TypedValue::Text(text) => Some(text),
            TypedValue::Binary(_) => None,
        }
    }

    /// Returns true for an attribute without content, which SQS rejects.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match &self.value {
            TypedValue::Text(text) => text.is_empty(),
            TypedValue::Binary(bytes) => bytes.is_empty(),
        }
    }

    /// Returns the size that counts towards the maximum of a message, in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        let value = match &self.value {
            TypedValue::Text(text) => text.len(),
            TypedValue::Binary(bytes) => bytes.len(),
        };
        self.data_type.len() + value
    }
}

impl fmt::Debug for TypedAttribute {
    /// Writes the data type without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.data_type)
    }
}

impl Message {
    /// Creates a message of which only id and body are known, with receive count 1.
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

    /// Returns true if the message came from a FIFO queue, whose groups are handled in order.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.queue_arn.as_deref().is_some_and(|arn| arn.strip_suffix(".fifo").is_some())
    }

    /// Returns the queue from which SQS moved the message; `None` if that is the queue that delivered it.
    #[must_use]
    pub fn moved_from(&self) -> Option<&str> {
        let source = self.attribute(SOURCE_QUEUE).filter(|arn| !arn.is_empty())?;
        (self.queue_arn.as_deref() != Some(source)).then_some(source)
    }

    /// Returns every message attribute with its data type. A text is the one in `attributes`.
    #[must_use]
    pub fn typed_attributes(&self) -> BTreeMap<&str, TypedAttribute> {
        let texts = self.attributes.iter().map(|(name, text)| {
            let data_type = self.typed.get(name).map_or(STRING, |typed| &typed.data_type);
            let value = TypedValue::Text(text.clone());
            (name.as_str(), TypedAttribute { data_type: data_type.to_owned(), value })
        });
        let is_binary = |typed: &TypedAttribute| matches!(typed.value, TypedValue::Binary(_));
        let binary = self.typed.iter().filter(|(_, typed)| is_binary(typed));
        let binary = binary.map(|(name, typed)| (name.as_str(), typed.clone()));
        binary.chain(texts).collect()
    }

    /// Returns the ARN of the old target of an operator replay that a plan redirects to another one.
    #[must_use]
    pub fn redirected_from(&self) -> Option<&str> {
        self.replay_plan()?;
        self.attribute(resent::REDIRECTED_FROM).filter(|arn| !arn.is_empty())
    }

    /// Returns the message attributes without those that SQS or the operator's command added.
    #[must_use]
    pub fn own_attributes(&self) -> BTreeMap<&str, TypedAttribute> {
        let mut own = self.typed_attributes();
        own.retain(|name, _| {
            ![
                SOURCE_QUEUE,
                resent::PLAN,
                resent::BY,
                resent::REASON,
                resent::EVENT_ID,
                resent::MESSAGE_ID,
                resent::REDIRECTED_FROM,
            ]
            .contains(name)
        });
        own
    }

    /// Adds the attributes of a message, in the form of SQS: data type, text and binary value.
    pub fn add_attributes<N: Into<String>>(
        &mut self,
        attributes: impl IntoIterator<Item = (N, String, Option<String>, Option<Vec<u8>>)>,
    ) {
        for (name, data_type, text, binary) in attributes {
            let name = name.into();
            if let Some(text) = &text {
                self.attributes.insert(name.clone(), text.clone());
            }
            let value = text.map(TypedValue::Text).or_else(|| binary.map(TypedValue::Binary));
            if let (true, Some(value)) = (data_type != STRING, value) {
                self.typed.insert(name, TypedAttribute { data_type, value });
            }
        }
    }

    /// Returns the plan of an operator replay; `None` for other messages.
    #[must_use]
    pub fn replay_plan(&self) -> Option<&str> {
        self.attribute(resent::PLAN).filter(|plan| !plan.is_empty())
    }

    /// Returns true if ingest encoded the body as base64, because SQS would not accept it unchanged.
    #[must_use]
    pub fn is_base64(&self) -> bool {
        self.attribute(ingested::ORIGIN) == Some(ingested::WEBHOOK)
            && self.attribute(ingested::BODY_ENCODING) == Some(ingested::BASE64)
    }

    /// Returns the text of a message attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Message {
    /// Writes neither body nor attribute values: they may hold personal data and must not reach a log.
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
    fn message_debug_output_hides_body_and_attributes() {
        let message = MessageId::new("m-1").map(|id| {
            let mut message = Message::new(id, "private body".to_owned());
            let attribute = ("ERROR_MESSAGE".to_owned(), "private words".to_owned());
            message.attributes.extend([attribute]);
            message
        });
        let shown = format!("{message:?}");
        assert!(shown.contains("m-1") && shown.contains("ERROR_MESSAGE"), "{shown}");
        assert!(!shown.contains("private"), "{shown}");
    }
}
