//! Moves messages of a queue to the folder of discarded events.

use std::collections::{HashMap, VecDeque};

use genesys_replay::archive::Entry;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::dead_letter::{ParsedMessage, original_failure, parse};
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::EventKey;
use genesys_replay::message::Message;

use super::{Copied, Mover, Original, objects};
use crate::archive::{ArchiveWriter, DISCARDED, MAX_OBJECT_BYTES, StoredObject};
use crate::operator::apply::{DeadLetterSource, FetchError, Fetched};
use crate::operator::plan::PlanItem;
use crate::operator::queue_reading::QueueReadError;

/// The mover of the messages in one queue. The copy is an archived dead letter, as the function writes it.
pub struct MessageMover<'a, S, A> {
    pub source: S,
    pub archive: &'a A,
    /// The prefix of the function's archive.
    pub prefix: &'a str,
    pub reason: &'a str,
    pub clock: &'a dyn Clock,
}

impl<'a, S: DeadLetterSource + Sync, A: ArchiveWriter> MessageMover<'a, S, A> {
    pub fn new(
        source: S,
        archive: &'a A,
        prefix: &'a str,
        reason: &'a str,
        clock: &'a dyn Clock,
    ) -> Self {
        Self { source, archive, prefix, reason, clock }
    }
}

impl<S: DeadLetterSource + Sync, A: ArchiveWriter> Mover for MessageMover<'_, S, A> {
    type Fetched = Result<Message, FetchError>;

    async fn next(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<Fetched>, QueueReadError> {
        self.source.fetch(items, todo, most).await
    }

    async fn copy(
        &self,
        item: &PlanItem,
        fetched: Result<Message, FetchError>,
        first_seen: Option<Timestamp>,
    ) -> Result<Copied, AwsError> {
        let message = match fetched {
            Ok(message) => message,
            // The ledger tells whether an earlier run of this plan removed the message, after its copy was stored.
            Err(FetchError::Gone) => return Ok(Copied::Gone { has_copy: true }),
            Err(error @ (FetchError::Unreadable(_) | FetchError::Changed | FetchError::Edit)) => {
                return Ok(Copied::Refused(error.to_string()));
            }
        };
        let parsed = parse(&message);
        let original = match &parsed {
            ParsedMessage::DeadLetter(dead_letter) => dead_letter.failure.clone(),
            ParsedMessage::Unreplayable(_) => original_failure(&message),
        };
        let code = item.failure_code.as_deref().and_then(FailureCode::parse);
        let now = self.clock.now();
        let first_seen = first_seen.or(message.sent_at).unwrap_or(now);
        let entry = Entry {
            message: &message,
            key: &EventKey::stored(&item.key),
            event_id: item.event_id(),
            event_type: Some(item.event_type.as_str()).filter(|it| *it != "unknown"),
            interaction_id: item.interaction_id.as_deref(),
            original: &original,
            target: &item.target,
            // SQS parks a message after too many receives, without a code of the function.
            code: code.unwrap_or(FailureCode::Exhausted),
            reason: self.reason,
            attempts: item.ledger.as_ref().map_or(0, |it| it.attempts),
            first_seen,
            now,
        };
        Ok(match store(self.archive, self.prefix, &entry).await? {
            Some(copy) => {
                let message_id = message.id.to_string();
                Copied::Verified(Original { copy, message_id, first_seen })
            }
            None => Copied::Refused("other objects have the keys of the copy".to_owned()),
        })
    }

    async fn remove(&self, item: &PlanItem) -> Result<Result<(), String>, AwsError> {
        let deleted = self.source.on_sent(item).await;
        Ok(deleted.unwrap_or(Ok(())).map_err(|error| error.reason))
    }

    async fn release(&mut self) {
        self.source.release_unsent().await;
    }
}

/// Stores a message. Returns the key of its object; `None` if other objects have both possible keys.
async fn store(
    archive: &impl ArchiveWriter,
    prefix: &str,
    entry: &Entry<'_>,
) -> Result<Option<String>, AwsError> {
    let event = entry.fingerprint();
    let object = StoredObject {
        content: entry.document().into_bytes(),
        etag: String::new(),
        content_type: Some("application/json".to_owned()),
        metadata: HashMap::from([("event".to_owned(), event.clone())]),
    };
    let key = format!("{DISCARDED}{}{}", prefix, entry.object_key());
    // As in the function's archive: the same event may have failed at two targets in the same millisecond.
    let short = event.get(..16).unwrap_or(&event);
    let other = format!("{}-{short}.json", key.trim_end_matches(".json"));
    for key in [key, other] {
        if objects::store(archive, &key, &object).await? {
            return Ok(Some(key));
        }
        // An earlier run stored the same message at another time.
        let stored = archive.read(&key, MAX_OBJECT_BYTES).await?;
        if stored.is_some_and(|stored| stored.metadata == object.metadata) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}
