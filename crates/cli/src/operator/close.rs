//! Applies a plan that discards events, or that restores discarded events.
//!
//! The order of the steps keeps at least one stored copy of each event at any time: the copy is stored and verified, then
//! the ledger is written, then the original is deleted. Each step is repeatable, so a resumed run begins each unfinished
//! event again. Some events are closed at a time, each in this order.

mod audit_log;
mod ledger_step;
mod messages;
mod mover;
mod objects;

use std::collections::VecDeque;

use futures_util::future::join_all;
use genesys_replay::clock::Clock;
use genesys_replay_version::PROGRAM;
use tokio_util::sync::CancellationToken;

use crate::ledger::{LedgerReader, LedgerWriter};
use crate::operator::Progress;
use crate::operator::apply::{ApplyError, AuditEntry, AuditEvent, ClosingStep, History, ItemState};
use crate::operator::plan::{ClosingKind, Location, Plan, PlanItem};
pub use audit_log::AuditLog;
use ledger_step::LedgerFit;
pub use messages::MessageMover;
pub use mover::{Copied, Mover, Original};
pub use objects::ObjectMover;

/// A run of such a plan, with its ports.
pub struct Close<'a, L, W, M> {
    pub plan: &'a Plan,
    /// The kind of the plan.
    pub kind: ClosingKind,
    pub history: History,
    pub ledger: &'a L,
    pub writer: &'a W,
    pub mover: M,
    pub journal: AuditLog<'a>,
    /// The operator's name, for audit and ledger.
    pub by: String,
    /// The reason of this run, if it is not that of the plan.
    pub reason: Option<String>,
    /// The place to which the events are moved, for the audit.
    pub to: String,
    pub clock: &'a dyn Clock,
    pub stop: &'a CancellationToken,
    pub progress: &'a dyn Progress,
}

/// The result of a run. The events are named for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloseSummary {
    /// The number of discarded or restored dead letters, in this run and before.
    pub closed: u64,
    /// The events whose ledger item has changed since the plan was made. They were left unchanged.
    pub changed: Vec<String>,
    /// The other events that were not closed, with the reason.
    pub not_closed: Vec<(String, String)>,
    /// The closed events whose original was not deleted, with the reason.
    pub still_in_source: Vec<(String, String)>,
    /// The number of dead letters that the run did not reach, because it was interrupted.
    pub left: usize,
    pub interrupted: bool,
}

impl CloseSummary {
    /// Returns true if all dead letters were closed.
    pub fn is_well(&self) -> bool {
        self.changed.len() + self.not_closed.len() + self.still_in_source.len() + self.left == 0
    }
}

/// The number of events that are closed at a time: 100,000 objects are 6,250 times some five calls.
const MAX_CONCURRENT_EVENTS: usize = 16;

/// The result of closing one dead letter.
enum ItemEnd {
    Closed,
    Changed,
    /// It was not closed, for this reason.
    NotClosed(String),
    /// It was closed, and its original was not deleted, for this reason.
    StillInSource(String),
}

impl CloseSummary {
    fn add(&mut self, item: &PlanItem, end: ItemEnd) {
        match end {
            ItemEnd::Closed => self.closed += 1,
            ItemEnd::Changed => self.changed.push(item.shown()),
            ItemEnd::NotClosed(reason) => self.not_closed.push((item.shown(), reason)),
            ItemEnd::StillInSource(reason) => self.still_in_source.push((item.shown(), reason)),
        }
    }
}

/// The outcome of an event whose ledger item has changed.
pub(crate) const CHANGED: &str = "changed";

/// Returns the identity of an item in the audit: the object or the message. An event may have several.
fn place(item: &PlanItem) -> &str {
    match &item.place {
        Location::Object { key, .. } => key,
        Location::Message { message_id } => message_id,
    }
}

