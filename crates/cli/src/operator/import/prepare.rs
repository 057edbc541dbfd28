//! A failed event as a message for the replay queue.

use std::collections::BTreeMap;

use genesys_replay::archive::Document;
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::digest;
use genesys_replay::failure::{Category, OriginalFailure};
use genesys_replay::message::{Message, MessageId, resent};
use genesys_replay::queue::{MAX_MESSAGE_BYTES, NewMessage, takes};

use super::event::{FailedEvent, Unusable};
use crate::operator::classified_message::ClassifiedMessage;
use crate::resend::new_message;

/// The maximum length of a failure's text, in bytes. The text is for people and for the classifier.
const MAX_REASON_BYTES: usize = 4 * 1024;

/// A message that is ready for the queue, and the function's classification of it.
#[derive(Clone, Debug)]
pub(super) struct PreparedMessage {
    /// The event's id; the same in every import.
    pub(super) id: String,
    pub(super) message: NewMessage,
    /// The category of the first failure, from the function's own code.
    pub(super) category: Category,
    /// True if the function has a target for the event.
    pub(super) has_target: bool,
}

/// Puts a failed event into a message. `raw` is the event's original text.
pub(super) fn prepare(
    event: FailedEvent,
    raw: &str,
    target_arn: Option<&str>,
    target: &ReplayTarget,
) -> Result<PreparedMessage, Unusable> {
    let body = event.payload?;
    // Without an id, the text identifies the event: equal records are one event, also in another import.
    let id = event.id.unwrap_or_else(|| digest::hexadecimal(raw));
    let code = event.failure_code.as_deref().map(clean);
    let reason = event.failure_reason.as_deref().map(clean);
    let said = message_of(code.as_deref(), reason, event.stack_trace.as_deref());
    let attributes = [
        ("ERROR_CODE", code),
        ("ERROR_MESSAGE", said),
        ("TARGET_ARN", target_arn.map(str::to_owned)),
    ];
    let attributes = attributes.into_iter();
    let attributes =
        attributes.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    finish(id, body, attributes, target)
}

/// Restores the message of an archived dead letter.
pub(super) fn prepare_archived(
    document: &Document,
    target_arn: Option<&str>,
    target: &ReplayTarget,
) -> Result<PreparedMessage, Unusable> {
    let message = document.message().ok_or(Unusable::NoPayload)?;
    if message.is_base64() {
        return Err(Unusable::Binary);
    }
    let mut attributes = message.attributes;
    // Remove the attributes of an operator replay, because an import is not a plan of this deployment.
    attributes.retain(|name, value| {
        name != resent::PLAN && name != resent::EVENT_ID && !value.is_empty()
    });
    if let Some(arn) = target_arn {
        attributes.insert("TARGET_ARN".to_owned(), arn.to_owned());
    }
    finish(document.event_id.clone(), message.body, attributes, target)
}

fn finish(
    id: String,
    body: String,
    mut attributes: BTreeMap<String, String>,
    target: &ReplayTarget,
) -> Result<PreparedMessage, Unusable> {
    let key = EventId::new(id.as_str())
        .map_or_else(|| digest::hexadecimal(&id), |usable| usable.as_str().to_owned());
    attributes.insert(resent::EVENT_ID.to_owned(), key);
    let mut message = Message::new(MessageId::new("imported").ok_or(Unusable::NoPayload)?, body);
    message.attributes = attributes;
    let prepared = new_message(&message, &id).map_err(|_| Unusable::TooManyAttributes)?;
    if !takes(&message.body) || !message.attributes.values().all(|value| takes(value)) {
        return Err(Unusable::NotQueueable);
    }
    let letter = ClassifiedMessage::of(&message, target);
    if let Some(why) = letter.unreplayable_reason() {
        return Err(match message.attribute("TARGET_ARN") {
            Some(_) => Unusable::UnreplayableReason(why),
            None => Unusable::UnknownShape,
        });
    }
    let bytes = prepared.size();
    if bytes > MAX_MESSAGE_BYTES {
        return Err(Unusable::TooLong(bytes));
    }
    Ok(PreparedMessage {
        id,
        message: prepared,
        category: letter.category,
        has_target: letter.destination != Destination::Missing,
    })
}

/// Returns the text of `ERROR_MESSAGE`: the reason. If only a line of the stack trace has a category, that line comes
/// first.
fn message_of(code: Option<&str>, reason: Option<String>, trace: Option<&str>) -> Option<String> {
    let category = |said: &str| {
        OriginalFailure {
            error_code: code.map(str::to_owned),
            error_message: Some(said.to_owned()),
            ..OriginalFailure::default()
        }
        .category()
    };
    if category(reason.as_deref().unwrap_or_default()) != Category::Unknown {
        return reason;
    }
    let lines = trace.unwrap_or_default().lines();
    let found = lines
        .map(|line| clean(line.trim()))
        .map(|line| (category(&line), line))
        .find(|(found, _)| *found != Category::Unknown);
    let Some((meant, line)) = found else {
        return reason;
    };
    let both = reason.map(|reason| format!("{line} ({reason})"));
    // Drop the reason if it changes the category of the line.
    Some(both.filter(|both| category(both) == meant).unwrap_or(line))
}

