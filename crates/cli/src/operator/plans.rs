//! Shared plans: their folders, audits and states in the bucket of the archive.
//!
//! An audit is a chain of numbered parts, and each number is written once. So a process that wants to write a part which
//! exists has lost the plan to another process, and sends nothing more. Times are those of the store's clock.

mod audit;
mod catalog;
mod folder;
mod history;
mod journal;
mod marks;
mod part;
mod state;
mod stored;
mod traced;

use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use serde::Serializer;

use crate::operator::plan::PlanFault;
use crate::plan_store::PLANS;
pub use audit::{AuditChain, read_audit};
pub use catalog::{Catalog, ListedPlan, listed};
pub use folder::PlanFolder;
pub use history::{EventStep, PlanRun, RunsFound, StepsFound, event_steps, runs, runs_of};
pub use journal::{AuditWriter, SharedJournal};
pub use marks::{abort, supersede, take_over};
pub use state::{PlanLease, RunState};
pub use stored::{PlanOverview, read_plan, store_plan};
pub use traced::shared_audits;

/// The maximum size of a shared plan, in bytes.
pub const MAX_PLAN_BYTES: u64 = 64 * 1024 * 1024;

/// The maximum size of one part of an audit, in bytes. A part has the entries of one call.
const MAX_PART_BYTES: u64 = 16 * 1024 * 1024;

/// The time for which a part of the audit reserves the plan for its writer. A run writes a part at least
/// every minute.
pub const LEASE: Duration = Duration::from_mins(5);

/// The number of objects that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// The error for a shared plan that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlansError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("no shared plan begins with {prefix} in {address}")]
    Unknown { prefix: String, address: String },
    #[error("{} shared plans begin with {prefix}", .ids.len())]
    Ambiguous { prefix: String, ids: Vec<String> },
    #[error("{address} is not part of a shared plan")]
    Foreign { address: String },
    #[error("{address} is missing")]
    Missing { address: String },
    #[error("{address} cannot be used: {fault}")]
    Plan { address: String, fault: PlanFault },
    #[error("{address} is damaged: {why}")]
    Damaged { address: String, why: &'static str },
    #[error("the plan has {bytes} bytes, and a shared plan has at most {MAX_PLAN_BYTES}")]
    TooLong { bytes: usize },
    #[error("{address} already exists")]
    Taken { address: String },
}

/// Writes a time in RFC 3339. Takes a reference, because `serde` calls it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "required by serde")]
fn time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn folder_key(plan: &str) -> String {
    format!("{PLANS}{plan}/")
}

fn plan_key(plan: &str) -> String {
    format!("{PLANS}{plan}/plan.json")
}

fn overview_key(plan: &str) -> String {
    format!("{PLANS}{plan}/overview.json")
}

/// Returns the folder of a plan's audit.
pub fn audit_key(plan: &str) -> String {
    format!("{PLANS}{plan}/audit/")
}

fn part_key(plan: &str, number: u64) -> String {
    format!("{}{number:08}.jsonl", audit_key(plan))
}
