//! The folder of one shared plan.

use std::collections::BTreeMap;

use crate::plan_store::ListedObject;

/// The objects of one plan, as the store lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanFolder {
    pub id: String,
    pub(super) has_plan: bool,
    pub(super) has_overview: bool,
    /// The parts of the audit by number.
    pub(super) parts: BTreeMap<u64, ListedObject>,
}
