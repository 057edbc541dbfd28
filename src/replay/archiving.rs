//! The archive of messages that are not delivered, and the settlement that follows it.

use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay};
use crate::archive::{Archive, ArchiveError, Entry};
use crate::clock::Timestamp;
use crate::dead_letter::{UnreplayableReason, original_failure};
use crate::destination::Destination;
use crate::error::with_causes;
use crate::failure::FailureCode;
use crate::ledger::{EventKey, Lease, Ledger, Settlement};
use crate::message::Message;

/// The reason for a rejection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rejection<'a> {
    pub(super) code: FailureCode,
    pub(super) message: &'a str,
}

impl<P: Ports> Replay<P> {
    /// Archives a message that is not an event, or does not hold one.
    pub(super) async fn archive_unparseable(
        &self,
        message: &Message,
        why: &UnreplayableReason,
    ) -> RecordResult {
        let reason = why.to_string();
        let reason = Rejection { code: why.failure_code(), message: &reason };
        self.archive_message(message, reason).await
    }

    /// Archives a message unchanged, without parsing its body.
    pub(super) async fn archive_message(
        &self,
        message: &Message,
        reason: Rejection<'_>,
    ) -> RecordResult {
        let key = EventKey::new(None, &message.id, &Destination::Missing);
        let entry = Entry {
            message,
            key: &key,
            event_id: message.id.as_str(),
            event_type: None,
            interaction_id: None,
            original: &original_failure(message),
            target: Destination::Missing.key_part(),
            code: reason.code,
            reason: reason.message,
            attempts: 0,
            first_seen: message.sent_at.unwrap_or_else(|| self.clock.now()),
            now: self.clock.now(),
        };
        self.archive_or_return(&entry).await.with_reason(reason.message)
    }

    /// Archives an event whose first delivery failed as malformed, because another delivery would fail again.
    pub(super) async fn archive_malformed(&self, task: &RecordTask<'_>) -> RecordResult {
        let reason = Rejection {
            code: FailureCode::PayloadMalformed,
            message: "the first delivery failed because the payload was malformed",
        };
        let first_seen = task.message.sent_at.unwrap_or_else(|| self.clock.now());
        let entry = self.entry(task, reason, 0, first_seen);
        self.archive_or_return(&entry).await.with_reason(reason.message)
    }

    pub(super) async fn archive_or_return(&self, entry: &Entry<'_>) -> RecordResult {
        let code = entry.code;
        let Some(archive) = &self.archive else {
            return Outcome::Returned { code }.into();
        };
        match archive.put(entry).await {
            Ok(address) => {
                RecordResult { archived_as: Some(address), ..Outcome::Archived { code }.into() }
            }
            Err(error) => self.archive_failed(entry.message, &error),
        }
    }

    fn archive_failed(&self, message: &Message, error: &ArchiveError) -> RecordResult {
        let after = self.delay_by_receive_count(message);
        let code = FailureCode::ArchiveUnavailable;
        RecordResult::from(Outcome::Deferred { after, code }).with_reason(&with_causes(error))
    }

    /// Archives an echo of our own PATCH. The message is acknowledged even without an archive, because nothing is
    /// lost and the ledger stores the event's key.
    pub(super) async fn archive_own_echo(
        &self,
        task: &RecordTask<'_>,
        lease: &Lease,
    ) -> RecordResult {
        let reason = Rejection {
            code: FailureCode::OwnEcho,
            message: "the event only reports a mark of this function",
        };
        self.archive_and_settle(task, lease, reason).await.with_reason(reason.message)
    }

    /// Archives an event, then settles it. The message is acknowledged only after both.
    pub(super) async fn archive_and_settle(
        &self,
        task: &RecordTask<'_>,
        lease: &Lease,
        reason: Rejection<'_>,
    ) -> RecordResult {
        let code = reason.code;
        let mut archived_as = None;
        if let Some(archive) = &self.archive {
            let entry = self.entry(task, reason, lease.reported_attempt(), lease.first_seen);
            match archive.put(&entry).await {
                Ok(address) => archived_as = Some(address),
                Err(error) => {
                    self.release(task, lease, FailureCode::ArchiveUnavailable).await;
                    return self.archive_failed(task.message, &error);
                }
            }
        }
        let (settlement, outcome) = if self.archive.is_some() || code == FailureCode::OwnEcho {
            (Settlement::Archived(code), Outcome::Archived { code })
        } else {
            (Settlement::Failed(code), Outcome::Returned { code })
        };
        match self.ledger.settle(lease, settlement, self.clock.now()).await {
            Ok(()) => RecordResult { archived_as, ..outcome.into() },
            Err(error) => self.ledger_failed(task.message, &error),
        }
    }

    pub(super) fn entry<'a>(
        &self,
        task: &'a RecordTask<'_>,
        reason: Rejection<'a>,
        attempts: u32,
        first_seen: Timestamp,
    ) -> Entry<'a> {
        let dead_letter = task.dead_letter;
        Entry {
            message: task.message,
            key: &task.key,
            event_id: dead_letter
                .event_id
                .as_ref()
                .map_or(task.message.id.as_str(), |id| id.as_str()),
            event_type: dead_letter.event_type.as_deref(),
            interaction_id: dead_letter.interaction.as_ref().map(|it| it.id.as_str()),
            original: &dead_letter.failure,
            target: &task.target,
            code: reason.code,
            reason: reason.message,
            attempts,
            first_seen,
            now: self.clock.now(),
        }
    }
}
