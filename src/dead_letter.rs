//! Parses SQS messages into dead letters.
//!
//! Each origin has one file that recognises its own shapes. [`parse`] tries them in order.

mod bare_interaction;
mod event_bridge;
mod event_bus;
mod genesys_event;
mod imported;
mod ingest;
mod json;
mod lambda;
mod offloaded;
mod schedule;
mod sns;
mod webhook;
mod wrapper;

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::failure::{FailureCode, FailureReport, OriginalFailure, ReportingTarget};
use crate::message::{Message, resent};
pub use event_bridge::original_failure;
use genesys_event::InnerEvent;
#[cfg(test)]
pub(crate) use genesys_event::MARK_STATUSES;
pub use genesys_event::{InteractionId, InteractionRef};
pub use ingest::Malformed;
use json::Body;
pub use offloaded::PayloadPointer;
pub use schedule::{BusEvent, CallParameters};
pub use webhook::webhook_text;
pub use wrapper::{Wrapper, WrapperFault};

/// The first part of the ledger keys that lead from a delivery to its event, in place of an event id.
pub(crate) const DELIVERY_INDEX: &str = "delivery";

/// The maximum length of an event id in a key, in bytes. A longer id is replaced by the message id.
const MAX_EVENT_ID_BYTES: usize = 256;

/// A parsed message that carries an event whose delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<'m> {
    /// The event's own id, if it is usable.
    pub event_id: Option<EventId>,
    /// The id that version 0.1.0 gave the event, if it is another one.
    pub former_id: Option<FormerId>,
    /// The event's type with placeholders, such as `v2.detail.events.conversation.{id}.customer.end`.
    pub event_type: Option<String>,
    /// The interaction of the event, if it has one.
    pub interaction: Option<InteractionRef>,
    /// True if the event is only an echo of our own PATCH.
    pub own_echo: bool,
    /// True if a mark would cause another such event, or if the event shows a mark. Genesys Cloud is then not
    /// called.
    pub shows_mark: bool,
    /// The event's own time.
    pub time: Option<Timestamp>,
    /// The payload to deliver, byte for byte.
    pub payload: Cow<'m, str>,
    /// The failure of the first delivery, as far as the message describes it.
    pub failure: OriginalFailure,
    /// The report of a failure record on an accepted delivery; `None` for other messages.
    pub report: Option<FailureReport>,
    /// True if SQS moved the message from its original target queue. The whole body returns to that queue,
    /// with its attributes.
    pub whole: bool,
    /// The parameters of a schedule's call beside target and payload; `None` for other messages.
    pub call: Option<Box<CallParameters>>,
}

impl<'m> DeadLetter<'m> {
    fn new(event: InnerEvent, payload: impl Into<Cow<'m, str>>, failure: OriginalFailure) -> Self {
        let InnerEvent { id, event_type, interaction, own_echo, shows_mark, time } = event;
        Self {
            event_id: id,
            former_id: None,
            event_type,
            interaction,
            own_echo,
            shows_mark,
            time,
            payload: payload.into(),
            failure,
            report: None,
            whole: false,
            call: None,
        }
    }

    /// Returns the interaction to mark; `None` without an interaction, or if a mark must not be written.
    #[must_use]
    pub fn marked_interaction(&self) -> Option<&InteractionRef> {
        self.interaction.as_ref().filter(|_| !self.shows_mark)
    }

    /// Returns the dead letter without its report on an accepted delivery: for another target, it is only an event.
    pub(crate) fn without_report(&self) -> Self {
        Self { report: None, ..self.clone() }
    }

    fn reporting(mut self, report: FailureReport) -> Self {
        self.report = Some(report);
        self
    }

    fn into_owned(self) -> DeadLetter<'static> {
        DeadLetter {
            event_id: self.event_id,
            former_id: self.former_id,
            event_type: self.event_type,
            interaction: self.interaction,
            own_echo: self.own_echo,
            shows_mark: self.shows_mark,
            time: self.time,
            payload: Cow::Owned(self.payload.into_owned()),
            failure: self.failure,
            report: self.report,
            whole: self.whole,
            call: self.call,
        }
    }
}

/// An event's own id: printable ASCII without spaces, short enough for a key and a header. It does not
/// contain `|`, which ends the id in a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId(String);

