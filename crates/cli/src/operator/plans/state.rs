//! The state of a shared plan, from the last part of its audit.

use genesys_replay::clock::Timestamp;
use serde::Serialize;

use super::folder::PlanFolder;
use super::part::{Part, read_part};
use super::{LEASE, PlansError, time};
use crate::operator::apply::{AuditEvent, AuditPart};
use crate::plan_store::PlanStore;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// The plan was not applied.
    New,
    /// A process applies the plan, or has stopped without a word.
    Running(PlanLease),
    /// An operator has taken the plan over, and has not resumed it.
    TakenOver(PlanLease),
    /// The last run ended in order.
    Ended {
        by: String,
        #[serde(serialize_with = "time")]
        at: Timestamp,
        reason: String,
    },
    Aborted {
        by: String,
        #[serde(serialize_with = "time")]
        at: Timestamp,
        reason: String,
    },
    Superseded {
        by: String,
        newer: String,
    },
}

/// The reservation of a plan for one operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanLease {
    pub by: String,
    /// The name of the operator's computer, if it is known.
    pub host: Option<String>,
    #[serde(serialize_with = "time")]
    pub since: Timestamp,
    #[serde(serialize_with = "time")]
    pub until: Timestamp,
    /// True if the lease is over.
    pub is_over: bool,
}

impl RunState {
    /// The names of the states, with their meanings.
    pub(crate) const MEANINGS: [(&'static str, &'static str); 7] = [
        ("not applied", "nobody has applied the plan: genesys-replay apply ID --yes"),
        ("running", "a process applies the plan: wait for it, or take the plan over with --force"),
        (
            "abandoned",
            "the process that applied the plan has stopped without a word: genesys-replay plans take-over ID --yes",
        ),
        (
            "taken over",
            "an operator has taken the plan over, and continues it with genesys-replay apply ID --yes --resume",
        ),
        (
            "ended",
            "the last run ended in order; genesys-replay plans show ID has its reason and the next step",
        ),
        ("aborted", "an operator has ended the plan: apply refuses it"),
        ("superseded", "edit has made a newer plan from this one: apply the newer plan"),
    ];

    /// Returns the lease, if an operator has one.
    pub const fn lease(&self) -> Option<&PlanLease> {
        match self {
            Self::Running(lease) | Self::TakenOver(lease) => Some(lease),
            Self::New | Self::Ended { .. } | Self::Aborted { .. } | Self::Superseded { .. } => None,
        }
    }

    /// Returns the lease that keeps this operator from applying the plan. Operators continue their own plans: at once after
    /// a take-over, and after a crash when the lease of the crashed process is over.
    pub fn held_from(&self, by: &str) -> Option<&PlanLease> {
        match self {
            Self::Running(lease) if lease.by == by && lease.is_over => None,
            Self::TakenOver(lease) if lease.by == by => None,
            Self::Running(lease) | Self::TakenOver(lease) => Some(lease),
            Self::New | Self::Ended { .. } | Self::Aborted { .. } | Self::Superseded { .. } => None,
        }
    }

    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::New => "not applied",
            Self::Running(lease) if lease.is_over => "abandoned",
            Self::Running(_) => "running",
            Self::TakenOver(_) => "taken over",
            Self::Ended { .. } => "ended",
            Self::Aborted { .. } => "aborted",
            Self::Superseded { .. } => "superseded",
        }
    }
}

/// Reads the state and the number of settled dead letters.
pub(super) async fn tail(
    store: &impl PlanStore,
    folder: &PlanFolder,
    now: Timestamp,
) -> Result<(RunState, usize), PlansError> {
    let Some(number) = folder.parts.keys().next_back() else {
        return Ok((RunState::New, 0));
    };
    let part = read_part(store, folder, *number).await?;
    Ok((state(&part, folder, now), part.about.settled))
}

/// Returns the state after the last part.
pub(super) fn state(part: &Part, folder: &PlanFolder, now: Timestamp) -> RunState {
    let AuditPart { by, host, begun, .. } = &part.about;
    let (by, at) = (by.clone(), part.written_at);
    let since = folder.parts.get(begun).map_or(at, |first| first.written_at);
    let until = at.plus(LEASE);
    let lease =
        || PlanLease { by: by.clone(), host: host.clone(), since, until, is_over: until < now };
    match part.entries.last().map(|entry| &entry.event) {
        Some(AuditEvent::Ended { reason }) => RunState::Ended { by, at, reason: reason.clone() },
        Some(AuditEvent::TakenOver { .. }) => RunState::TakenOver(lease()),
        Some(AuditEvent::Aborted { reason, .. }) => {
            RunState::Aborted { by, at, reason: reason.clone() }
        }
        Some(AuditEvent::Superseded { newer, .. }) => {
            RunState::Superseded { by, newer: newer.clone() }
        }
        _ => RunState::Running(lease()),
    }
}