/// Returns a text that fits into an attribute: within the maximum length, and without characters that SQS rejects.
fn clean(text: &str) -> String {
    let accepted = |letter: char| takes(letter.encode_utf8(&mut [0; 4]));
    let mut clean: String =
        text.chars().map(|letter| if accepted(letter) { letter } else { ' ' }).collect();
    clean.truncate(clean.floor_char_boundary(MAX_REASON_BYTES));
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use genesys_replay::destination::AllowedTargets;

    const NOWHERE: ReplayTarget = ReplayTarget::Fixed(Destination::None);

    fn prepared(text: &str, target_arn: Option<&str>) -> Result<PreparedMessage, Unusable> {
        prepare(FailedEvent::read(text)?, text, target_arn, &NOWHERE)
    }

    fn attribute(prepared: &PreparedMessage, name: &str) -> Option<String> {
        let attributes = &prepared.message.attributes;
        let (_, value) = attributes.iter().find(|(it, _)| it == name)?;
        value.as_text().map(str::to_owned)
    }

    #[test]
    fn category_follows_code_then_reason_then_stack_trace() -> Result<(), Unusable> {
        use Category::{EndpointUnreachable, PayloadMalformed, RateLimitExceeded, TargetMissing};
        for (category, said, failure) in [
            (
                RateLimitExceeded,
                "status 404",
                r#""failure_code":"THROTTLING","failure_reason":"status 404","stack_trace":"503""#,
            ),
            (
                TargetMissing,
                "HTTP status 404",
                r#""failure_code":"DELIVERY_FAILED","failure_reason":"HTTP status 404","stack_trace":"503""#,
            ),
            (
                EndpointUnreachable,
                "java.net.Timeout: connection timed out (it failed)",
                r#""failure_reason":"it failed","stack_trace":"at a\n  java.net.Timeout: connection timed out\nat b""#,
            ),
            (
                RateLimitExceeded,
                "status 429 (it failed with payload: x)",
                r#""failure_reason":"it failed with payload: x","stack_trace":"status 429""#,
            ),
            (PayloadMalformed, "status 422", r#""stack_trace":"status 422""#),
            (
                Category::Unknown,
                "it failed",
                r#""failure_reason":"it failed","stack_trace":"at a\nat b""#,
            ),
            (Category::Unknown, "", r#""failure_code":"ODD""#),
        ] {
            let text = format!(r#"{{"id":"e-1","payload":{{"interactionId":"c-1"}},{failure}}}"#);
            let made = prepared(&text, None)?;
            assert_eq!(made.category, category, "{failure}");
            let message = attribute(&made, "ERROR_MESSAGE");
            assert_eq!(message.as_deref(), Some(said).filter(|it| !it.is_empty()));
        }
        Ok(())
    }

    #[test]
    fn event_without_an_id_is_identified_by_its_text() -> Result<(), Unusable> {
        let one = prepared(r#"{"payload":{"interactionId":"c-1"}}"#, None)?;
        let same = prepared(r#"{"payload":{"interactionId":"c-1"}}"#, None)?;
        let other = prepared(r#"{"payload":{"interactionId":"c-2"}}"#, None)?;
        assert_eq!(one.id, same.id);
        assert_ne!(one.id, other.id);
        Ok(())
    }

    #[test]
    fn invalid_event_id_is_replaced_by_its_digest() -> Result<(), Unusable> {
        let made = prepared(r#"{"id":"a|b é","payload":{"interactionId":"c-1"}}"#, None)?;
        let key = attribute(&made, resent::EVENT_ID);
        assert_eq!(key, Some(digest::hexadecimal("a|b é")));
        Ok(())
    }

    #[test]
    fn event_without_a_target_needs_a_fixed_target() -> Result<(), Unusable> {
        let text = r#"{"id":"e-1","payload":{"interactionId":"c-1"}}"#;
        let original = ReplayTarget::Original(AllowedTargets::Any);
        let queue = "arn:aws:sqs:eu-central-1:271828182845:crm";
        for (arn, expected) in [(None, false), (Some(queue), true)] {
            let made = prepare(FailedEvent::read(text)?, text, arn, &original)?;
            assert_eq!(made.has_target, expected);
            assert_eq!(attribute(&made, "TARGET_ARN").as_deref(), arn);
        }
        Ok(())
    }

    #[test]
    fn event_is_refused_when_sqs_would_reject_its_message() {
        let long = format!(
            r#"{{"payload":{{"interactionId":"c-1","a":"{}"}}}}"#,
            "x".repeat(MAX_MESSAGE_BYTES)
        );
        assert!(matches!(prepared(&long, None), Err(Unusable::TooLong(_))));
        let odd = "{\"payload\":{\"interactionId\":\"c-1\",\"a\":\"\u{ffff}\"}}";
        assert_eq!(prepared(odd, None).err(), Some(Unusable::NotQueueable));
    }

    #[test]
    fn failure_text_is_cut_and_cleaned() -> Result<(), Unusable> {
        let text = format!(
            r#"{{"payload":{{"interactionId":"c-1"}},"failure_reason":"timeout\u0000{}"}}"#,
            "é".repeat(MAX_REASON_BYTES)
        );
        let said = attribute(&prepared(&text, None)?, "ERROR_MESSAGE").unwrap_or_default();
        assert!(said.starts_with("timeout é") && said.len() <= MAX_REASON_BYTES);
        Ok(())
    }

    #[test]
    fn payload_of_any_shape_is_accepted_with_a_target() {
        let text = r#"{"id":"e-1","failure_code":"TIMEOUT","payload":{"any":"shape"}}"#;
        assert_eq!(prepared(text, None).err(), Some(Unusable::UnknownShape));
        let queue = "arn:aws:sqs:eu-central-1:271828182845:crm";
        assert!(prepared(text, Some(queue)).is_ok());
        let record = r#"{"id":"e-1","payload":{"failedMessages":[],"busArn":"b"}}"#;
        let refused = prepared(record, Some(queue)).err();
        assert!(matches!(refused, Some(Unusable::UnreplayableReason(_))));
    }
}
