//! The wrapper of the HTTP ingest: `{"eventType":"dead-letter",…,"originalEvent":{…}}`.

use super::genesys_event::{InnerEvent, InteractionId};
use super::ingest::{former_id, given_id, is_from};
use super::json::Object;
use super::{DeadLetter, Envelope, ParsedMessage, UnreplayableReason};
use crate::failure::OriginalFailure;
use crate::message::ingested;

/// The `eventType` of a wrapper.
const EVENT_TYPE: &str = "dead-letter";

/// Parses a wrapper that ingest accepted, regardless of its other members: ingest checked it as a wrapper.
pub(super) fn open_taken_wrapper<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    is_from(envelope, ingested::DEAD_LETTER).then(|| open_wrapper(envelope)).flatten()
}

/// Parses a wrapped event. The payload is its `originalEvent`.
pub(super) fn open_wrapper<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let wrapper = envelope.body.object()?;
    if wrapper.string("eventType")? != EVENT_TYPE {
        return None;
    }
    let Some(payload) = wrapper.raw("originalEvent") else {
        return Some(ParsedMessage::Unreplayable(UnreplayableReason::EmptyWrapper));
    };
    let failure = OriginalFailure {
        error_message: wrapper.string("failureReason"),
        retry_attempts: wrapper.number("retryCount").unwrap_or(0),
        ..OriginalFailure::default()
    };
    let mut event = InnerEvent::read(Object::read(payload).as_ref());
    let mut former = None;
    if event.id.is_none() {
        event.id = given_id(envelope, payload);
        former = former_id(envelope, None, event.id.as_ref());
    }
    Some(DeadLetter { former_id: former, ..DeadLetter::new(event, payload, failure) }.into())
}

/// The checked members of a sender's wrapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapper {
    /// The subscription of the event, if the member is a usable id.
    pub subscription: Option<InteractionId>,
    /// The number of earlier delivery attempts.
    pub retry_count: u32,
}

/// The reasons for rejecting a wrapper. Messages name members and quote no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapperFault {
    /// The body is not a JSON object.
    #[error("the body is not a JSON object (line {line}, column {column})")]
    NotAnObject {
        /// The line of the first error, from 1.
        line: usize,
        /// The column of the first error.
        column: usize,
    },
    /// A member is missing or has another type.
    #[error("{name} must be {expected}")]
    Member {
        /// The member's name.
        name: &'static str,
        /// The expected value.
        expected: &'static str,
    },
    /// The wrapper has no event.
    #[error("originalEvent is empty")]
    Empty,
}

impl Wrapper {
    /// Returns true if a body declares itself as a wrapper, complete or not.
    #[must_use]
    pub fn is_meant(body: &str) -> bool {
        Object::read(body)
            .and_then(|object| object.string("eventType"))
            .is_some_and(|kind| kind == EVENT_TYPE)
    }

    /// Parses a wrapper and checks its members.
    ///
    /// `retryCount`, `failureReason` and `timestamp` are optional. `subscriptionId` is optional and may have
    /// any value unless `needs_subscription` is true.
    ///
    /// # Errors
    /// The first fault. The sender must repair it: sending the same wrapper again fails the same way.
    pub fn read(body: &str, needs_subscription: bool) -> Result<Self, WrapperFault> {
        let wrapper = Object::parse(body).map_err(|error| WrapperFault::NotAnObject {
            line: error.line(),
            column: error.column(),
        })?;
        let fault = |name, expected| WrapperFault::Member { name, expected };
        if wrapper.string("eventType").as_deref() != Some(EVENT_TYPE) {
            return Err(fault("eventType", "\"dead-letter\""));
        }
        for name in ["failureReason", "timestamp"] {
            if wrapper.raw(name).is_some() && wrapper.string(name).is_none() {
                return Err(fault(name, "a string"));
            }
        }
        let retry_count = match wrapper.raw("retryCount") {
            None => 0,
            Some(_) => wrapper
                .number("retryCount")
                .ok_or(fault("retryCount", "a whole number from 0 to 4294967295"))?,
        };
        let subscription = wrapper.string("subscriptionId").and_then(InteractionId::new);
        if needs_subscription && subscription.is_none() {
            return Err(fault("subscriptionId", "the id of a subscription"));
        }
        if is_empty(wrapper.raw("originalEvent")) {
            return Err(WrapperFault::Empty);
        }
        Ok(Self { subscription, retry_count })
    }
}

