//! The archive: where a dead letter is kept that must not be replayed.

mod document;

use std::error::Error as StdError;
use std::future::Future;

use serde_json::json;

use crate::clock::Timestamp;
use crate::digest;
use crate::failure::{FailureCode, OriginalFailure};
use crate::ledger::EventKey;
use crate::message::Message;
pub use document::{Document, DocumentFault};

/// The longest part of an object key, in bytes: event types and ids come from outside.
const MAX_KEY_PART_BYTES: usize = 200;

/// A dead letter and why it is archived.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The message, whose body is kept as it stood in the queue.
    pub message: &'a Message,
    /// The event at its destination.
    pub key: &'a EventKey,
    /// The event's own id, else the message's.
    pub event_id: &'a str,
    /// The event's type.
    pub event_type: Option<&'a str>,
    /// Its interaction.
    pub interaction_id: Option<&'a str>,
    /// The delivery that failed first.
    pub original: &'a OriginalFailure,
    /// Where it would have gone.
    pub target: &'a str,
    /// Why it is archived.
    pub code: FailureCode,
    /// Why, in words.
    pub reason: &'a str,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the event was first seen; the same however often it is archived.
    pub first_seen: Timestamp,
    /// The time of archiving.
    pub now: Timestamp,
}

impl Entry<'_> {
    /// `{event type}/{failure code}/{event id}-{first seen}.json`, each part made safe.
    #[must_use]
    pub fn object_key(&self) -> String {
        format!(
            "{}/{}/{}-{}.json",
            safe(self.event_type),
            self.code,
            safe(Some(self.event_id)),
            self.first_seen.compact()
        )
    }

    /// The identity of the object, 64 hexadecimal digits: the digest of the event's key and the body. Two
    /// messages of one event may have different bodies, and each is kept.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        digest::hexadecimal(&format!("{}\n{}", self.key, self.message.body))
    }

    /// The object: a JSON document that holds the whole message.
    #[must_use]
    pub fn document(&self) -> String {
        let body = if self.message.is_base64() {
            "body_base64"
        } else {
            "body"
        };
        json!({
            "event_id": self.event_id,
            "event_type": self.event_type,
            "message_id": self.message.id.as_str(),
            "interaction_id": self.interaction_id,
            "category": self.original.category().as_str(),
            "failure_code": self.code.as_str(),
            "failure_reason": self.reason,
            "error_code": self.original.error_code,
            "error_message": self.original.error_message,
            "rule_arn": self.original.rule_arn,
            "target": self.target,
            "attempts": self.attempts,
            "receive_count": self.message.receive_count,
            "first_seen_at": self.first_seen.to_string(),
            "archived_at": self.now.to_string(),
            "attributes": self.message.attributes,
            // SQS takes only text: what came to ingest and is none was queued as base64.
            body: self.message.body,
        })
        .to_string()
    }
}

/// A text as one part of an object key: without separators and what consoles stumble over.
fn safe(part: Option<&str>) -> String {
    let safe: String = part
        .unwrap_or_default()
        .chars()
        .take(MAX_KEY_PART_BYTES)
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => c,
            _ => '_',
        })
        .collect();
    if safe.trim_matches('.').is_empty() {
        "unknown".to_owned()
    } else {
        safe
    }
}

/// Why a dead letter was not archived. The caller keeps the message.
#[derive(Debug, thiserror::Error)]
#[error("the archive is unavailable")]
pub struct ArchiveError(#[source] pub Box<dyn StdError + Send + Sync>);

/// Where dead letters are kept.
///
/// `Ok` means durably stored. Archiving the same message for the same reason again changes nothing;
/// two different events, or bodies of one event, are never stored over one another.
pub trait Archive: Send + Sync {
    /// Keeps one dead letter and answers where, in a form that a person can look it up by.
    ///
    /// # Errors
    /// [`ArchiveError`]: it may have been stored all the same; the message must not be acknowledged.
    fn put(&self, entry: &Entry<'_>) -> impl Future<Output = Result<String, ArchiveError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_key_is_safe_and_never_empty() {
        for (part, expected) in [
            (
                Some("v2.detail.events.conversation.{id}.customer.end"),
                "v2.detail.events.conversation._id_.customer.end",
            ),
            (Some("a/b\\c:d e"), "a_b_c_d_e"),
            (Some(".."), "unknown"),
            (Some(""), "unknown"),
            (None, "unknown"),
        ] {
            assert_eq!(safe(part), expected);
        }
        assert_eq!(safe(Some(&"x".repeat(1_000))).len(), MAX_KEY_PART_BYTES);
    }
}
