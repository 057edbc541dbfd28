//! The archive of dead letters that must not be replayed.

mod attributes;
mod document;

use std::error::Error as StdError;
use std::future::Future;

use genesys_replay_version::PROGRAM;
use serde_json::json;

use crate::clock::Timestamp;
use crate::digest;
use crate::failure::{FailureCode, OriginalFailure};
use crate::ledger::EventKey;
use crate::message::Message;
use attributes::{attribute_types, stored_attributes};
pub use document::{Document, DocumentFault};

/// The maximum length of a variable part of an object key, in bytes. Event types and ids come from outside.
const MAX_KEY_PART_BYTES: usize = 200;

/// A dead letter and the reason for archiving it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The message. Its body is archived unchanged.
    pub message: &'a Message,
    /// The key of the event at its destination.
    pub key: &'a EventKey,
    /// The event's own id; without one, the message id.
    pub event_id: &'a str,
    /// The event's type.
    pub event_type: Option<&'a str>,
    /// The event's interaction.
    pub interaction_id: Option<&'a str>,
    /// The failure of the first delivery.
    pub original: &'a OriginalFailure,
    /// The target of the event.
    pub target: &'a str,
    /// The failure code of the rejection.
    pub code: FailureCode,
    /// The reason in words.
    pub reason: &'a str,
    /// The number of attempts.
    pub attempts: u32,
    /// The time at which the event was first seen. Archiving the event again does not change this time.
    pub first_seen: Timestamp,
    /// The time of archiving.
    pub now: Timestamp,
}

impl Entry<'_> {
    /// Returns `{event type}/{failure code}/{event id}-{first seen}.json`. Unsafe characters are replaced.
    #[must_use]
    pub fn object_key(&self) -> String {
        object_key(self.event_type, self.code.as_str(), self.event_id, self.first_seen)
    }

    /// Returns the identity of the object: the digest of event key and body, 64 hexadecimal digits. Messages
    /// of one event may have different bodies; each body has its own object.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        digest::hexadecimal(&format!("{}\n{}", self.key, self.message.body))
    }

    /// Returns the object: a JSON document with the whole message.
    #[must_use]
    pub fn document(&self) -> String {
        let body = if self.message.is_base64() { "body_base64" } else { "body" };
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
            "stack_trace": self.original.stack_trace,
            "rule_arn": self.original.rule_arn,
            "target": self.target,
            "original_target": self.original.original_target(),
            "attempts": self.attempts,
            "receive_count": self.message.receive_count,
            "first_seen_at": self.first_seen.to_string(),
            "archived_at": self.now.to_string(),
            "written_by": PROGRAM,
            "attributes": stored_attributes(self.message),
            "attribute_types": attribute_types(self.message),
            // SQS accepts only text. Ingest encoded a body that is not text as base64.
            body: self.message.body,
        })
        .to_string()
    }
}

/// Returns the key of an archived object below the archive's prefix:
/// `{event type}/{failure code}/{event id}-{first seen}.json`. Unsafe characters are replaced.
#[must_use]
pub fn object_key(
    event_type: Option<&str>,
    code: &str,
    event_id: &str,
    first_seen: Timestamp,
) -> String {
    let (event_type, event_id) = (safe(event_type), safe(Some(event_id)));
    format!("{event_type}/{code}/{event_id}-{}.json", first_seen.compact())
}

/// Returns a text as one part of an object key, without separators and without characters that consoles
/// mishandle.
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
    if safe.trim_matches('.').is_empty() { "unknown".to_owned() } else { safe }
}

/// The error when a dead letter was not archived. The caller returns the message to the queue.
#[derive(Debug, thiserror::Error)]
#[error("the archive is unavailable")]
pub struct ArchiveError(#[source] pub Box<dyn StdError + Send + Sync>);

/// The store of rejected dead letters.
///
/// `Ok` means durably stored. Archiving the same message again for the same reason changes nothing. An object
/// of another event, or of another body of the same event, is never overwritten.
pub trait Archive: Send + Sync {
    /// Archives one dead letter and returns its address, in a form that a person can look up.
    ///
    /// # Errors
    /// [`ArchiveError`]: the object may have been stored. The message must not be acknowledged.
    fn put(&self, entry: &Entry<'_>) -> impl Future<Output = Result<String, ArchiveError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_key_part_is_safe_and_never_empty() {
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