impl<L: LedgerReader, W: LedgerWriter, M: Mover + Sync> Close<'_, L, W, M> {
    /// Closes the dead letters that were not closed yet.
    ///
    /// # Errors
    /// [`ApplyError`]: the audit contains every begun step, and the run can be resumed.
    pub async fn run(mut self) -> Result<CloseSummary, ApplyError> {
        self.write(AuditEvent::Begun {
            plan: self.plan.id.clone(),
            hash: self.plan.hash.clone(),
            by: self.by.clone(),
            written_by: Some(PROGRAM.to_owned()),
            to: self.to.clone(),
            direct: false,
            resumed: self.history.hash.is_some(),
            reason: self.reason.clone(),
        })
        .await?;
        self.journal.flush().await?;
        let mut summary = CloseSummary::default();
        let ended = self.items(&mut summary).await;
        self.mover.release().await;
        self.progress.end();
        if !ended.as_ref().is_err_and(ApplyError::is_about_audit) {
            let reason = match &ended {
                Ok(()) if summary.interrupted => "interrupted".to_owned(),
                Ok(()) => "done".to_owned(),
                Err(error) => error.to_string(),
            };
            self.write(AuditEvent::Ended { reason }).await?;
            self.journal.flush().await?;
        }
        ended.map(|()| summary)
    }

    async fn items(&mut self, summary: &mut CloseSummary) -> Result<(), ApplyError> {
        let items = &self.plan.content.items;
        let mut todo = VecDeque::new();
        self.progress.begin(self.verb(), Some(items.len() as u64));
        for (index, item) in items.iter().enumerate() {
            match self.history.states.get(place(item)) {
                Some(ItemState::Settled { outcome, .. }) if outcome == CHANGED => {
                    summary.changed.push(item.shown());
                }
                Some(ItemState::Settled { .. }) => summary.closed += 1,
                Some(ItemState::Doubtful | ItemState::Sent { .. }) | None => todo.push_back(index),
            }
        }
        self.progress.advance((items.len() - todo.len()) as u64);
        while !todo.is_empty() {
            let mut next = Vec::new();
            if !self.stop.is_cancelled() {
                next = self.mover.next(items, &mut todo, MAX_CONCURRENT_EVENTS).await?;
            }
            if next.is_empty() {
                summary.interrupted = self.stop.is_cancelled();
                summary.left = todo.len();
                return Ok(());
            }
            let indices: Vec<usize> = next.iter().map(|(index, _)| *index).collect();
            let this = &*self;
            let closing = next.into_iter().map(|(index, fetched)| async move {
                let end = this.close(&items[index], fetched).await;
                this.progress.advance(1);
                end
            });
            // Each begun event ends its steps, also after an error of another one.
            let mut ended = Ok(());
            for (index, end) in indices.into_iter().zip(join_all(closing).await) {
                match end {
                    Ok(end) => summary.add(&items[index], end),
                    Err(error) if ended.is_ok() => ended = Err(error),
                    Err(_) => {}
                }
            }
            ended?;
        }
        Ok(())
    }

    async fn close(&self, item: &PlanItem, fetched: M::Fetched) -> Result<ItemEnd, ApplyError> {
        // Before the first step, so that nothing of a changed event is touched.
        let (standing, record) = self.standing(item).await?;
        if standing == LedgerFit::Changed {
            return self.changed(item).await;
        }
        let is_begun = self.history.states.contains_key(place(item));
        self.begin(item, ClosingStep::Copy).await?;
        let first_seen = record.as_ref().and_then(|record| record.first_seen);
        let original = match self.mover.copy(item, fetched, first_seen).await? {
            Copied::Verified(original) => original,
            Copied::Gone { has_copy: true } if is_begun && standing == LedgerFit::ByThisPlan => {
                return self.closed(item).await;
            }
            Copied::Gone { .. } => {
                let reason = "the dead letter is not where it was when the plan was made, or another consumer holds it";
                return self.not_closed(item, reason.to_owned()).await;
            }
            Copied::Refused(reason) => return self.not_closed(item, reason).await,
        };
        self.done(item, ClosingStep::Copy, Some(&original.copy)).await?;
        if standing == LedgerFit::Planned {
            self.begin(item, ClosingStep::Ledger).await?;
            if !self.write_ledger(item, &original).await? {
                return self.changed(item).await;
            }
            self.done(item, ClosingStep::Ledger, None).await?;
        }
        self.begin(item, ClosingStep::Delete).await?;
        if let Err(reason) = self.mover.remove(item).await? {
            let text =
                format!("{} is {}, but its original stays: {reason}", item.shown(), self.outcome());
            self.progress.warn(&text);
            return Ok(ItemEnd::StillInSource(reason));
        }
        self.done(item, ClosingStep::Delete, None).await?;
        self.closed(item).await
    }

    /// Returns the name of the work.
    fn verb(&self) -> &'static str {
        match self.kind {
            ClosingKind::Discard => "discarding",
            ClosingKind::Restore => "restoring",
        }
    }

    fn outcome(&self) -> &'static str {
        match self.kind {
            ClosingKind::Discard => "discarded",
            ClosingKind::Restore => "restored",
        }
    }

    async fn closed(&self, item: &PlanItem) -> Result<ItemEnd, ApplyError> {
        self.settle(item, self.outcome()).await?;
        Ok(ItemEnd::Closed)
    }

    async fn changed(&self, item: &PlanItem) -> Result<ItemEnd, ApplyError> {
        self.settle(item, CHANGED).await?;
        Ok(ItemEnd::Changed)
    }

    async fn settle(&self, item: &PlanItem, outcome: &str) -> Result<(), ApplyError> {
        let (key, place) = (item.key.clone(), place(item).to_owned());
        self.write(AuditEvent::Closed { key, place, outcome: outcome.to_owned() }).await
    }

    async fn not_closed(&self, item: &PlanItem, reason: String) -> Result<ItemEnd, ApplyError> {
        let (key, place) = (item.key.clone(), place(item).to_owned());
        self.write(AuditEvent::NotClosed { key, place, reason: reason.clone() }).await?;
        Ok(ItemEnd::NotClosed(reason))
    }

    async fn begin(&self, item: &PlanItem, step: ClosingStep) -> Result<(), ApplyError> {
        let (key, place) = (item.key.clone(), place(item).to_owned());
        self.write(AuditEvent::StepBegun { key, place, step }).await?;
        self.journal.flush().await
    }

    async fn done(
        &self,
        item: &PlanItem,
        step: ClosingStep,
        copy: Option<&str>,
    ) -> Result<(), ApplyError> {
        let (key, place) = (item.key.clone(), place(item).to_owned());
        self.write(AuditEvent::StepDone { key, place, step, copy: copy.map(str::to_owned) }).await
    }

    async fn write(&self, event: AuditEvent) -> Result<(), ApplyError> {
        let at = self.clock.now().to_string();
        self.journal.write(&AuditEntry { at, event }).await
    }
}
