//! A failed event as a message for the replay queue.

use std::borrow::Cow;

use genesys_replay::archive::Document;
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::digest;
use genesys_replay::failure::{Category, OriginalFailure};
use genesys_replay::message::{Message, MessageId, resent};
use genesys_replay::queue::{AttributeValue, MAX_MESSAGE_BYTES, NewMessage, takes};

use super::event::{FailedEvent, Unusable};
use crate::operator::classified_message::ClassifiedMessage;

/// The maximum length of a failure's text, in bytes. The text is for people and for the classifier.
const MAX_REASON_BYTES: usize = 4 * 1024;

/// The maximum number of attributes of a message.
const MAX_ATTRIBUTES: usize = 10;

/// A message that is ready for the queue, and the function's classification of it.
#[derive(Clone, Debug)]
pub struct Enveloped {
    /// The event's id; the same in every import.
    pub id: String,
    /// The message.
    pub message: NewMessage,
    /// The category of the first failure, from the function's own code.
    pub category: Category,
    /// True if the function has a target for the event.
    pub has_target: bool,
}

/// Puts a failed event into a message. `raw` is the event's original text.
///
/// # Errors
/// [`Unusable`] if the event cannot be queued.
pub(super) fn envelop(
    event: FailedEvent,
    raw: &str,
    target_arn: Option<&str>,
    target: &ReplayTarget,
) -> Result<Enveloped, Unusable> {
    let body = event.payload?;
    // Without an id, the text identifies the event: equal records are one event, also in another import.
    let id = event.id.unwrap_or_else(|| digest::hexadecimal(raw));
    let code = event.failure_code.as_deref().map(clean);
    let reason = event.failure_reason.as_deref().map(clean);
    let said = message_of(code.as_deref(), reason, event.stack_trace.as_deref());
    let mut attributes = Vec::new();
    attributes.extend(code.map(|code| ("ERROR_CODE".to_owned(), code)));
    attributes.extend(said.map(|said| ("ERROR_MESSAGE".to_owned(), said)));
    if let Some(arn) = target_arn {
        attributes.push(("TARGET_ARN".to_owned(), arn.to_owned()));
    }
    finish(id, body, attributes, target)
}

/// Restores the message of an archived dead letter.
///
/// # Errors
/// [`Unusable`] if the dead letter cannot be queued.
pub(super) fn envelop_archived(
    document: &Document,
    target_arn: Option<&str>,
    target: &ReplayTarget,
) -> Result<Enveloped, Unusable> {
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
    let attributes = attributes.into_iter().collect();
    finish(document.event_id.clone(), message.body, attributes, target)
}

fn finish(
    id: String,
    body: String,
    mut attributes: Vec<(String, String)>,
    target: &ReplayTarget,
) -> Result<Enveloped, Unusable> {
    let key = EventId::new(id.as_str()).map_or_else(
        || digest::hexadecimal(&id),
        |usable| usable.as_str().to_owned(),
    );
    attributes.push((resent::EVENT_ID.to_owned(), key));
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(Unusable::TooManyAttributes);
    }
    if !takes(&body) || !attributes.iter().all(|(_, value)| takes(value)) {
        return Err(Unusable::NotQueueable);
    }
    let seen = as_the_function_sees_it(&body, &attributes, target)?;
    let deduplication = digest::hexadecimal(&id);
    let message = NewMessage {
        body,
        group: seen.interaction.unwrap_or_else(|| deduplication.clone()),
        deduplication,
        attributes: attributes
            .into_iter()
            .map(|(name, value)| (Cow::Owned(name), AttributeValue::Text(value)))
            .collect(),
    };
    let bytes = message.size();
    if bytes > MAX_MESSAGE_BYTES {
        return Err(Unusable::TooLong(bytes));
    }
    Ok(Enveloped {
        id,
        message,
        category: seen.category,
        has_target: seen.has_target,
    })
}

struct Seen {
    category: Category,
    interaction: Option<String>,
    has_target: bool,
}