impl EventId {
    /// Creates an id; returns `None` if it cannot be used in a key or an HTTP header.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let usable = !id.is_empty()
            && id.len() <= MAX_EVENT_ID_BYTES
            && id != DELIVERY_INDEX
            && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'|');
        usable.then_some(Self(id))
    }

    /// Returns the id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An id of version 0.1.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerId {
    /// The id.
    pub id: EventId,
    /// True if several events may have had the id.
    pub is_shared: bool,
}

/// The result of [`parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsedMessage<'m> {
    /// An event to replay.
    DeadLetter(Box<DeadLetter<'m>>),
    /// A message that cannot be replayed. It is archived for a person to inspect, never dropped.
    Unreplayable(UnreplayableReason),
}

impl<'m> From<DeadLetter<'m>> for ParsedMessage<'m> {
    fn from(dead_letter: DeadLetter<'m>) -> Self {
        Self::DeadLetter(Box::new(dead_letter))
    }
}

/// The reasons why a message cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreplayableReason {
    /// The body is empty.
    #[error("the message body is empty")]
    Empty,
    /// The body is not JSON, and no attribute names its origin.
    #[error("the message body is not JSON, and EventBridge attributes are missing")]
    NotJson,
    /// The body is JSON without the shape of an event.
    #[error("the message body is JSON of an unsupported shape, without EventBridge attributes")]
    UnknownShape,
    /// The message has more nested envelopes than any real sender produces.
    #[error("the message is an SNS notification nested too deep")]
    NestedTooDeep,
    /// The wrapper has no event.
    #[error("the dead-letter wrapper has no originalEvent")]
    EmptyWrapper,
    /// The record of a custom event bus lists failed events by id only.
    #[error("the record of the custom event bus has the ids of the failed events, not the events")]
    CustomBusRecord,
    /// The scheduler cut the payload off, because it was too long for the queue.
    #[error("the payload was cut off before it was queued (IS_PAYLOAD_TRUNCATED)")]
    Truncated,
    /// The body is a pointer to the payload.
    #[error("the message has a pointer to its payload in S3, not the payload: {0}")]
    Offloaded(PayloadPointer),
    /// Ingest accepted the message as a webhook, but its body is not a valid webhook.
    #[error("the webhook's body {0}")]
    Webhook(Malformed),
    /// The event bus could not use the key of an encrypted event.
    #[error("the event bus could not decrypt the event; its body is ciphertext")]
    Encrypted,
}

impl UnreplayableReason {
    /// Returns the stable failure code.
    #[must_use]
    pub const fn failure_code(&self) -> FailureCode {
        match self {
            Self::Empty
            | Self::NotJson
            | Self::UnknownShape
            | Self::NestedTooDeep
            | Self::Webhook(_) => FailureCode::NotAnEvent,
            Self::EmptyWrapper | Self::CustomBusRecord | Self::Encrypted => FailureCode::NoPayload,
            Self::Truncated => FailureCode::PayloadTruncated,
            Self::Offloaded(_) => FailureCode::PayloadOffloaded,
        }
    }
}

/// A body and its context.
struct Envelope<'m> {
    text: &'m str,
    body: Body<'m>,
    message: &'m Message,
    /// The number of envelopes around this body.
    depth: u8,
}

impl Envelope<'_> {
    /// Returns the text of a message attribute, but only for the outermost body, which the attributes
    /// describe.
    fn attribute(&self, name: &str) -> Option<&str> {
        self.message.attribute(name).filter(|value| self.depth == 0 && !value.is_empty())
    }
}

/// The parsers, in the order in which they are tried: the more specific a shape, the earlier.
const PARSERS: &[for<'m> fn(&Envelope<'m>) -> Option<ParsedMessage<'m>>] = &[
    ingest::open_marked_webhook,
    webhook::parse_ingested_webhook,
    wrapper::open_taken_wrapper,
    event_bus::open_custom_bus_record,
    schedule::open_truncated,
    offloaded::open_pointer,
    imported::open_imported,
    schedule::open_dead_letter,
    event_bridge::open_dead_letter,
    lambda::open_destination_record,
    lambda::open_function_dead_letter,
    sns::open_notification,
    wrapper::open_wrapper,
    event_bridge::open_event,
    bare_interaction::open_interaction,
    webhook::open_webhook,
    event_bus::open_encrypted_event,
    event_bridge::parse_rule_body,
];

