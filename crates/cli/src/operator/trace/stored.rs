//! The ledger's and the archive's part of a trace.

use futures_util::{TryStreamExt, future};
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::destination::ReplayTarget;
use genesys_replay::failure::Category;
use genesys_replay::ledger::Status;

use super::places::first_failure;
use super::{EventFacts, EventTrace, TracePlace, TraceSubject};
use crate::archive::{ArchiveReader, ArchivedObject, DISCARDED, MAX_OBJECT_BYTES, objects};
use crate::ledger::{LedgerReader, Record, scan_all};
use crate::operator::Progress;
use crate::operator::classified_message::ClassifiedMessage;
use crate::operator::plan::object_name;
use crate::operator::remedy::with_remedy;

const MAX_CONCURRENT_DOWNLOADS: usize = 16;

impl EventTrace {
    /// Searches the whole ledger, because its keys begin with the event, and other ids are not indexed.
    pub async fn search_ledger(
        &mut self,
        ledger: &impl LedgerReader,
        table: &str,
        segments: u32,
        progress: &dyn Progress,
    ) {
        progress.begin("searching the ledger", None);
        let mut read = 0;
        let mut records = scan_all(ledger, segments);
        let ended = loop {
            match records.try_next().await {
                Ok(Some(record)) => {
                    progress.advance(1);
                    read += 1;
                    let interaction = record.interaction_id.as_deref();
                    if self.is_about(record.event_id(), interaction, &record.message_id) {
                        self.add_record(record);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        progress.end();
        let problem = ended.err().map(|error| with_remedy(&error));
        self.searched_in(TracePlace::Ledger, table, read, problem);
    }

    /// Adds the ledger items of found events that the search of the ledger did not find, such as by an earlier message.
    pub async fn complete_from_ledger(&mut self, ledger: &impl LedgerReader, keys: &[String]) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        // The search of the whole ledger has already reported an error.
        for record in ledger.find(&keys).await.unwrap_or_default() {
            self.add_record(record);
        }
    }

    fn add_record(&mut self, record: Record) {
        let facts = EventFacts {
            interaction_id: record.interaction_id.clone(),
            event_type: record.event_type.clone(),
            original_target: record.original_target.clone(),
        };
        let event = self.event_with(record.event_id(), &record.target, facts);
        event.add(
            record.first_seen,
            TracePlace::Ledger,
            "first claimed by the function".to_owned(),
        );
        event.add(record.processed, TracePlace::Ledger, last_work(&record));
        event.found.item = Some(record);
    }

    /// Searches the objects below a prefix. Returns the ledger keys of the found events.
    pub async fn search_archive(
        &mut self,
        archive: &impl ArchiveReader,
        (bucket, prefix): (&str, &str),
        target: &ReplayTarget,
        progress: &dyn Progress,
    ) -> Vec<String> {
        progress.begin("searching the archive", None);
        let (mut read, mut keys) = (0, Vec::new());
        let names = self.object_name();
        let is_discarded = prefix.starts_with(DISCARDED);
        let ended =
            {
                let mut documents = objects(archive, prefix)
                    .try_filter(|object| {
                        let name = object.key.rsplit('/').next().unwrap_or_default();
                        future::ready(names.as_ref().is_none_or(|begin| name.starts_with(begin)))
                    })
                    .map_ok(|object| read_object(archive, object))
                    .try_buffered(MAX_CONCURRENT_DOWNLOADS);
                loop {
                    match documents.try_next().await {
                        Ok(Some((key, document))) => {
                            progress.advance(1);
                            read += 1;
                            let address = format!("s3://{bucket}/{key}");
                            keys.extend(document.and_then(|it| {
                                self.add_document(&it, address, is_discarded, target)
                            }));
                        }
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                }
            };
        progress.end();
        let problem = ended.err().map(|error| with_remedy(&error));
        self.searched_in(TracePlace::Archive, &format!("s3://{bucket}/{prefix}"), read, problem);
        keys
    }

    /// Returns the begin of the names of an event's objects; `None` if any object may belong to the trace.
    fn object_name(&self) -> Option<String> {
        match &self.subject {
            TraceSubject::Event(id) => Some(object_name(id)),
            TraceSubject::Interaction(_) | TraceSubject::Message(_) | TraceSubject::Any(_) => None,
        }
    }

    /// Adds an archived dead letter, if it belongs to the trace. Returns the event's ledger key.
    fn add_document(
        &mut self,
        document: &Document,
        address: String,
        is_discarded: bool,
        target: &ReplayTarget,
    ) -> Option<String> {
        let interaction = document.interaction_id.as_deref();
        if !self.is_about(&document.event_id, interaction, &document.message_id) {
            return None;
        }
        let message = document.message()?;
        let classified = ClassifiedMessage::of(&message, target);
        let category = Category::ALL.into_iter().find(|it| it.as_str() == document.category);
        let found = EventFacts::of(&classified);
        let facts = EventFacts {
            interaction_id: document.interaction_id.clone().or(found.interaction_id),
            event_type: document.event_type.clone().or(found.event_type),
            ..found
        };
        let event = self.event_with(&document.event_id, &document.target, facts);
        if let Some(failed) = first_failure(&classified, category.unwrap_or(classified.category)) {
            event.entries.push(failed);
        }
        let (code, reason) = (&document.failure_code, &document.failure_reason);
        let what = if is_discarded {
            format!("kept as a discarded event: {code}, {reason} ({address})")
        } else {
            format!("archived: {code}, {reason} ({address})")
        };
        event.add(document.archived_at(), TracePlace::Archive, what);
        event.failure_code.get_or_insert_with(|| code.clone());
        if is_discarded {
            event.found.discarded.push(address);
        } else {
            event.found.objects.push(address);
        }
        Some(classified.key.to_string())
    }
}

/// Returns the last work on the event of a ledger item, in words.
fn last_work(record: &Record) -> String {
    let status =
        record.status.map_or("a status that this version does not support", Status::as_str);
    let code = record.failure_code.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
    let round = if record.round > 1 { format!(", round {}", record.round) } else { String::new() };
    let delivered = match (record.delivered, record.status) {
        (true, _) | (false, Some(Status::Completed)) => format!(", {} has it", record.target),
        (false, _) => String::new(),
    };
    format!("{status}{code} after attempt {}{round}{delivered}{}", record.attempts, plan(record))
}

/// Returns the last plan of an event with its operator and reason.
fn plan(record: &Record) -> String {
    let Some(plan) = &record.plan else {
        return String::new();
    };
    let by = record.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let reason = record.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("; {plan}{by}{reason}")
}

/// Reads an object. Returns no document if the object is not an archived dead letter, or cannot be read alone.
async fn read_object(
    archive: &impl ArchiveReader,
    object: ArchivedObject,
) -> Result<(String, Option<Document>), AwsError> {
    if object.size > MAX_OBJECT_BYTES {
        return Ok((object.key, None));
    }
    let content = match archive.get(&object.key, MAX_OBJECT_BYTES).await {
        Ok(found) => found.map(|(content, _)| content),
        Err(error) if error.kind.is_item_specific() => None,
        Err(error) => return Err(error),
    };
    let document = content.and_then(|content| Document::read(&content).ok());
    Ok((object.key, document))
}
