//! The selection of a report: archived objects have the content of their events, and the ledger does not.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;

use super::ReportScope;
use crate::archive::{ArchiveReader, ArchivedObject, DISCARDED, MAX_OBJECT_BYTES, objects};
use crate::ledger::event_at_target;
use crate::operator::Progress;
use crate::operator::classified_message::ClassifiedMessage;

pub(super) const MAX_CONCURRENT_DOWNLOADS: usize = 16;

/// Returns the events below a prefix, or discarded from there, whose content is selected, by event and target.
///
/// # Errors
/// [`AwsError`] if the archive cannot be read.
pub(super) async fn bodies(
    archive: &impl ArchiveReader,
    prefix: &str,
    scope: &ReportScope<'_>,
    progress: &dyn Progress,
) -> Result<HashSet<String>, AwsError> {
    let mut selected = HashSet::new();
    let discarded = format!("{DISCARDED}{prefix}");
    for prefix in [prefix, &discarded] {
        let mut documents = objects(archive, prefix)
            .map_ok(|object| read(archive, object))
            .try_buffered(MAX_CONCURRENT_DOWNLOADS);
        while let Some(document) = documents.try_next().await? {
            progress.advance(1);
            if let Ok(document) = document
                && is_selected(&document, scope)
            {
                selected.insert(event_at_target(&document.event_id, &document.target));
            }
        }
    }
    Ok(selected)
}

/// Returns true if an archived dead letter is selected.
pub(super) fn is_selected(document: &Document, scope: &ReportScope<'_>) -> bool {
    let selection = scope.selection;
    let Some(message) = document.message() else {
        return false;
    };
    let classified = ClassifiedMessage::of(&message, scope.target);
    let original_target = classified.original_target().unwrap_or(&document.target);
    selection.matches_event(
        &document.event_id,
        &document.category,
        &document.target,
        document.interaction_id.as_deref(),
    ) && selection.matches_topic(document.event_type.as_deref().unwrap_or("unknown"))
        && selection.matches_original_target(original_target)
        && selection.matches_rejection(Some(&document.failure_code), None)
        && selection.matches_body(&classified)
}

/// Reads an object. The inner error is the key of an object that is not readable.
pub(super) async fn read(
    archive: &impl ArchiveReader,
    object: ArchivedObject,
) -> Result<Result<Document, String>, AwsError> {
    if object.size > MAX_OBJECT_BYTES {
        return Ok(Err(object.key));
    }
    let content = archive.get(&object.key, MAX_OBJECT_BYTES).await?;
    let document = content.and_then(|(content, _)| Document::read(&content).ok());
    Ok(document.ok_or(object.key))
}
