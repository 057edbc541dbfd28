//! A failed event as a message for the replay queue.

use genesys_replay::archive::Document;
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::{EventId, ParsedMessage, UnreplayableReason, parse};
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::digest;
use genesys_replay::failure::{Category, OriginalFailure};
use genesys_replay::message::{Message, MessageId, imported, ingested, resent};
use genesys_replay::queue::{NewMessage, takes};

use super::event::{FailedEvent, Unusable};
use crate::operator::classified_message::ClassifiedMessage;
use crate::resend::new_message;

/// The maximum length of a failure's text, in bytes. The text is for people and for the classifier.
const MAX_REASON_BYTES: usize = 4 * 1024;

/// The maximum length of a stack trace, in bytes. It is for people only.
const MAX_TRACE_BYTES: usize = 16 * 1024;

/// A message that is ready for the queue, and the function's classification of it.
#[derive(Clone, Debug)]
pub(super) struct PreparedMessage {
    /// The identity of the event at its target, as the ledger has it; the same in every import. Two reports on different
    /// deliveries have different identities.
    pub(super) identity: String,
    /// The time of the failure, if the source names one.
    pub(super) at: Option<Timestamp>,
    pub(super) message: NewMessage,
    /// The category of the first failure, from the function's own code.
    pub(super) category: Category,
    /// True if the function has a target for the event.
    pub(super) has_target: bool,
}

impl PreparedMessage {
    /// Returns a digest of the payload. White space and the order of members in JSON do not count.
    pub(super) fn content(&self) -> String {
        let body = &self.message.body;
        let json = serde_json::from_str::<serde_json::Value>(body).map(|json| json.to_string());
        digest::short(json.as_ref().unwrap_or(body))
    }

    /// Returns the event's id in a cursor. A repaired payload is another event there, and the ledger decides about it.
    pub(super) fn cursor_id(&self) -> String {
        format!("{} {}", self.identity, digest::short(&self.message.body))
    }
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
    let code = event.failure_code.as_deref().map(|code| clean(code, MAX_REASON_BYTES));
    let reason = event.failure_reason.as_deref().map(|reason| clean(reason, MAX_REASON_BYTES));
    let trace = event.stack_trace.as_deref();
    let said = message_of(code.as_deref(), reason, trace);
    let trace = trace.or(event.unused_text.as_deref());
    let mut message = imported_message(body)?;
    let attributes = [
        (ingested::ORIGIN, Some(imported::IMPORT.to_owned())),
        ("ERROR_CODE", code),
        ("ERROR_MESSAGE", said),
        ("TARGET_ARN", target_arn.map(str::to_owned).or(event.target_arn)),
        (imported::EVENT_TYPE, event.event_type.map(|it| clean(&it, MAX_REASON_BYTES))),
        (imported::STACK_TRACE, trace.map(|trace| clean(trace, MAX_TRACE_BYTES))),
    ];
    for (name, value) in attributes {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            message.attributes.insert(name.to_owned(), value);
        }
    }
    finish(&id, event.time, message, target)
}

/// Restores the message of an archived dead letter.
pub(super) fn prepare_archived(
    document: &Document,
    target_arn: Option<&str>,
    target: &ReplayTarget,
) -> Result<PreparedMessage, Unusable> {
    let message = document.message().ok_or(Unusable::NoPayload)?;
    let at = document.archived_at();
    finish(&document.event_id, at, restored(message, target_arn, target)?, target)
}

/// Restores a message of a queue. The event's own id identifies it; without one, the message id.
pub(super) fn prepare_message(
    message: Message,
    target_arn: Option<&str>,
    target: &ReplayTarget,
) -> Result<PreparedMessage, Unusable> {
    let event_id = match parse(&message) {
        ParsedMessage::DeadLetter(dead_letter) => dead_letter.event_id,
        ParsedMessage::Unreplayable(_) => None,
    };
    let id = event_id.map_or_else(|| message.id.to_string(), |id| id.as_str().to_owned());
    let sent_at = message.sent_at;
    finish(&id, sent_at, restored(message, target_arn, target)?, target)
}

/// Returns a message for the queue with the body and attributes of an earlier one. Attributes of an operator replay are
/// removed, because an import is not a plan of this deployment.
fn restored(
    message: Message,
    target_arn: Option<&str>,
    target: &ReplayTarget,
) -> Result<Message, Unusable> {
    if message.is_base64() {
        return Err(Unusable::Binary);
    }
    match target_arn {
        Some(arn) => retargeted(message, arn, target),
        None => whole(message),
    }
}

/// The attributes that an earlier plan gave a message.
const OF_A_PLAN: [&str; 4] = [resent::PLAN, resent::BY, resent::REASON, resent::EVENT_ID];

/// Returns a message for the queue without a change of its target.
fn whole(message: Message) -> Result<Message, Unusable> {
    let moved_id = message.moved_from().map(|_| message.id.to_string());
    let mut restored = imported_message(message.body)?;
    (restored.attributes, restored.typed) = (message.attributes, message.typed);
    restored.group = message.group;
    restored
        .attributes
        .retain(|name, value| !OF_A_PLAN.contains(&name.as_str()) && !value.is_empty());
    if let Some(id) = moved_id {
        restored.attributes.entry(resent::MESSAGE_ID.to_owned()).or_insert(id);
    }
    Ok(restored)
}

