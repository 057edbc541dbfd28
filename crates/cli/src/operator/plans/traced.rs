//! The shared audits, for a trace.

use futures_util::{StreamExt, stream};
use genesys_replay::clock::Timestamp;

use super::audit::read_audit;
use super::catalog::Catalog;
use super::folder::PlanFolder;
use super::stored::read_plan;
use super::{CONCURRENT_READS, PlansError, audit_key};
use crate::operator::plan::PlanItem;
use crate::operator::trace::AuditText;
use crate::plan_store::{PLANS, PlanStore};

/// Returns the audits of the plans that contain a wanted dead letter. An audit that cannot be read has its problem.
pub async fn shared_audits(
    store: &impl PlanStore,
    is_wanted: impl Fn(&PlanItem) -> bool,
) -> Vec<AuditText> {
    let problem = |name: String, error: PlansError| AuditText {
        name,
        text: String::new(),
        plan_reason: None,
        problem: Some(error.to_string()),
    };
    let catalog = match Catalog::read(store, "").await {
        Ok(catalog) => catalog,
        Err(error) => return vec![problem(store.address(PLANS), error)],
    };
    let begun = catalog.folders.values().filter(|folder| !folder.parts.is_empty());
    let reads = begun.map(|folder| async {
        match text(store, folder, catalog.now, &is_wanted).await {
            Ok(found) => found.map(|(text, reason)| AuditText {
                name: store.address(&audit_key(&folder.id)),
                text,
                plan_reason: Some(reason),
                problem: None,
            }),
            Err(error) => Some(problem(store.address(&audit_key(&folder.id)), error)),
        }
    });
    let read: Vec<Option<AuditText>> =
        stream::iter(reads).buffered(CONCURRENT_READS).collect().await;
    read.into_iter().flatten().collect()
}

/// Returns the audit and the reason of a plan, if it contains a wanted dead letter.
async fn text(
    store: &impl PlanStore,
    folder: &PlanFolder,
    now: Timestamp,
    is_wanted: &impl Fn(&PlanItem) -> bool,
) -> Result<Option<(String, String)>, PlansError> {
    let plan = read_plan(store, &folder.id).await?.content;
    if !plan.items.iter().any(is_wanted) {
        return Ok(None);
    }
    Ok(Some((read_audit(store, folder, now).await?.text, plan.reason)))
}
