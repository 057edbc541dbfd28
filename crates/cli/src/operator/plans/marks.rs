//! Changes to the state of a shared plan: each is one part of its audit, which also stops a running process.

use genesys_replay::clock::Clock;

use super::journal::SharedJournal;
use crate::operator::apply::{AuditEntry, AuditEvent, FlushError, Journal};
use crate::plan_store::PlanStore;

/// Continues the plan of another operator.
///
/// # Errors
/// [`FlushError`] if another process was faster.
pub async fn take_over<S: PlanStore>(
    journal: &mut SharedJournal<S>,
    by: &str,
    from: &str,
    clock: &dyn Clock,
) -> Result<(), FlushError> {
    let event = AuditEvent::TakenOver { by: by.to_owned(), from: from.to_owned() };
    mark(journal, event, clock).await
}

/// Marks a plan as aborted.
///
/// # Errors
/// [`FlushError`] if another process was faster.
pub async fn abort<S: PlanStore>(
    journal: &mut SharedJournal<S>,
    by: &str,
    reason: &str,
    clock: &dyn Clock,
) -> Result<(), FlushError> {
    let event = AuditEvent::Aborted { by: by.to_owned(), reason: reason.to_owned() };
    mark(journal, event, clock).await
}

/// Marks a plan as superseded by an edited one.
///
/// # Errors
/// [`FlushError`] if another process was faster.
pub async fn supersede<S: PlanStore>(
    journal: &mut SharedJournal<S>,
    by: &str,
    newer: &str,
    clock: &dyn Clock,
) -> Result<(), FlushError> {
    let event = AuditEvent::Superseded { by: by.to_owned(), newer: newer.to_owned() };
    mark(journal, event, clock).await
}

async fn mark<S: PlanStore>(
    journal: &mut SharedJournal<S>,
    event: AuditEvent,
    clock: &dyn Clock,
) -> Result<(), FlushError> {
    // An entry in memory cannot fail to be written.
    let _ = journal.write(&AuditEntry { at: clock.now().to_string(), event });
    journal.flush().await
}
