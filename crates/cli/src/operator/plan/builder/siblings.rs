//! The other stored objects of the events that a plan discards or restores.
//!
//! The ledger has one item for all objects of an event. An object that stayed in the archive would look like that of an
//! interrupted discard.

use std::collections::HashSet;
use std::sync::LazyLock;

use futures_util::{TryStreamExt, future};
use genesys_replay::archive::object_key;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;

use super::PlanBuilder;
use crate::archive::{ArchiveReader, ArchivedObject, objects};
use crate::ledger::LedgerReader;
use crate::operator::Progress;
use crate::operator::plan::{Location, Selection};

/// The selection of every dead letter.
static EVERYTHING: LazyLock<Selection> =
    LazyLock::new(|| Selection { open: true, ..Selection::default() });

/// Returns the begin of the names of an event's objects.
pub(crate) fn object_name(event_id: &str) -> String {
    let epoch = Timestamp::from_millis(0);
    let key = object_key(None, "-", event_id, epoch);
    let name = key.rsplit('/').next().unwrap_or_default();
    name.strip_suffix(&format!("{}.json", epoch.compact())).unwrap_or(name).to_owned()
}

impl<L: LedgerReader> PlanBuilder<'_, L> {
    /// Adds the objects of chosen events that were not selected, such as those of another failure code. Returns their
    /// number.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn add_other_objects(
        &mut self,
        archive: &impl ArchiveReader,
        prefix: &str,
        progress: &dyn Progress,
    ) -> Result<u64, AwsError> {
        self.look_up().await?;
        let (mut names, mut chosen) = (HashSet::new(), HashSet::new());
        for (item, _) in &self.chosen {
            names.insert(object_name(item.event_id()));
            if let Location::Object { key, .. } = &item.place {
                chosen.insert(key.clone());
            }
        }
        if names.is_empty() {
            return Ok(0);
        }
        let before = self.chosen.len();
        progress.begin("searching for other objects of these events", None);
        let is_other = |key: &str| {
            let name = key.rsplit('/').next().unwrap_or_default();
            // A name ends with the time, and an id may contain the separator.
            let begins = name.match_indices('-').map(|(at, _)| &name[..=at]);
            !chosen.contains(key) && begins.into_iter().any(|begin| names.contains(begin))
        };
        let found = objects(archive, prefix).try_filter(|it| future::ready(is_other(&it.key)));
        let found: Result<Vec<_>, AwsError> = found.try_collect().await;
        progress.end();
        let found = found?;
        if found.is_empty() {
            return Ok(0);
        }
        self.consider_only_chosen(archive, found).await?;
        Ok((self.chosen.len() - before) as u64)
    }

    /// Considers more objects of the chosen events, whatever the selection is. Objects of other events change nothing.
    async fn consider_only_chosen(
        &mut self,
        archive: &impl ArchiveReader,
        objects: Vec<ArchivedObject>,
    ) -> Result<(), AwsError> {
        self.only = Some(self.chosen.iter().map(|(item, _)| item.key.clone()).collect());
        let selection = std::mem::replace(&mut self.selection, &EVERYTHING);
        let (wanted, considered) = (self.wanted.take(), self.considered);
        let exclusions = std::mem::take(&mut self.exclusions);
        let ended = self.consider_objects(archive, objects).await;
        (self.selection, self.wanted, self.considered) = (selection, wanted, considered);
        (self.exclusions, self.only) = (exclusions, None);
        ended
    }
}