/// Parses a message. Never fails: a message that is not understood is [`ParsedMessage::Unreplayable`].
#[must_use]
pub fn parse(message: &Message) -> ParsedMessage<'_> {
    let mut opened = open_envelope(&Envelope {
        text: &message.body,
        body: Body::read(&message.body),
        message,
        depth: 0,
    });
    if let Some(source) = message.moved_from() {
        opened = redriven(message, source, opened);
    }
    if let ParsedMessage::DeadLetter(dead_letter) = &mut opened {
        if dead_letter.event_id.is_none() {
            // A resent message has a new message id but is still the same event.
            dead_letter.event_id = message.attribute(resent::EVENT_ID).and_then(EventId::new);
        }
        if message.replay_plan().is_some() {
            if let Some(former) = message.attribute(resent::FORMER_ID).and_then(EventId::new) {
                (dead_letter.event_id, dead_letter.former_id) = (Some(former), None);
            }
            // In an operator replay, the time and id of the message are new and prove nothing about the
            // delivery.
            dead_letter.report =
                dead_letter.report.take().filter(FailureReport::is_of_known_delivery);
        }
    }
    opened
}

fn open_envelope<'m>(envelope: &Envelope<'m>) -> ParsedMessage<'m> {
    PARSERS.iter().find_map(|open| open(envelope)).unwrap_or(ParsedMessage::Unreplayable(
        match envelope.body {
            Body::Empty => UnreplayableReason::Empty,
            Body::NotJson => UnreplayableReason::NotJson,
            Body::Object(_) | Body::OtherJson => UnreplayableReason::UnknownShape,
        },
    ))
}

/// Parses a message that SQS moved from a target queue, because no consumer deleted it there. If nothing else
/// names a target, the whole message returns to that queue.
fn redriven<'m>(
    message: &'m Message,
    source: &str,
    opened: ParsedMessage<'m>,
) -> ParsedMessage<'m> {
    let mut dead_letter = match opened {
        ParsedMessage::DeadLetter(dead_letter) => dead_letter,
        ParsedMessage::Unreplayable(UnreplayableReason::Empty) => return opened,
        // SQS moved this message from another queue of dead letters, which is not its target.
        ParsedMessage::Unreplayable(_) if message.attribute("TARGET_ARN").is_some() => {
            return opened;
        }
        ParsedMessage::Unreplayable(_) => Box::new(DeadLetter::new(
            InnerEvent::default(),
            &message.body,
            OriginalFailure::default(),
        )),
    };
    if dead_letter.failure.target_arn.is_some() {
        return ParsedMessage::DeadLetter(dead_letter);
    }
    dead_letter.failure.target_arn = Some(source.to_owned());
    dead_letter.whole = true;
    dead_letter.report = Some(FailureReport {
        target: ReportingTarget::Queue,
        // SQS keeps the message id when it moves a message. A resent message has another one.
        delivery_id: message
            .attribute(resent::MESSAGE_ID)
            .map_or_else(|| Some(message.id.to_string()), |id| Some(id.to_owned())),
        at: message.sent_at,
    });
    ParsedMessage::DeadLetter(dead_letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageId;

    #[test]
    fn resent_message_keeps_the_event_id_of_its_attribute() {
        let id_of = |body: &str, known_by: &str| {
            let mut message = Message::new(MessageId::new("m-2")?, body.to_owned());
            for (name, value) in
                [("RULE_ARN", "arn:aws:events:r:a:rule/r"), (resent::EVENT_ID, known_by)]
            {
                message.attributes.insert(name.to_owned(), value.to_owned());
            }
            match parse(&message) {
                ParsedMessage::DeadLetter(dead_letter) => dead_letter.event_id,
                ParsedMessage::Unreplayable(_) => None,
            }
        };
        let event = r#"{"id":"e-1","detail-type":"t","source":"s","detail":{}}"#;
        assert_eq!(id_of("{}", "m-1"), EventId::new("m-1"));
        assert_eq!(id_of(event, "m-1"), EventId::new("e-1"));
        assert_eq!(id_of("{}", ""), None);
        assert_eq!(id_of("{}", "m|1"), None, "it could be mistaken for id and target");
    }

    #[test]
    fn event_id_is_ignored_when_it_contains_the_separator() {
        assert!(EventId::new("bb8d0e80-4815-484d-b7ce-91a20ff046ec").is_some());
        for id in ["", "a|arn:aws:sqs:r:a:q", "a b", "é", &"x".repeat(MAX_EVENT_ID_BYTES + 1)] {
            assert_eq!(EventId::new(id), None, "{id}");
        }
    }
}
