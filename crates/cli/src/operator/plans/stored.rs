//! A plan in its folder, with a short overview for lists.

use serde::{Deserialize, Serialize};

use super::folder::PlanFolder;
use super::{MAX_PLAN_BYTES, PlansError, overview_key, plan_key};
use crate::operator::plan::{Plan, PlanKind};
use crate::plan_store::PlanStore;

const OVERVIEW_FORMAT: &str = "genesys-replay plan overview 1";

/// The maximum size of an overview, in bytes.
const MAX_OVERVIEW_BYTES: u64 = 1024 * 1024;

/// The part of a plan that a list shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanOverview {
    format: String,
    pub id: String,
    pub hash: String,
    pub created_at: String,
    pub created_by: String,
    pub reason: String,
    pub kind: PlanKind,
    pub queue_arn: String,
    /// The number of dead letters.
    pub items: usize,
}

impl PlanOverview {
    pub fn of(plan: &Plan) -> Self {
        let content = &plan.content;
        Self {
            format: OVERVIEW_FORMAT.to_owned(),
            id: plan.id.clone(),
            hash: plan.hash.clone(),
            created_at: content.created_at.clone(),
            created_by: content.created_by.clone(),
            reason: content.reason.clone(),
            kind: content.kind,
            queue_arn: content.queue_arn.clone(),
            items: content.items.len(),
        }
    }
}

/// Stores a new plan.
///
/// # Errors
/// [`PlansError`] if the plan is too long, or its folder is taken.
pub async fn store_plan(store: &impl PlanStore, plan: &Plan) -> Result<(), PlansError> {
    // Such a plan was serialized for its hash, so it can be written.
    let content = plan.write().unwrap_or_default().into_bytes();
    if content.len() as u64 > MAX_PLAN_BYTES {
        return Err(PlansError::TooLong { bytes: content.len() });
    }
    let key = plan_key(&plan.id);
    if !store.put_new(&key, content.clone()).await?
        && store.get(&key, MAX_PLAN_BYTES).await?.as_ref() != Some(&content)
    {
        return Err(PlansError::Taken { address: store.address(&key) });
    }
    let overview = serde_json::to_vec(&PlanOverview::of(plan)).unwrap_or_default();
    // Without it, lists read the plan itself.
    store.put_new(&overview_key(&plan.id), overview).await?;
    Ok(())
}

/// Reads a plan.
///
/// # Errors
/// [`PlansError`] if the plan is missing or damaged.
pub async fn read_plan(store: &impl PlanStore, id: &str) -> Result<Plan, PlansError> {
    let key = plan_key(id);
    let address = store.address(&key);
    let Some(content) = store.get(&key, MAX_PLAN_BYTES).await? else {
        return Err(PlansError::Missing { address });
    };
    match Plan::read(&content) {
        Ok(plan) if plan.id == id => Ok(plan),
        Ok(_) => Err(PlansError::Damaged { address, why: "it is another plan" }),
        Err(fault) => Err(PlansError::Plan { address, fault }),
    }
}

/// Reads an overview; `None` if it cannot be used.
pub(super) async fn read_overview(
    store: &impl PlanStore,
    folder: &PlanFolder,
) -> Result<Option<PlanOverview>, PlansError> {
    if !folder.has_overview {
        return Ok(None);
    }
    let content = store.get(&overview_key(&folder.id), MAX_OVERVIEW_BYTES).await?;
    let overview: Option<PlanOverview> =
        content.and_then(|content| serde_json::from_slice(&content).ok());
    Ok(overview.filter(|it| it.format == OVERVIEW_FORMAT && it.id == folder.id))
}
