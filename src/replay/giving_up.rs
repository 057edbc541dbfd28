//! Keeping what is not replayed: in the archive, or without one in the queue.

use super::policy::{AttemptFailure, Upstream};
use super::work::{Frame, Marker, Work};
use super::{Outcome, Ports, Replay, Verdict};
use crate::archive::{Archive, ArchiveError, Entry};
use crate::clock::Timestamp;
use crate::dead_letter::{NotAnEvent, failure_of};
use crate::destination::Destination;
use crate::error::with_causes;
use crate::failure::{Disposition, FailureCode};
use crate::genesys::RetryStatus;
use crate::ledger::{EventKey, Lease, Ledger, Settlement};
use crate::message::Message;

/// Why an event is given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reason<'a> {
    pub(super) code: FailureCode,
    pub(super) words: &'a str,
}

impl<P: Ports> Replay<P> {
    /// Keeps a message that is no event, or has none in it.
    pub(super) async fn keep(&self, message: &Message, why: NotAnEvent) -> Verdict {
        let reason = why.to_string();
        let reason = Reason {
            code: why.failure_code(),
            words: &reason,
        };
        self.keep_message(message, reason).await
    }

    /// Keeps a message as it is, whatever is in it.
    pub(super) async fn keep_message(&self, message: &Message, reason: Reason<'_>) -> Verdict {
        let key = EventKey::new(None, &message.id, &Destination::Missing);
        let entry = Entry {
            message,
            key: &key,
            event_id: message.id.as_str(),
            event_type: None,
            interaction_id: None,
            original: &failure_of(message),
            target: Destination::Missing.key_part(),
            code: reason.code,
            reason: reason.words,
            attempts: 0,
            first_seen: message.sent_at.unwrap_or_else(|| self.clock.now()),
            now: self.clock.now(),
        };
        self.archive_or_return(&entry).await.because(reason.words)
    }

    /// Keeps an event that was malformed the first time and would be again.
    pub(super) async fn keep_malformed(&self, work: &Work<'_>) -> Verdict {
        let reason = Reason {
            code: FailureCode::PayloadMalformed,
            words: "the first delivery failed because the payload was malformed",
        };
        let first_seen = work.message.sent_at.unwrap_or_else(|| self.clock.now());
        let entry = self.entry(work, reason, 0, first_seen);
        self.archive_or_return(&entry).await.because(reason.words)
    }

    pub(super) async fn archive_or_return(&self, entry: &Entry<'_>) -> Verdict {
        let code = entry.code;
        let Some(archive) = &self.archive else {
            return Outcome::Returned { code }.into();
        };
        match archive.put(entry).await {
            Ok(address) => Verdict {
                archived_as: Some(address),
                ..Outcome::Archived { code }.into()
            },
            Err(error) => self.archive_failed(entry.message, &error),
        }
    }

    fn archive_failed(&self, message: &Message, error: &ArchiveError) -> Verdict {
        let after = self.pause(message);
        let code = FailureCode::ArchiveUnavailable;
        Verdict::from(Outcome::Deferred { after, code }).because(&with_causes(error))
    }

    /// Gives an event up: marks its interaction, archives it, and only then settles it.
    pub(super) async fn give_up(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        lease: &Lease,
        marker: Marker,
        status: RetryStatus,
        reason: Reason<'_>,
    ) -> Verdict {
        if let Err(failure) = self
            .mark_in_the_end(work, frame, lease, marker, status)
            .await
        {
            let worth_another_delivery = match failure.disposition {
                Disposition::Permanent => false,
                // Wrong credentials are ours to repair; those for one interaction may stay wrong.
                Disposition::Operator if failure.upstream != Upstream::Interaction => true,
                Disposition::Transient { .. } | Disposition::Operator => {
                    !self.is_last(work, lease).await
                }
            };
            if worth_another_delivery {
                let after = self.deferral(work.message, &failure);
                self.release(work, lease, failure.code).await;
                let code = failure.code;
                return Verdict {
                    disposition: Some(failure.disposition),
                    ..Verdict::from(Outcome::Deferred { after, code }).because(&failure.reason)
                };
            }
            note_missing_mark(work, &failure);
        }
        self.close(work, lease, reason).await
    }

    /// Rejects an event that is too old; its interaction is marked if it was before.
    pub(super) async fn reject_stale(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        lease: &Lease,
    ) -> Verdict {
        let reason = Reason {
            code: FailureCode::Stale,
            words: "the event is older than STALE_AFTER_SECONDS",
        };
        let verdict = if lease.attempt > 1 {
            let (marker, status) = (Marker::NotLookedFor, RetryStatus::ExhaustedRetries);
            self.give_up(work, frame, lease, marker, status, reason)
                .await
        } else {
            self.close(work, lease, reason).await
        };
        if verdict.outcome.comes_back() {
            return verdict;
        }
        verdict.because(reason.words)
    }

    /// Keeps an event of our own marks, which nobody misses: acknowledged even without an archive,
    /// since the ledger remembers it.
    pub(super) async fn keep_own_echo(&self, work: &Work<'_>, lease: &Lease) -> Verdict {
        let reason = Reason {
            code: FailureCode::OwnEcho,
            words: "the event only tells of a mark that this function has written",
        };
        self.close(work, lease, reason).await.because(reason.words)
    }

    /// Archives before settling, settles before acknowledging.
    pub(super) async fn close(
        &self,
        work: &Work<'_>,
        lease: &Lease,
        reason: Reason<'_>,
    ) -> Verdict {
        let code = reason.code;
        let mut archived_as = None;
        if let Some(archive) = &self.archive {
            let entry = self.entry(work, reason, lease.shown_attempt(), lease.first_seen);
            match archive.put(&entry).await {
                Ok(address) => archived_as = Some(address),
                Err(error) => {
                    self.release(work, lease, FailureCode::ArchiveUnavailable)
                        .await;
                    return self.archive_failed(work.message, &error);
                }
            }
        }
        let (settlement, outcome) = if self.archive.is_some() || code == FailureCode::OwnEcho {
            (Settlement::Archived(code), Outcome::Archived { code })
        } else {
            (Settlement::Failed(code), Outcome::Returned { code })
        };
        match self
            .ledger
            .settle(lease, settlement, self.clock.now())
            .await
        {
            Ok(()) => Verdict {
                archived_as,
                ..outcome.into()
            },
            Err(error) => self.ledger_failed(work.message, &error),
        }
    }

    pub(super) fn entry<'a>(
        &self,
        work: &'a Work<'_>,
        reason: Reason<'a>,
        attempts: u32,
        first_seen: Timestamp,
    ) -> Entry<'a> {
        let letter = work.letter;
        Entry {
            message: work.message,
            key: &work.key,
            event_id: letter
                .event_id
                .as_ref()
                .map_or(work.message.id.as_str(), |id| id.as_str()),
            event_type: letter.event_type.as_deref(),
            interaction_id: letter.interaction.as_ref().map(|it| it.id.as_str()),
            original: &letter.failure,
            target: &work.target,
            code: reason.code,
            reason: reason.words,
            attempts,
            first_seen,
            now: self.clock.now(),
        }
    }
}

/// Logs that an event is given up, and that its interaction does not show it.
pub(super) fn note_missing_mark(work: &Work<'_>, failure: &AttemptFailure) {
    tracing::warn!(
        message_id = %work.message.id,
        event_id = work.event_id(),
        failure_code = FailureCode::RetryStateNotWritten.as_str(),
        error = failure.reason,
        "event given up without its mark"
    );
}
