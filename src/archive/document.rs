//! The document of an archived dead letter, read back from S3.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::attributes::{self, StoredAttribute};
use crate::clock::Timestamp;
use crate::destination::MAX_TARGET_BYTES;
use crate::failure::FailureCode;
use crate::message::{Message, MessageId, ingested};

/// The maximum length of an event id or a message id, in bytes.
const MAX_ID_BYTES: usize = 256;

/// An archived dead letter, with the members that are needed to send it again or to report on it.
///
/// Its members are not trusted: anyone with write access to the bucket may have written it.
#[derive(Clone, Debug, Deserialize)]
pub struct Document {
    /// The event's own id; without one, the message id.
    pub event_id: String,
    /// The event's type.
    pub event_type: Option<String>,
    /// The id of the message.
    pub message_id: String,
    /// The event's interaction.
    pub interaction_id: Option<String>,
    /// The category of the first failure.
    pub category: String,
    /// The failure code of the rejection.
    pub failure_code: String,
    /// The reason in words.
    #[serde(default)]
    pub failure_reason: String,
    /// The target of the event, as shown to people.
    pub target: String,
    /// The number of attempts.
    #[serde(default)]
    pub attempts: u32,
    /// The time at which the event was first seen, in RFC 3339.
    pub first_seen_at: String,
    /// The time of archiving, in RFC 3339.
    pub archived_at: String,
    /// The message attributes.
    #[serde(default)]
    attributes: BTreeMap<String, StoredAttribute>,
    /// The data types of texts that are not `String`; objects of older versions have none.
    #[serde(default)]
    attribute_types: BTreeMap<String, String>,
    body: Option<String>,
    body_base64: Option<String>,
}

/// The reasons why an object is not an archived dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// The object is not such a JSON document.
    #[error("not an archived dead letter (line {line}, column {column})")]
    Foreign {
        /// The line of the first error, from 1.
        line: usize,
        /// The column of the first error.
        column: usize,
    },
    /// A member is missing or invalid.
    #[error("the member {0} is missing or invalid")]
    Member(&'static str),
}

impl Document {
    /// Parses an object of the archive.
    ///
    /// # Errors
    /// [`DocumentFault`]: the object is not an archived dead letter.
    pub fn read(object: &[u8]) -> Result<Self, DocumentFault> {
        let document: Self = serde_json::from_slice(object).map_err(|error| {
            DocumentFault::Foreign { line: error.line(), column: error.column() }
        })?;
        // These members become part of a ledger key, which has a maximum length.
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

    /// Returns the failure code; `None` if this version does not define it.
    #[must_use]
    pub fn code(&self) -> Option<FailureCode> {
        FailureCode::parse(&self.failure_code)
    }

    /// Returns the time of archiving; `None` if it is not RFC 3339.
    #[must_use]
    pub fn archived_at(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.archived_at)
    }

    /// Returns the message as it was in the queue. Parsing it again yields the same event. `None` without a
    /// usable message id, or if a binary attribute is damaged.
    #[must_use]
    pub fn message(&self) -> Option<Message> {
        let body = self.body.as_ref().or(self.body_base64.as_ref())?;
        let mut message = Message::new(MessageId::new(self.message_id.as_str())?, body.clone());
        attributes::restore(&mut message, &self.attributes, &self.attribute_types)?;
        if self.body.is_none() {
            for (name, value) in
                [(ingested::ORIGIN, ingested::WEBHOOK), (ingested::BODY_ENCODING, ingested::BASE64)]
            {
                message.attributes.insert(name.to_owned(), value.to_owned());
            }
        }
        Some(message)
    }
}
