//! The runs of shared plans, and the steps of one event in them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use genesys_replay::clock::Timestamp;
use serde::Serialize;

use super::audit::{AuditChain, read_audit};
use super::catalog::Catalog;
use super::folder::PlanFolder;
use super::stored::{PlanOverview, read_overview, read_plan};
use super::{CONCURRENT_READS, PlansError, time};
use crate::operator::apply::{AuditEntry, AuditEvent};
use crate::operator::plan::{Plan, PlanItem, PlanKind};
use crate::operator::trace::audits::step;
use crate::plan_store::PlanStore;

/// One run of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanRun {
    pub plan: String,
    pub kind: PlanKind,
    #[serde(serialize_with = "time")]
    pub begun_at: Timestamp,
    pub by: String,
    pub reason: String,
    pub to: String,
    pub resumed: bool,
    /// The number of dead letters in the plan.
    pub items: usize,
    /// The number of settled dead letters in this run, by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// The end in one sentence; `None` if the run goes on or stopped without a word.
    pub ended: Option<String>,
}

/// The runs of a time, newest first, and the plans that cannot be read.
#[derive(Clone, Debug, Default)]
pub struct RunsFound {
    pub runs: Vec<PlanRun>,
    pub unreadable: Vec<(String, PlansError)>,
}

/// A step of one event in a run of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventStep {
    #[serde(serialize_with = "time")]
    pub at: Timestamp,
    pub plan: String,
    pub kind: PlanKind,
    pub by: String,
    pub reason: String,
    pub key: String,
    /// The step in words.
    pub what: String,
}

/// The steps of one event, in their order, and the plans that cannot be read.
#[derive(Clone, Debug, Default)]
pub struct StepsFound {
    pub steps: Vec<EventStep>,
    /// The number of plans that contain the event.
    pub plans: usize,
    pub unreadable: Vec<(String, PlansError)>,
}

/// Returns the runs that began from `since` until before `until`.
pub async fn runs(
    store: &impl PlanStore,
    catalog: &Catalog,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> RunsFound {
    let is_in = |at: Timestamp| since.is_none_or(|it| at >= it) && until.is_none_or(|it| at < it);
    // The last part of a run is not older than its first one.
    let candidates = catalog.folders.values().filter(|folder| {
        folder
            .parts
            .values()
            .next_back()
            .is_some_and(|last| since.is_none_or(|since| last.written_at >= since))
    });
    let reads = candidates.map(|folder| async {
        let runs = runs_of(store, folder, catalog.now).await;
        (folder.id.clone(), runs.map(|(runs, _)| runs))
    });
    let read: Vec<_> = stream::iter(reads).buffered(CONCURRENT_READS).collect().await;
    let mut found = RunsFound::default();
    for (id, runs) in read {
        match runs {
            Ok(runs) => found.runs.extend(runs.into_iter().filter(|run| is_in(run.begun_at))),
            Err(error) => found.unreadable.push((id, error)),
        }
    }
    found.runs.sort_by(|a, b| b.begun_at.cmp(&a.begun_at).then_with(|| b.plan.cmp(&a.plan)));
    found
}

/// Returns the runs of one plan, the oldest first, and its audit.
///
/// # Errors
/// [`PlansError`], also for a damaged audit.
pub async fn runs_of(
    store: &impl PlanStore,
    folder: &PlanFolder,
    now: Timestamp,
) -> Result<(Vec<PlanRun>, AuditChain), PlansError> {
    let overview = match read_overview(store, folder).await? {
        Some(overview) => overview,
        None => PlanOverview::of(&read_plan(store, &folder.id).await?),
    };
    let chain = read_audit(store, folder, now).await?;
    let mut runs: Vec<PlanRun> = Vec::new();
    for (at, AuditEntry { event, .. }) in chain.entries.iter().cloned() {
        if let AuditEvent::Begun { by, to, resumed, reason, .. } = event {
            runs.push(PlanRun {
                plan: folder.id.clone(),
                kind: overview.kind,
                begun_at: at,
                by,
                reason: reason.unwrap_or_else(|| overview.reason.clone()),
                to,
                resumed,
                items: overview.items,
                outcomes: BTreeMap::new(),
                ended: None,
            });
            continue;
        }
        let Some(run) = runs.last_mut() else { continue };
        if let AuditEvent::Outcome { outcome, .. } | AuditEvent::Closed { outcome, .. } = &event {
            *run.outcomes.entry(outcome.clone()).or_default() += 1;
        }
        if run.ended.is_none() {
            run.ended = end(event);
        }
    }
    Ok((runs, chain))
}

/// Returns the end of a run in one sentence, if an entry ends the run.
fn end(event: AuditEvent) -> Option<String> {
    if let AuditEvent::Ended { reason } = event {
        Some(reason)
    } else if let AuditEvent::TakenOver { by, .. } = event {
        Some(format!("taken over by {by}"))
    } else if let AuditEvent::Aborted { by, reason } = event {
        Some(format!("aborted by {by}: {reason}"))
    } else {
        None
    }
}

/// Returns the steps of one event in all plans of a catalog.
pub async fn event_steps(store: &impl PlanStore, catalog: &Catalog, event: &str) -> StepsFound {
    let reads = catalog.folders.values().map(|folder| async {
        (folder.id.clone(), steps_of(store, folder, catalog.now, event).await)
    });
    let read: Vec<_> = stream::iter(reads).buffered(CONCURRENT_READS).collect().await;
    let mut found = StepsFound::default();
    for (id, steps) in read {
        match steps {
            Ok(Some(steps)) => {
                found.plans += 1;
                found.steps.extend(steps);
            }
            Ok(None) => {}
            Err(error) => found.unreadable.push((id, error)),
        }
    }
    found.steps.sort_by_key(|step| step.at);
    found
}

/// Returns the steps of an event in one plan; `None` if the plan does not contain the event.
async fn steps_of(
    store: &impl PlanStore,
    folder: &PlanFolder,
    now: Timestamp,
    event: &str,
) -> Result<Option<Vec<EventStep>>, PlansError> {
    let plan = read_plan(store, &folder.id).await?;
    let items = plan.content.items.iter().filter(|item| item.event_id() == event);
    let keys: BTreeSet<&str> = items.map(|item| item.key.as_str()).collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let chain = read_audit(store, folder, now).await?;
    Ok(Some(steps(&plan, &chain, &keys)))
}

fn steps(plan: &Plan, chain: &AuditChain, keys: &BTreeSet<&str>) -> Vec<EventStep> {
    let content = &plan.content;
    let (mut who, mut why) = (content.created_by.clone(), content.reason.clone());
    let mut steps = Vec::new();
    for (at, AuditEntry { event, .. }) in &chain.entries {
        if let AuditEvent::Begun { by, reason, .. } = event {
            who.clone_from(by);
            reason.as_ref().unwrap_or(&content.reason).clone_into(&mut why);
        }
        if let Some((key, what)) = step(event, "the plan").filter(|(key, _)| keys.contains(key)) {
            steps.push(EventStep {
                at: *at,
                plan: plan.id.clone(),
                kind: content.kind,
                by: who.clone(),
                reason: why.clone(),
                key: shown(plan, key),
                what,
            });
        }
    }
    steps
}

/// Returns the key for people.
fn shown(plan: &Plan, key: &str) -> String {
    let item = plan.content.items.iter().find(|item| item.key == key);
    item.map_or_else(|| key.to_owned(), PlanItem::shown)
}
