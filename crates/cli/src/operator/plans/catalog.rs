//! The folders of shared plans.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use genesys_replay::clock::Timestamp;

use super::folder::PlanFolder;
use super::state::{RunState, tail};
use super::stored::{PlanOverview, read_overview, read_plan};
use super::{CONCURRENT_READS, PlansError, folder_key};
use crate::plan_store::{PLANS, PlanStore};

/// All shared plans whose ids begin with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// By id, and so by the time at which the plans were made.
    pub folders: BTreeMap<String, PlanFolder>,
    /// The keys of objects that are not part of a plan.
    pub foreign: Vec<String>,
    /// The time of the listing, by the store's clock.
    pub now: Timestamp,
    prefix: String,
    address: String,
}

/// A plan as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPlan {
    pub overview: PlanOverview,
    /// The number of settled dead letters.
    pub settled: usize,
    pub state: RunState,
}

/// One object's place in the folder of its plan.
enum PlanPart {
    Plan,
    Overview,
    Audit(u64),
}

impl Catalog {
    /// Lists the plans whose ids begin with `prefix`.
    ///
    /// # Errors
    /// [`PlansError::Aws`].
    pub async fn read(store: &impl PlanStore, prefix: &str) -> Result<Self, PlansError> {
        let listing = store.list(&format!("{PLANS}{prefix}")).await?;
        let mut catalog = Self {
            folders: BTreeMap::new(),
            foreign: Vec::new(),
            now: listing.now,
            prefix: prefix.to_owned(),
            address: store.address(PLANS),
        };
        for object in listing.objects {
            let Some((id, part)) = place(&object.key) else {
                catalog.foreign.push(object.key);
                continue;
            };
            let folder = catalog.folders.entry(id.to_owned()).or_default();
            id.clone_into(&mut folder.id);
            match part {
                PlanPart::Plan => folder.has_plan = true,
                PlanPart::Overview => folder.has_overview = true,
                PlanPart::Audit(number) => drop(folder.parts.insert(number, object)),
            }
        }
        Ok(catalog)
    }

    /// Returns the only plan.
    ///
    /// # Errors
    /// [`PlansError`] if no id begins so, or if several do.
    pub fn only(&self) -> Result<&PlanFolder, PlansError> {
        let prefix = self.prefix.clone();
        let mut folders = self.folders.values();
        // A whole id is not the begin of another one.
        match (folders.next(), folders.next()) {
            (Some(folder), None) => Ok(folder),
            (Some(_), Some(_)) => {
                Err(PlansError::Ambiguous { prefix, ids: self.folders.keys().cloned().collect() })
            }
            (None, _) => match self.foreign.first() {
                Some(key) => {
                    Err(PlansError::Foreign { address: self.address.replace(PLANS, "") + key })
                }
                None => Err(PlansError::Unknown { prefix, address: self.address.clone() }),
            },
        }
    }
}

/// Returns the plan's id and the part of a key below [`PLANS`]; `None` for a foreign object.
fn place(key: &str) -> Option<(&str, PlanPart)> {
    let (id, name) = key.strip_prefix(PLANS)?.split_once('/')?;
    let (day, hash) = id.strip_prefix("plan-")?.split_once('-')?;
    let is_id = day.len() == 14
        && day.bytes().all(|byte| byte.is_ascii_digit())
        && hash.len() == 8
        && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let part = match name {
        "plan.json" => PlanPart::Plan,
        "overview.json" => PlanPart::Overview,
        _ => {
            let number = name.strip_prefix("audit/")?.strip_suffix(".jsonl")?;
            let is_number = number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_digit());
            PlanPart::Audit(number.parse().ok().filter(|number| is_number && *number > 0)?)
        }
    };
    is_id.then_some((id, part))
}

/// Returns each plan of a catalog, or the reason why it cannot be listed, by id.
pub async fn listed(
    store: &impl PlanStore,
    catalog: &Catalog,
) -> Vec<(String, Result<ListedPlan, PlansError>)> {
    let plans = catalog.folders.values().map(|folder| async {
        let listed = one(store, folder, catalog.now).await;
        (folder.id.clone(), listed)
    });
    // In order, because the output has the order of the ids.
    stream::iter(plans).buffered(CONCURRENT_READS).collect().await
}

async fn one(
    store: &impl PlanStore,
    folder: &PlanFolder,
    now: Timestamp,
) -> Result<ListedPlan, PlansError> {
    if !folder.has_plan {
        let address = store.address(&folder_key(&folder.id)) + "plan.json";
        return Err(PlansError::Missing { address });
    }
    let overview = match read_overview(store, folder).await? {
        Some(overview) => overview,
        None => PlanOverview::of(&read_plan(store, &folder.id).await?),
    };
    let (state, settled) = tail(store, folder, now).await?;
    Ok(ListedPlan { overview, settled, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_keys_have_no_place() {
        for (key, is_known) in [
            ("plans/plan-20261201030123-a63ba0cd/plan.json", true),
            ("plans/plan-20261201030123-a63ba0cd/overview.json", true),
            ("plans/plan-20261201030123-a63ba0cd/audit/00000001.jsonl", true),
            ("plans/plan-20261201030123-a63ba0cd/audit/00000000.jsonl", false),
            ("plans/plan-20261201030123-a63ba0cd/audit/1.jsonl", false),
            ("plans/plan-20261201030123-a63ba0cd/notes.txt", false),
            ("plans/plan-20261201-a63ba0cd/plan.json", false),
            ("plans/holiday/plan.json", false),
            ("plans/plan.json", false),
            ("discarded/plan-20261201030123-a63ba0cd/plan.json", false),
        ] {
            assert_eq!(place(key).is_some(), is_known, "{key}");
        }
    }
}
