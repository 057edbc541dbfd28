//! One part of the audit of a shared plan.

use std::time::Duration;

use genesys_replay::clock::Timestamp;

use super::folder::PlanFolder;
use super::{MAX_PART_BYTES, PlansError, part_key};
use crate::operator::apply::{AuditEntry, AuditEvent, AuditPart};
use crate::plan_store::PlanStore;

/// The maximum time from the storing of a part to the end of the send that it announces: the time before the send, the
/// maximum time of the call, and the precision of the store's clock. No process repeats the send earlier.
pub(super) const MAX_SENDING: Duration = Duration::from_secs(15 + 45 + 1);

/// One part of an audit.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) about: AuditPart,
    /// The entries after the first line.
    pub(super) entries: Vec<AuditEntry>,
    pub(super) written_at: Timestamp,
    pub(super) text: String,
}

/// The end of an audit, to which the next part is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastPart {
    pub(super) number: u64,
    /// SHA-256 of the part, in hexadecimal digits.
    pub(super) digest: String,
}

/// Reads a part and checks that it is the part of its number.
pub(super) async fn read_part(
    store: &impl PlanStore,
    folder: &PlanFolder,
    number: u64,
) -> Result<Part, PlansError> {
    let key = part_key(&folder.id, number);
    let address = store.address(&key);
    let listed = folder.parts.get(&number);
    let (Some(listed), Some(content)) = (listed, store.get(&key, MAX_PART_BYTES).await?) else {
        return Err(PlansError::Missing { address });
    };
    let damaged = |why| PlansError::Damaged { address: address.clone(), why };
    let text = String::from_utf8(content).map_err(|_| damaged("it is not UTF-8 text"))?;
    let entries = text.lines().map(serde_json::from_str::<AuditEntry>);
    let entries = entries.collect::<Result<Vec<_>, _>>();
    let mut entries = entries.map_err(|_| damaged("a line cannot be read"))?.into_iter();
    let Some(AuditEvent::Part(about)) = entries.next().map(|first| first.event) else {
        return Err(damaged("it does not begin as a part of an audit"));
    };
    if about.plan != folder.id || about.number != number {
        return Err(damaged("it is a part of another audit"));
    }
    Ok(Part { about, entries: entries.collect(), written_at: listed.written_at, text })
}
