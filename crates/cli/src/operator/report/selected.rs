//! The selection of a report: archived objects have the content of their events, and the ledger does not.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;

use super::ReportScope;
use super::unclaimed::{MAX_CONCURRENT_DOWNLOADS, read};
use crate::archive::{ArchiveReader, objects};
use crate::ledger::event_at_target;
use crate::operator::Progress;
use crate::operator::classified_message::ClassifiedMessage;

/// Returns the events below a prefix whose content is selected, by event and target.
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