/// Returns the event of an earlier message for another target. The envelope around the event is left out, because only
/// its sender's parser would remove it. For the message's own target, and with a fixed target, the message is unchanged: its
/// report of a later failure shows the function that the event must be delivered again.
fn retargeted(message: Message, arn: &str, target: &ReplayTarget) -> Result<Message, Unusable> {
    if ClassifiedMessage::of(&message, target).destination == target.destination(Some(arn), &[]) {
        return whole(message);
    }
    let ParsedMessage::DeadLetter(dead_letter) = parse(&message) else {
        // Any payload is accepted with a target, except for a message that says that it has none.
        let mut restored = whole(message)?;
        restored.attributes.insert("TARGET_ARN".to_owned(), arn.to_owned());
        return Ok(restored);
    };
    let failure = &dead_letter.failure;
    let attributes = [
        (ingested::ORIGIN, Some(imported::IMPORT.to_owned())),
        ("ERROR_CODE", failure.error_code.clone()),
        // Text of the target's own code is not evidence.
        ("ERROR_MESSAGE", failure.error_message.clone().filter(|_| !failure.is_targets_text)),
        ("RULE_ARN", failure.rule_arn.clone()),
        ("TARGET_ARN", Some(arn.to_owned())),
        (imported::EVENT_TYPE, dead_letter.event_type.clone()),
        (imported::STACK_TRACE, failure.stack_trace.clone()),
    ];
    let mut retargeted = imported_message(dead_letter.payload.into_owned())?;
    retargeted.group.clone_from(&message.group);
    for (name, value) in attributes {
        retargeted.attributes.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(retargeted)
}

fn imported_message(body: String) -> Result<Message, Unusable> {
    Ok(Message::new(MessageId::new("imported").ok_or(Unusable::NoPayload)?, body))
}

fn finish(
    id: &str,
    at: Option<Timestamp>,
    mut message: Message,
    target: &ReplayTarget,
) -> Result<PreparedMessage, Unusable> {
    let key = EventId::new(id)
        .map_or_else(|| digest::hexadecimal(id), |usable| usable.as_str().to_owned());
    message.attributes.insert(resent::EVENT_ID.to_owned(), key);
    if !takes(&message.body) || !message.attributes.values().all(|value| takes(value)) {
        return Err(Unusable::NotQueueable);
    }
    let letter = ClassifiedMessage::of(&message, target);
    let report = letter.event().and_then(|event| event.report.as_ref()?.delivery_id.clone());
    let identity = format!("{} {}", letter.key, report.unwrap_or_default());
    let prepared = new_message(&message, &identity).map_err(|_| Unusable::TooManyAttributes)?;
    if let Some(why) = letter.unreplayable_reason() {
        return Err(match why {
            UnreplayableReason::UnknownShape | UnreplayableReason::NotJson => {
                Unusable::UnknownShape
            }
            UnreplayableReason::Empty
            | UnreplayableReason::NestedTooDeep
            | UnreplayableReason::EmptyWrapper
            | UnreplayableReason::CustomBusRecord
            | UnreplayableReason::Truncated
            | UnreplayableReason::Offloaded(_)
            | UnreplayableReason::Webhook(_)
            | UnreplayableReason::Encrypted => Unusable::UnreplayableReason(why),
        });
    }
    Ok(PreparedMessage {
        identity,
        at,
        category: letter.category,
        has_target: letter.destination != Destination::Missing,
        message: prepared,
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
        .filter(|line| !is_code(line))
        .map(|line| clean(line.trim(), MAX_REASON_BYTES))
        .map(|line| (category(&line), line))
        .find(|(found, _)| *found != Category::Unknown);
    let Some((meant, line)) = found else {
        return reason;
    };
    let both = reason.map(|reason| format!("{line} ({reason})"));
    // Drop the reason if it changes the category of the line.
    Some(both.filter(|both| category(both) == meant).unwrap_or(line))
}

/// Returns true for a line of a stack trace with code or its place. The names and numbers of such lines are not evidence.
fn is_code(line: &str) -> bool {
    let begun = line.trim_start();
    // An indented line is code, except for `java.net.ConnectException: Connection refused`.
    let is_indented = begun.len() < line.len();
    let has_name =
        begun.split_once(": ").is_some_and(|(name, _)| !name.contains([' ', '(', '"', '\'']));
    let is_frame = ["at ", "File \"", "from ", "in ", "...", "goroutine ", "/"]
        .iter()
        .any(|begin| begun.starts_with(begin));
    // Frames of Go and Ruby.
    let has_place = ["(0x", "(...)", ".go:", ".rb:"].iter().any(|place| line.contains(place));
    is_frame || has_place || is_indented && !has_name
}

/// Returns a text that fits into an attribute: within the maximum length, and without characters that SQS rejects.
fn clean(text: &str, max_bytes: usize) -> String {
    let accepted = |letter: char| takes(letter.encode_utf8(&mut [0; 4]));
    let mut clean: String =
        text.chars().map(|letter| if accepted(letter) { letter } else { ' ' }).collect();
    clean.truncate(clean.floor_char_boundary(max_bytes));
    clean
}

#[cfg(test)]
mod tests;
