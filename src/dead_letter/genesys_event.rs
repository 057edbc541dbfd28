//! The fields of a Genesys Cloud event: its type and its interaction.

use std::fmt;

use super::EventId;
use super::json::Object;
use crate::clock::Timestamp;

/// The maximum length of an interaction id or participant id, in bytes. Genesys' own ids have 36 bytes.
const MAX_ID_BYTES: usize = 128;

/// The attributes that this function writes on interactions.
pub(crate) const MARKS: [&str; 2] = ["system.retryAttempt", "system.retryStatus"];

/// The members in which an event's body shows a mark, in both forms of the API.
const STATUS_KEYS: [&str; 2] = ["system.retryStatus", "retryStatus"];

/// The retry statuses that this function writes.
pub(crate) const MARK_STATUSES: [&str; 4] =
    ["retrying", "replay_successful", "replay_failed", "exhausted_retries"];

/// The interaction of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InteractionRef {
    /// The conversation's id.
    pub id: InteractionId,
    /// The participant that the event names, if any.
    pub participant: Option<String>,
}

/// An id that is safe as one segment of a URL path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InteractionId(String);

impl InteractionId {
    /// Creates an id; returns `None` if it has characters that no id has. The id comes from outside and
    /// becomes part of a URL.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let usable = !id.is_empty()
            && id.len() <= MAX_ID_BYTES
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
            && !id.bytes().all(|byte| byte == b'.');
        usable.then_some(Self(id))
    }

    /// Returns the id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InteractionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl InteractionRef {
    fn new(id: Option<String>, participant: Option<String>) -> Option<Self> {
        Some(Self { id: InteractionId::new(id?)?, participant })
    }
}

/// The fields of an event that the replay uses.
#[derive(Debug, Default)]
pub(super) struct InnerEvent {
    pub(super) id: Option<EventId>,
    pub(super) event_type: Option<String>,
    pub(super) interaction: Option<InteractionRef>,
    pub(super) own_echo: bool,
    pub(super) shows_mark: bool,
    pub(super) time: Option<Timestamp>,
}

impl InnerEvent {
    /// Reads all fields that are present; without an object, returns the default.
    pub(super) fn read(event: Option<&Object<'_>>) -> Self {
        let Some(event) = event else {
            return Self::default();
        };
        let parts = EventParts::of(event);
        Self {
            // A transformed input may have an "id" with any meaning. Only the id of a whole event is the
            // event's id.
            id: is_event(event).then(|| EventId::new(event.string("id")?)).flatten(),
            event_type: parts.event_type(),
            interaction: parts.interaction(),
            own_echo: parts.is_own_echo(),
            shows_mark: parts.is_about_attributes()
                || event.has_anywhere(&STATUS_KEYS, &MARK_STATUSES),
            time: parts.time(),
        }
    }
}

/// Returns true if an object is the detail of an event, as a rule with the input path `$.detail` sends it.
pub(super) fn is_detail(object: &Object<'_>) -> bool {
    object.string("topicName").is_some() && object.object("eventBody").is_some()
}

/// Returns true if an event of this type is about the attributes of a participant: each mark causes another such event.
pub(super) fn is_about_attributes(event_type: &str) -> bool {
    event_type.ends_with(".attributes")
}

/// Returns true if an object is a whole event in the form of `EventBridge`.
pub(super) fn is_event(object: &Object<'_>) -> bool {
    ["detail-type", "source", "detail"].iter().all(|name| object.has(name))
}

/// The parts of an event. With an input path, a rule sends only one of them: `$.detail` or `$.detail.eventBody`.
struct EventParts<'e, 'm> {
    event: &'e Object<'m>,
    detail: Option<Object<'m>>,
    body: Option<Object<'m>>,
    /// The topic of the detail; without a detail, the event's `detail-type`.
    topic: Option<String>,
}

impl<'e, 'm> EventParts<'e, 'm> {
    fn of(event: &'e Object<'m>) -> Self {
        let detail = event.object("detail");
        let detail = detail.or_else(|| is_detail(event).then(|| event.clone()));
        let is_body = detail.is_none()
            && event.string("conversationId").is_some()
            && ["participantId", "eventTime"].iter().any(|name| event.has(name));
        let body = match &detail {
            Some(detail) => detail.object("eventBody"),
            None => is_body.then(|| event.clone()),
        };
        let topic = detail.as_ref().and_then(|detail| detail.string("topicName"));
        let topic = topic.or_else(|| event.string("detail-type"));
        Self { event, detail, body, topic }
    }

    /// Returns the type of the event: `detail-type` with its literal `{id}`; without one, the topic, or the `eventType` of
    /// a flat event.
    fn event_type(&self) -> Option<String> {
        let named = |name| self.event.string(name).filter(|text| !text.is_empty());
        let topic = || self.topic.as_deref().filter(|topic| !topic.is_empty()).map(without_ids);
        named("detail-type").or_else(topic).or_else(|| named("eventType"))
    }