/// Returns true if an event has no content that could be delivered.
fn is_empty(event: Option<&str>) -> bool {
    let text = event.unwrap_or_default();
    let within = |open: char, close: char| {
        let inner = text.strip_prefix(open)?.strip_suffix(close)?;
        Some(inner.trim().is_empty())
    };
    text.is_empty()
        || text == "\"\""
        || within('{', '}').or_else(|| within('[', ']')).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(body: &str) -> String {
        Wrapper::read(body, true).map_or_else(|fault| fault.to_string(), |_| String::new())
    }

    #[test]
    fn wrapper_needs_type_subscription_and_event() {
        let body = r#"{"eventType":"dead-letter","subscriptionId":"s-1","retryCount":2,"originalEvent":{"id":"e-1"}}"#;
        let wrapper = Wrapper::read(body, true);
        assert_eq!(wrapper.as_ref().map(|it| it.retry_count), Ok(2));
        assert_eq!(wrapper.map(|it| it.subscription), Ok(InteractionId::new("s-1")));
        for subscription in ["", r#""subscriptionId":"<id>","#, r#""subscriptionId":7,"#] {
            let body =
                format!(r#"{{"eventType":"dead-letter",{subscription}"originalEvent":"text"}}"#);
            let least = Wrapper { subscription: None, retry_count: 0 };
            assert_eq!(Wrapper::read(&body, false), Ok(least), "{body}");
            assert_eq!(fault(&body), "subscriptionId must be the id of a subscription");
        }
    }

    #[test]
    fn wrapper_fault_names_its_member_and_quotes_no_value() {
        let with = |members: &str| {
            format!(
                r#"{{"eventType":"dead-letter","subscriptionId":"s-1",{members},"originalEvent":{{"a":1}}}}"#
            )
        };
        for (body, expected) in [
            ("{\"eventType\"".to_owned(), "the body is not a JSON object (line 1, column 12)"),
            ("[]".to_owned(), "the body is not a JSON object (line 1, column 0)"),
            ("{}".to_owned(), "eventType must be \"dead-letter\""),
            (with(r#""retryCount":"2""#), "retryCount must be a whole number from 0 to 4294967295"),
            (with(r#""retryCount":-1"#), "retryCount must be a whole number from 0 to 4294967295"),
            (with(r#""retryCount":1.5"#), "retryCount must be a whole number from 0 to 4294967295"),
            (
                with(r#""retryCount":4294967296"#),
                "retryCount must be a whole number from 0 to 4294967295",
            ),
            (with(r#""failureReason":{"private":1}"#), "failureReason must be a string"),
            (with(r#""timestamp":1785000000"#), "timestamp must be a string"),
            (
                with(r#""subscriptionId":"../private""#),
                "subscriptionId must be the id of a subscription",
            ),
            (with(r#""subscriptionId":7"#), "subscriptionId must be the id of a subscription"),
            (with(r#""eventType":"private""#), "eventType must be \"dead-letter\""),
        ] {
            assert_eq!(fault(&body), expected, "{body}");
        }
    }

    #[test]
    fn wrapper_event_is_empty_when_it_has_no_content() {
        for event in ["null", "\"\"", "{}", " { } ", "[ ]"] {
            let body = format!(
                r#"{{"eventType":"dead-letter","subscriptionId":"s-1","originalEvent":{event}}}"#
            );
            assert_eq!(Wrapper::read(&body, true), Err(WrapperFault::Empty), "{event}");
        }
        let missing = r#"{"eventType":"dead-letter","subscriptionId":"s-1"}"#;
        assert_eq!(Wrapper::read(missing, true), Err(WrapperFault::Empty));
        for event in ["0", "false", "\" \"", "[0]", "{\"\":0}"] {
            assert!(!is_empty(Some(event)), "{event}");
        }
    }
}
