//! The audit of a shared plan: its parts in order.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use genesys_replay::clock::Timestamp;
use genesys_replay::digest;

use super::folder::PlanFolder;
use super::part::{LastPart, MAX_SENDING, Part, read_part};
use super::state::{RunState, state};
use super::{CONCURRENT_READS, PlansError, part_key};
use crate::operator::apply::{AuditEntry, AuditEvent, History, ItemState};
use crate::plan_store::PlanStore;

/// The whole audit of a plan.
#[derive(Clone, Debug)]
pub struct AuditChain {
    pub history: History,
    pub state: RunState,
    /// The entries with the times at which the store got them.
    pub entries: Vec<(Timestamp, AuditEntry)>,
    /// All lines, as in an audit file.
    pub text: String,
    /// The remaining time in which an earlier process may still send messages of its last entry.
    pub unsettled_for: Duration,
    pub(super) last: Option<LastPart>,
}

/// Reads the audit of a plan. `now` is the time of the listing.
///
/// # Errors
/// [`PlansError`], also if a part is missing or damaged.
pub async fn read_audit(
    store: &impl PlanStore,
    folder: &PlanFolder,
    now: Timestamp,
) -> Result<AuditChain, PlansError> {
    let newest = folder.parts.keys().next_back().copied().unwrap_or_default();
    let reads = (1..=newest).map(|number| read_part(store, folder, number));
    let parts: Vec<Part> = stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
    let mut chain = AuditChain {
        history: History::default(),
        state: parts.last().map_or(RunState::New, |last| state(last, folder, now)),
        entries: Vec::new(),
        text: String::new(),
        unsettled_for: Duration::ZERO,
        last: None,
    };
    let mut is_over = true;
    let mut worked_at = None;
    for Part { about, entries, written_at, text } in parts {
        let known = chain.last.as_ref().map(|last| &last.digest);
        if about.previous.as_ref() != known {
            let number = about.number.saturating_sub(1).max(1);
            let address = store.address(&part_key(&folder.id, number));
            return Err(PlansError::Damaged { address, why: "the next part has another digest" });
        }
        chain.last = Some(LastPart { number: about.number, digest: digest::hexadecimal(&text) });
        match entries.last().map(|entry| &entry.event) {
            Some(AuditEvent::Ended { .. }) => is_over = true,
            Some(AuditEvent::TakenOver { .. } | AuditEvent::Aborted { .. }) => {}
            _ => (is_over, worked_at) = (false, Some(written_at)),
        }
        for entry in entries {
            chain.history.add(entry.event.clone());
            chain.entries.push((written_at, entry));
        }
        chain.text.push_str(&text);
    }
    let is_doubtful = |state: &ItemState| matches!(state, ItemState::Doubtful);
    if !is_over && chain.history.states.values().any(is_doubtful) {
        let end = worked_at.map_or(now, |at| at.plus(MAX_SENDING));
        chain.unsettled_for = end.since(now);
    }
    Ok(chain)
}