    /// Returns the time of the event: `time`. Parts of an event, and flat events, have other members. In any other payload,
    /// such a member may have any meaning.
    fn time(&self) -> Option<Timestamp> {
        let is_known = self.body.is_some() || self.interaction().is_some();
        if is_event(self.event) || !is_known {
            return self.event.string("time").and_then(|time| Timestamp::parse(&time));
        }
        let of = |object: Option<&Object<'_>>, name| Timestamp::parse_any(&object?.text(name)?);
        of(Some(self.event), "time")
            .or_else(|| of(Some(self.event), "timestamp"))
            .or_else(|| of(self.detail.as_ref(), "timestamp"))
            .or_else(|| of(self.body.as_ref(), "eventTime"))
    }

    /// Returns true if the event is only an echo of our own PATCH. Replaying it would cause the next PATCH and the
    /// next echo, without end.
    fn is_own_echo(&self) -> bool {
        let attributes = || self.body.as_ref()?.object("attributes");
        self.is_about_attributes()
            && attributes().is_some_and(|attributes| {
                let mut names = attributes.names().peekable();
                names.peek().is_some() && names.all(|name| MARKS.contains(&name))
            })
    }

    /// Returns true if the event is about the attributes of a participant: each mark causes another such event.
    fn is_about_attributes(&self) -> bool {
        // Without a topic, the body alone shows it.
        let is_body = self.topic.is_none()
            && self.body.as_ref().is_some_and(|body| body.object("attributes").is_some());
        is_body
            || self.topic.as_deref().is_some_and(is_about_attributes)
            || self.event_type().as_deref().is_some_and(is_about_attributes)
    }

    /// Returns the interaction of the event.
    ///
    /// The topic decides, because the first UUID in a topic may be the id of a queue or a user. Audits and
    /// aggregates have no interaction. Returns `None` also if the id is unusable.
    fn interaction(&self) -> Option<InteractionRef> {
        let Some(body) = &self.body else {
            let detail = self.detail.as_ref().and_then(|detail| detail.string("interactionId"));
            let id = detail.or_else(|| self.event.string("interactionId"));
            return InteractionRef::new(id, None);
        };
        let id = match place_of_id(self.topic.as_deref().unwrap_or_default()) {
            IdPlace::ConversationId => body.string("conversationId"),
            IdPlace::Id => body.string("id"),
            IdPlace::Nowhere => None,
        };
        InteractionRef::new(id, body.string("participantId"))
    }
}

/// Returns a topic with `{id}` in place of each UUID, as `EventBridge` writes event types.
fn without_ids(topic: &str) -> String {
    let parts = topic.split('.').map(|part| if is_uuid(part) { "{id}" } else { part });
    parts.collect::<Vec<_>>().join(".")
}

fn is_uuid(text: &str) -> bool {
    let is_form = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    text.bytes().all(is_form) && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

/// The member with the conversation's id in a topic's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdPlace {
    ConversationId,
    Id,
    Nowhere,
}

fn place_of_id(topic: &str) -> IdPlace {
    let parts: Vec<&str> = topic.split('.').collect();
    match parts.as_slice() {
        ["v2", "audits", ..] => IdPlace::Nowhere,
        ["v2", "analytics", kind, ..] if *kind != "conversation" => IdPlace::Nowhere,
        ["v2", "routing", "queues", _, what, ..] | ["v2", "users", _, what, ..]
            if what.starts_with("conversations") =>
        {
            IdPlace::Id
        }
        // Detail events, transcriptions, conversation analytics, and future topics: a member with this name
        // is a conversation's id in every topic.
        _ => IdPlace::ConversationId,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversation_id_is_read_from_the_member_of_its_topic() {
        for (topic, place) in [
            ("v2.detail.events.conversation.3f0c.customer.end", IdPlace::ConversationId),
            ("v2.detail.events.conversation.{id}.attributes", IdPlace::ConversationId),
            ("v2.conversations.3f0c.transcription", IdPlace::ConversationId),
            ("v2.analytics.conversation.3f0c", IdPlace::ConversationId),
            ("v2.routing.queues.77aa.conversations", IdPlace::Id),
            ("v2.routing.queues.{id}.conversations.calls", IdPlace::Id),
            ("v2.users.77aa.conversations.chats", IdPlace::Id),
            ("v2.users.77aa.presence", IdPlace::ConversationId),
            ("v2.audits.entitytype.Queue.entityid.77aa", IdPlace::Nowhere),
            ("v2.analytics.queues.77aa.observations", IdPlace::Nowhere),
            ("v2.analytics.users.77aa.aggregates", IdPlace::Nowhere),
            ("v2.analytics.flow.77aa.aggregates", IdPlace::Nowhere),
            ("", IdPlace::ConversationId),
        ] {
            assert_eq!(place_of_id(topic), place, "{topic}");
        }
    }

    #[test]
    fn interaction_id_is_refused_when_unsafe_in_a_path() {
        assert!(InteractionId::new("5b6c2a10-94ad-4c3f-b1d2-0a6f5a3d7e21").is_some());
        for id in ["", ".", "..", "a/b", "a?b", "a b", "é", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert_eq!(InteractionId::new(id), None, "{id}");
        }
    }
}
