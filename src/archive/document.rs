//! The document of an archived dead letter, read back.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::destination::MAX_TARGET_BYTES;
use crate::failure::FailureCode;
use crate::message::{Message, MessageId, ingested};

/// The longest id of an event or a message, in bytes.
const MAX_ID_BYTES: usize = 256;

/// An archived dead letter, as far as it is needed to send it again or to report on it.
///
/// Nothing in it is believed before it is used: whoever may write to the bucket may have written it.
#[derive(Clone, Debug, Deserialize)]
pub struct Document {
    /// The event's own id, else the message's.
    pub event_id: String,
    /// The event's type.
    pub event_type: Option<String>,
    /// The message that brought it.
    pub message_id: String,
    /// Its interaction.
    pub interaction_id: Option<String>,
    /// Why its first delivery failed.
    pub category: String,
    /// Why it was archived.
    pub failure_code: String,
    /// Why, in words.
    #[serde(default)]
    pub failure_reason: String,
    /// Where it would have gone, as people read it.
    pub target: String,
    /// How many attempts were made.
    #[serde(default)]
    pub attempts: u32,
    /// When the event was first seen, in RFC 3339.
    pub first_seen_at: String,
    /// When it was archived, in RFC 3339.
    pub archived_at: String,
    /// The message attributes.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    body: Option<String>,
    body_base64: Option<String>,
}

/// Why an object is no archived dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// It is something else.
    #[error("it is no archived dead letter (line {line}, column {column})")]
    Foreign {
        /// Where it ends to be one, from 1.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// A member is missing or makes no sense.
    #[error("its member {0} is missing or makes no sense")]
    Member(&'static str),
}

impl Document {
    /// Reads an object of the archive.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(object: &[u8]) -> Result<Self, DocumentFault> {
        let document: Self =
            serde_json::from_slice(object).map_err(|error| DocumentFault::Foreign {
                line: error.line(),
                column: error.column(),
            })?;
        // What becomes of them is a key of the ledger, and those are bounded.
        for (member, text, longest) in [
            ("message_id", &document.message_id, MAX_ID_BYTES),
            ("event_id", &document.event_id, MAX_ID_BYTES),
            ("target", &document.target, MAX_TARGET_BYTES),
        ] {
            if text.is_empty() || text.len() > longest {
                return Err(DocumentFault::Member(member));
            }
        }
        if document.body.is_none() && document.body_base64.is_none() {
            return Err(DocumentFault::Member("body"));
        }
        Ok(document)
    }

    /// Why it was archived, if that is a code of this version.
    #[must_use]
    pub fn code(&self) -> Option<FailureCode> {
        FailureCode::parse(&self.failure_code)
    }

    /// When it was archived.
    #[must_use]
    pub fn archived_at(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.archived_at)
    }

    /// The message as it stood in the queue; opened again, it is the same event as it was.
    #[must_use]
    pub fn message(&self) -> Option<Message> {
        let body = self.body.as_ref().or(self.body_base64.as_ref())?;
        let mut message = Message::new(MessageId::new(self.message_id.as_str())?, body.clone());
        message.attributes.clone_from(&self.attributes);
        if self.body.is_none() {
            for (name, value) in [
                (ingested::ORIGIN, ingested::WEBHOOK),
                (ingested::BODY_ENCODING, ingested::BASE64),
            ] {
                message.attributes.insert(name.to_owned(), value.to_owned());
            }
        }
        Some(message)
    }
}
