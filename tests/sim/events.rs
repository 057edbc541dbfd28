//! The events of a run.

use std::collections::BTreeMap;

use genesys_fakes::Draft;
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::Destination;
use genesys_replay::ledger::EventKey;
use genesys_replay::message::MessageId;

use crate::config::QueueKind;

/// The content of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An event of a conversation.
    Event,
    /// An event without an interaction.
    Audit,
    /// An event whose first delivery failed because it was malformed.
    Malformed,
    /// An echo of our own marks.
    Echo,
    /// An interaction in a body without an event id.
    WithoutId,
    /// Text that is not an event.
    Text,
}

/// One event, in one or more messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimEvent {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    /// The number of its message group on a FIFO queue.
    pub(crate) group: u32,
}

impl SimEvent {
    /// Returns the event id.
    fn id(self) -> Option<String> {
        match self.kind {
            Kind::Event | Kind::Audit | Kind::Malformed | Kind::Echo => {
                Some(format!("e-{}", self.number))
            }
            Kind::WithoutId | Kind::Text => None,
        }
    }

    /// Returns its conversation in Genesys Cloud. Not every kind is marked.
    pub(crate) fn conversation(self) -> String {
        format!("c-{}", self.number)
    }

    /// Returns whether it has an event id, so that two messages of it are one event.
    pub(crate) fn has_own_id(self) -> bool {
        self.id().is_some()
    }

    /// Returns the event key in this message.
    pub(crate) fn key(self, message: &MessageId, destination: &Destination) -> EventKey {
        let nowhere = Destination::Missing;
        let destination = match self.kind {
            Kind::Event | Kind::Audit | Kind::Malformed | Kind::Echo | Kind::WithoutId => {
                destination
            }
            Kind::Text => &nowhere,
        };
        let id = self.id().and_then(EventId::new);
        EventKey::new(id.as_ref(), message, destination)
    }

    pub(crate) fn body(self) -> String {
        let conversation = self.conversation();
        let event = |topic: &str, filled: &str, attributes: &str| {
            let id = self.id().unwrap_or_default();
            format!(
                r#"{{"id":"{id}","detail-type":"{topic}","source":"aws.partner/genesys.com/cloud/org/bus","detail":{{"topicName":"{filled}","eventBody":{{"conversationId":"{conversation}"{attributes}}}}}}}"#
            )
        };
        let of_conversation = |ending: &str, attributes: &str| {
            event(
                &format!("v2.detail.events.conversation.{{id}}.{ending}"),
                &format!("v2.detail.events.conversation.{conversation}.{ending}"),
                attributes,
            )
        };
        match self.kind {
            Kind::Event | Kind::Malformed => of_conversation("customer.end", ""),
            Kind::Echo => {
                of_conversation("attributes", r#","attributes":{"system.retryStatus":"retrying"}"#)
            }
            Kind::Audit => {
                let topic = "v2.audits.entitytype.{id}.entityid.{id}";
                event(topic, "v2.audits.entitytype.queue.entityid.q", "")
            }
            Kind::WithoutId => format!(r#"{{"interactionId":"{conversation}"}}"#),
            Kind::Text => format!("not an event, number {}", self.number),
        }
    }

    /// Returns a message of the event. `plan`: an operator replay.
    pub(crate) fn draft(self, queue_kind: QueueKind, plan: bool) -> Draft {
        let mut attributes = BTreeMap::new();
        let mut set =
            |name: &str, value: &str| attributes.insert(name.to_owned(), value.to_owned());
        if self.kind == Kind::Malformed {
            set("ERROR_CODE", "INVALID_JSON");
            set("ERROR_MESSAGE", "the target could not read it");
        }
        if plan {
            set("ReplayPlan", "plan-1");
        }
        Draft {
            body: self.body(),
            group: (queue_kind == QueueKind::Fifo).then(|| format!("group-{}", self.group)),
            attributes,
        }
    }
}