fn as_the_function_sees_it(
    body: &str,
    attributes: &[(String, String)],
    target: &ReplayTarget,
) -> Result<Seen, Unusable> {
    let id = MessageId::new("imported").ok_or(Unusable::NoPayload)?;
    let mut message = Message::new(id, body.to_owned());
    message.attributes = attributes.iter().cloned().collect();
    let letter = ClassifiedMessage::of(&message, target);
    if let Some(why) = letter.unreplayable_reason() {
        let has_target = message.attribute("TARGET_ARN").is_some();
        return Err(if has_target {
            Unusable::UnreplayableReason(why)
        } else {
            Unusable::UnknownShape
        });
    }
    Ok(Seen {
        category: letter.category,
        interaction: letter.interaction().map(str::to_owned),
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
    let lines = trace
        .unwrap_or_default()
        .lines()
        .map(|line| clean(line.trim()));
    let Some((line, meant)) = lines
        .map(|line| (category(&line), line))
        .find_map(|(found, line)| (found != Category::Unknown).then_some((line, found)))
    else {
        return reason;
    };
    let both = reason.map(|reason| format!("{line} ({reason})"));
    // Drop the reason if it changes the category of the line.
    Some(both.filter(|both| category(both) == meant).unwrap_or(line))
}

/// Returns a text that fits into an attribute: within the maximum length, and without characters that SQS rejects.
fn clean(text: &str) -> String {
    let mut clean = String::new();
    for letter in text.chars() {
        let mut bytes = [0; 4];
        let letter = if takes(letter.encode_utf8(&mut bytes)) {
            letter
        } else {
            ' '
        };
        if clean.len() + letter.len_utf8() > MAX_REASON_BYTES {
            break;
        }
        clean.push(letter);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use genesys_replay::destination::AllowedTargets;

    const NOWHERE: ReplayTarget = ReplayTarget::Fixed(Destination::None);

    fn enveloped(text: &str, target_arn: Option<&str>) -> Result<Enveloped, Unusable> {
        envelop(FailedEvent::read(text)?, text, target_arn, &NOWHERE)
    }

    fn attribute(enveloped: &Enveloped, name: &str) -> Option<String> {
        let attributes = &enveloped.message.attributes;
        let (_, value) = attributes.iter().find(|(it, _)| it == name)?;
        Some(value.parts().1)
    }

    #[test]
    fn the_code_decides_then_the_reason_then_the_stack_trace() -> Result<(), Unusable> {
        for (failure, category, said) in [
            (
                r#""failure_code":"THROTTLING","failure_reason":"status 404","stack_trace":"503""#,
                Category::RateLimitExceeded,
                Some("status 404"),
            ),
            (
                r#""failure_code":"DELIVERY_FAILED","failure_reason":"HTTP status 404","stack_trace":"503""#,
                Category::TargetMissing,
                Some("HTTP status 404"),
            ),
            (
                r#""failure_reason":"it failed","stack_trace":"at a\n  java.net.Timeout: connection timed out\nat b""#,
                Category::EndpointUnreachable,
                Some("java.net.Timeout: connection timed out (it failed)"),
            ),
            (
                r#""failure_reason":"it failed with payload: x","stack_trace":"status 429""#,
                Category::RateLimitExceeded,
                Some("status 429 (it failed with payload: x)"),
            ),
            (
                r#""stack_trace":"status 422""#,
                Category::PayloadMalformed,
                Some("status 422"),
            ),
            (
                r#""failure_reason":"it failed","stack_trace":"at a\nat b""#,
                Category::Unknown,
                Some("it failed"),
            ),
            (r#""failure_code":"ODD""#, Category::Unknown, None),
        ] {
            let text = format!(r#"{{"id":"e-1","payload":{{"interactionId":"c-1"}},{failure}}}"#);
            let made = enveloped(&text, None)?;
            assert_eq!(made.category, category, "{failure}");
            assert_eq!(attribute(&made, "ERROR_MESSAGE").as_deref(), said);
        }
        Ok(())
    }

    #[test]
    fn an_event_without_an_id_is_known_by_what_it_says() -> Result<(), Unusable> {
        let one = enveloped(r#"{"payload":{"interactionId":"c-1"}}"#, None)?;
        let same = enveloped(r#"{"payload":{"interactionId":"c-1"}}"#, None)?;
        let other = enveloped(r#"{"payload":{"interactionId":"c-2"}}"#, None)?;
        assert_eq!(one.id, same.id);
        assert_ne!(one.id, other.id);
        Ok(())
    }

    #[test]
    fn an_id_that_no_key_can_have_stands_in_it_by_its_digest() -> Result<(), Unusable> {
        let made = enveloped(r#"{"id":"a|b é","payload":{"interactionId":"c-1"}}"#, None)?;
        let key = attribute(&made, resent::EVENT_ID);
        assert_eq!(key, Some(digest::hexadecimal("a|b é")));
        Ok(())
    }

    #[test]
    fn without_a_target_the_function_would_not_know_where_to() -> Result<(), Unusable> {
        let text = r#"{"id":"e-1","payload":{"interactionId":"c-1"}}"#;
        let original = ReplayTarget::Original(AllowedTargets::Any);
        let queue = "arn:aws:sqs:eu-central-1:271828182845:crm";
        for (arn, expected) in [(None, false), (Some(queue), true)] {
            let made = envelop(FailedEvent::read(text)?, text, arn, &original)?;
            assert_eq!(made.has_target, expected);
            assert_eq!(attribute(&made, "TARGET_ARN").as_deref(), arn);
        }
        Ok(())
    }

    #[test]
    fn what_no_queue_takes_is_refused() {
        let long = format!(
            r#"{{"payload":{{"interactionId":"c-1","a":"{}"}}}}"#,
            "x".repeat(MAX_MESSAGE_BYTES)
        );
        assert!(matches!(enveloped(&long, None), Err(Unusable::TooLong(_))));
        let odd = "{\"payload\":{\"interactionId\":\"c-1\",\"a\":\"\u{ffff}\"}}";
        assert_eq!(enveloped(odd, None).err(), Some(Unusable::NotQueueable));
    }

    #[test]
    fn the_words_of_a_failure_are_cut_and_cleaned() -> Result<(), Unusable> {
        let text = format!(
            r#"{{"payload":{{"interactionId":"c-1"}},"failure_reason":"timeout\u0000{}"}}"#,
            "é".repeat(MAX_REASON_BYTES)
        );
        let said = attribute(&enveloped(&text, None)?, "ERROR_MESSAGE").unwrap_or_default();
        assert!(said.starts_with("timeout é") && said.len() <= MAX_REASON_BYTES);
        Ok(())
    }

    #[test]
    fn a_payload_of_any_shape_is_an_event_once_its_target_is_known() {
        let text = r#"{"id":"e-1","failure_code":"TIMEOUT","payload":{"any":"shape"}}"#;
        assert_eq!(enveloped(text, None).err(), Some(Unusable::UnknownShape));
        let queue = "arn:aws:sqs:eu-central-1:271828182845:crm";
        assert!(enveloped(text, Some(queue)).is_ok());
        let record = r#"{"id":"e-1","payload":{"failedMessages":[],"busArn":"b"}}"#;
        let refused = enveloped(record, Some(queue)).err();
        assert!(matches!(refused, Some(Unusable::UnreplayableReason(_))));
    }
}
