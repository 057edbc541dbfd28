//! The outcomes of the records of a batch, and their counts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dead_letter::DeadLetter;
use crate::destination::Destination;
use crate::failure::{Disposition, FailureCode};
use crate::message::{Message, MessageId};

/// The outcome of a record; each record has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target accepted the event. The message is acknowledged; [`RecordResult::warning_code`] names missing
    /// bookkeeping.
    Replayed,
    /// The event was finished before. The message is acknowledged.
    Duplicate,
    /// The message was rejected and archived. The message is acknowledged.
    Archived {
        /// The reason.
        code: FailureCode,
    },
    /// Another attempt follows. The message returns to the queue.
    Deferred {
        /// The visibility timeout to set.
        after: Duration,
        /// The reason.
        code: FailureCode,
    },
    /// The message was rejected without an archive. The message returns to the queue unchanged until SQS moves it to
    /// the parking queue.
    Returned {
        /// The reason.
        code: FailureCode,
    },
    /// The record was not attempted. The message returns to the queue.
    NotAttempted {
        /// The visibility timeout to set.
        after: Duration,
        /// The reason.
        code: FailureCode,
    },
}

impl Outcome {
    /// Returns true if the message must return to the queue.
    #[must_use]
    pub const fn returns_to_queue(self) -> bool {
        match self {
            Self::Replayed | Self::Duplicate | Self::Archived { .. } => false,
            Self::Deferred { .. } | Self::Returned { .. } | Self::NotAttempted { .. } => true,
        }
    }

    /// Returns true if the record was attempted.
    #[must_use]
    pub const fn was_attempted(self) -> bool {
        match self {
            Self::Replayed
            | Self::Duplicate
            | Self::Archived { .. }
            | Self::Deferred { .. }
            | Self::Returned { .. } => true,
            Self::NotAttempted { .. } => false,
        }
    }

    /// Returns the name used in log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Duplicate => "duplicate",
            Self::Archived { .. } => "archived",
            Self::Deferred { .. } => "deferred",
            Self::Returned { .. } => "returned",
            Self::NotAttempted { .. } => "not_attempted",
        }
    }

    /// Returns the outcome of another message with the same event in the same batch.
    #[must_use]
    pub const fn for_duplicate(self) -> Self {
        match self {
            Self::Replayed | Self::Duplicate | Self::Archived { .. } => Self::Duplicate,
            Self::Deferred { .. } | Self::Returned { .. } | Self::NotAttempted { .. } => self,
        }
    }

    /// Returns the visibility timeout to set; `None` if the message is acknowledged or the queue's own timeout
    /// applies.
    #[must_use]
    pub const fn retry_delay(self) -> Option<Duration> {
        match self {
            Self::Deferred { after, .. } | Self::NotAttempted { after, .. } => Some(after),
            Self::Replayed | Self::Duplicate | Self::Archived { .. } | Self::Returned { .. } => {
                None
            }
        }
    }

    const fn code(self) -> Option<FailureCode> {
        match self {
            Self::Replayed | Self::Duplicate => None,
            Self::Archived { code }
            | Self::Deferred { code, .. }
            | Self::Returned { code }
            | Self::NotAttempted { code, .. } => Some(code),
        }
    }
}

/// An outcome with its details.
#[derive(Clone, Debug)]
pub struct RecordResult {
    /// The outcome of the record.
    pub outcome: Outcome,
    /// The number of the last attempt, if one was made.
    pub attempt: Option<u32>,
    /// The failure code of bookkeeping that is missing although the event was delivered.
    pub warning_code: Option<FailureCode>,
    /// The disposition of the failure.
    pub disposition: Option<Disposition>,
    /// The reason in words.
    pub reason: Option<String>,
    /// True if an answer of the target was lost: the target may have accepted an attempt that failed.
    pub possible_duplicate: bool,
    /// The address of the archived object, if the message was archived.
    pub archived_as: Option<String>,
    /// True if SQS is about to delete the message and the message could not be archived.
    pub expiring: bool,
    /// True if the cause of a deferral usually ends within seconds.
    pub(super) is_brief: bool,
}

impl From<Outcome> for RecordResult {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            attempt: None,
            warning_code: None,
            disposition: None,
            reason: None,
            possible_duplicate: false,
            archived_as: None,
            expiring: false,
            is_brief: false,
        }
    }
}

/// A mark that was skipped, with the reason.
#[derive(Clone, Debug)]
pub(super) struct SkippedMark {
    pub(super) disposition: Disposition,
    pub(super) reason: String,
}

impl RecordResult {
    /// Adds a reason in words. An earlier reason stays, because it is nearer to the cause.
    #[must_use]
    pub fn with_reason(mut self, reason: &(impl ToString + ?Sized)) -> Self {
        self.reason = self.reason.or_else(|| Some(reason.to_string()));
        self
    }

    /// Sets the visibility timeout of a message that returns to the queue.
    #[must_use]
    pub(super) fn within(self, delay: Duration) -> Self {
        let outcome = match self.outcome {
            Outcome::Deferred { code, .. } => Outcome::Deferred { after: delay, code },
            Outcome::NotAttempted { code, .. } => Outcome::NotAttempted { after: delay, code },
            Outcome::Replayed
            | Outcome::Duplicate
            | Outcome::Archived { .. }
            | Outcome::Returned { .. } => self.outcome,
        };
        Self { outcome, ..self }
    }

    /// Returns true if the event was attempted and its failure may be its own fault or its target's. Other failures
    /// reject an event only at its last receive.
    pub(super) fn is_events_fault(&self) -> bool {
        match self.outcome {
            Outcome::NotAttempted { .. } => false,
            Outcome::Deferred { code, .. } => !code.is_about_us(),
            Outcome::Replayed
            | Outcome::Duplicate
            | Outcome::Archived { .. }
            | Outcome::Returned { .. } => true,
        }
    }

    /// Returns true if an operator must repair something of ours: the event is not at fault, so other events fail
    /// too. A failed write to the archive counts, because its cause is nearly always a missing permission.
    fn needs_operator(&self) -> bool {
        self.disposition == Some(Disposition::Operator)
            || self.code() == Some(FailureCode::ArchiveUnavailable)
    }

    /// Returns true if the target accepted the event but the ledger could not be updated. The message is acknowledged
    /// anyway, because its return would deliver the event again.
    #[must_use]
    pub fn is_unrecorded(&self) -> bool {
        self.outcome == Outcome::Replayed
            && self.warning_code == Some(FailureCode::LedgerUnavailable)
    }

    /// Adds a skipped mark to the result of a replayed event without another warning.
    pub(super) fn with_skipped_mark(self, skipped: Option<SkippedMark>) -> Self {
        match skipped {
            Some(skipped) if self.outcome == Outcome::Replayed && self.warning_code.is_none() => {
                Self {
                    warning_code: Some(FailureCode::RetryStateNotWritten),
                    disposition: Some(skipped.disposition),
                    ..self.with_reason(&skipped.reason)
                }
            }
            Some(_) | None => self,
        }
    }

    /// Returns the failure code to log: the outcome's or, for a delivered event, the missing bookkeeping's.
    #[must_use]
    pub fn code(&self) -> Option<FailureCode> {
        self.outcome.code().or(self.warning_code)
    }
}

/// A record with its result: all data of its log line, without payload.
#[derive(Clone, Debug)]
pub struct RecordReport {
    /// The id of the message.
    pub message_id: MessageId,
    /// The receive count.
    pub receive_count: u32,
    /// The event, if the message holds one.
    pub event: Option<EventSummary>,
    /// The result of the record.
    pub result: RecordResult,
    /// The time that the record took.
    pub duration: Duration,
}

/// The maximum length of a logged event type, in characters, because the type comes from outside.
const MAX_TOPIC_CHARS: usize = 200;

/// A summary of an event for log lines.
#[derive(Clone, Debug)]
pub struct EventSummary {
    /// The event's own id, if it has one.
    pub event_id: Option<String>,
    /// The event type, cut to 200 characters.
    pub event_type: Option<String>,
    /// The id of the interaction, if the event has one.
    pub interaction_id: Option<String>,
    /// The category of the original failure.
    pub category: &'static str,
    /// The destination of the event.
    pub target: String,
}

impl EventSummary {
    pub(super) fn of(dead_letter: &DeadLetter<'_>, destination: &Destination) -> Self {
        Self {
            event_id: dead_letter.event_id.as_ref().map(|id| id.as_str().to_owned()),
            event_type: dead_letter
                .event_type
                .as_ref()
                .map(|text| text.chars().take(MAX_TOPIC_CHARS).collect()),
            interaction_id: dead_letter.interaction.as_ref().map(|it| it.id.to_string()),
            category: dead_letter.failure.category().as_str(),
            target: destination.to_string(),
        }
    }
}

impl RecordReport {
    pub(super) fn new(
        message: &Message,
        event: Option<EventSummary>,
        result: RecordResult,
        duration: Duration,
    ) -> Self {
        Self {
            message_id: message.id.clone(),
            receive_count: message.receive_count,
            event,
            result,
            duration,
        }
    }
}

/// The category of messages that do not hold an event.
const NO_CATEGORY: &str = "NONE";

/// The numbers of records of a batch by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Outcome `Replayed`.
    pub replayed: usize,
    /// Outcome `Duplicate`.
    pub duplicates: usize,
    /// Outcome `Archived`.
    pub archived: usize,
    /// Outcome `Deferred`.
    pub deferred: usize,
    /// Outcome `Returned`.
    pub returned: usize,
    /// Outcome `NotAttempted`.
    pub not_attempted: usize,
    /// Records with a lost answer of the target.
    pub possible_duplicates: usize,
    /// Delivered records without a checkpoint in the ledger.
    pub unrecorded: usize,
    /// Messages that SQS is about to delete and that could not be archived.
    pub expiring: usize,
    /// Records that failed for a cause that is ours to repair.
    pub needs_operator: usize,
    /// Archived records that may be missed: all except echoes of our own PATCH.
    pub given_up: usize,
}

impl Counts {
    /// Counts the outcomes of a batch.
    #[must_use]
    pub fn of<'h>(batch: impl IntoIterator<Item = &'h RecordReport>) -> Self {
        let mut counts = Self::default();
        for handled in batch {
            *match handled.result.outcome {
                Outcome::Replayed => &mut counts.replayed,
                Outcome::Duplicate => &mut counts.duplicates,
                Outcome::Archived { .. } => &mut counts.archived,
                Outcome::Deferred { .. } => &mut counts.deferred,
                Outcome::Returned { .. } => &mut counts.returned,
                Outcome::NotAttempted { .. } => &mut counts.not_attempted,
            } += 1;
            counts.possible_duplicates += usize::from(handled.result.possible_duplicate);
            counts.unrecorded += usize::from(handled.result.is_unrecorded());
            counts.expiring += usize::from(handled.result.expiring);
            counts.needs_operator += usize::from(handled.result.needs_operator());
            let skipped = matches!(handled.result.outcome, Outcome::Archived { code } if code != FailureCode::OwnEcho);
            counts.given_up += usize::from(skipped);
        }
        counts
    }

    /// Counts the outcomes by category of the original failure; `NONE` stands for messages without an event.
    #[must_use]
    pub fn by_category(batch: &[RecordReport]) -> BTreeMap<&'static str, Self> {
        let mut records: BTreeMap<_, Vec<&RecordReport>> = BTreeMap::new();
        for handled in batch {
            let category = handled.event.as_ref().map_or(NO_CATEGORY, |it| it.category);
            records.entry(category).or_default().push(handled);
        }
        let counted = records.into_iter();
        counted.map(|(category, records)| (category, Self::of(records))).collect()
    }

    /// Returns the difference between the number of outcomes and the number of records. Any value but 0 is a fault in
    /// this program.
    #[must_use]
    pub const fn unaccounted(&self, records: usize) -> usize {
        records.abs_diff(self.accounted())
    }

    /// Returns the number of records that have an outcome.
    #[must_use]
    pub const fn accounted(&self) -> usize {
        self.replayed
            + self.duplicates
            + self.archived
            + self.deferred
            + self.returned
            + self.not_attempted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: FailureCode = FailureCode::TargetRefused;
    const AFTER: Duration = Duration::from_secs(5);

    fn handled(result: RecordResult) -> Option<RecordReport> {
        let message = Message::new(MessageId::new("m-1")?, String::new());
        Some(RecordReport::new(&message, None, result, Duration::ZERO))
    }

    fn counts(verdicts: impl IntoIterator<Item = RecordResult>) -> Counts {
        let batch: Vec<RecordReport> = verdicts.into_iter().filter_map(handled).collect();
        Counts::of(&batch)
    }

    #[test]
    fn outcome_counts_add_up_by_name() {
        let (after, code) = (AFTER, CODE);
        let outcomes = [
            Outcome::Replayed,
            Outcome::Duplicate,
            Outcome::Archived { code },
            Outcome::Deferred { after, code },
            Outcome::Returned { code },
            Outcome::NotAttempted { after, code },
        ];
        let begun = outcomes.map(Outcome::was_attempted);
        assert_eq!(begun, [true, true, true, true, true, false]);
        // One record of the first outcome, two of the second, and so on.
        let batch = (1..).zip(outcomes);
        let counts =
            counts(batch.flat_map(|(times, outcome)| {
                std::iter::repeat_n(RecordResult::from(outcome), times)
            }));
        assert_eq!(
            counts,
            Counts {
                replayed: 1,
                duplicates: 2,
                archived: 3,
                deferred: 4,
                returned: 5,
                not_attempted: 6,
                given_up: 3,
                ..Counts::default()
            }
        );
        assert_eq!(counts.accounted(), 21);
        assert_eq!([20, 21, 23].map(|it| counts.unaccounted(it)), [1, 0, 2]);
    }

    #[test]
    fn attention_counts_are_beside_the_outcome_counts() {
        let deferred = |disposition| RecordResult {
            disposition: Some(disposition),
            ..Outcome::Deferred { after: AFTER, code: CODE }.into()
        };
        let lost_answer = RecordResult {
            possible_duplicate: true,
            ..deferred(Disposition::Transient { after: None })
        };
        let counts = counts([
            lost_answer.clone(),
            lost_answer,
            deferred(Disposition::Operator),
            Outcome::Deferred { after: AFTER, code: FailureCode::ArchiveUnavailable }.into(),
            Outcome::Archived { code: FailureCode::OwnEcho }.into(),
        ]);
        assert_eq!(counts.possible_duplicates, 2);
        assert_eq!(counts.needs_operator, 2, "credentials and the archive");
        assert_eq!(counts.given_up, 0, "an echo of our own PATCH does not count");
    }

    #[test]
    fn skipped_mark_is_reported_without_another_warning() {
        let skipped = || {
            Some(SkippedMark { disposition: Disposition::Operator, reason: "refused".to_owned() })
        };
        let told = RecordResult::from(Outcome::Replayed).with_skipped_mark(skipped());
        assert_eq!(told.warning_code, Some(FailureCode::RetryStateNotWritten));
        assert_eq!(told.disposition, Some(Disposition::Operator));
        assert_eq!(told.reason.as_deref(), Some("refused"));

        let unrecorded = RecordResult {
            warning_code: Some(FailureCode::LedgerUnavailable),
            ..Outcome::Replayed.into()
        };
        let kept = unrecorded.with_skipped_mark(skipped());
        assert_eq!(kept.warning_code, Some(FailureCode::LedgerUnavailable));
        assert_eq!(counts([kept]).unrecorded, 1);
        assert_eq!(counts([told]).unrecorded, 0);
        assert_eq!(
            RecordResult::from(Outcome::Duplicate).with_skipped_mark(skipped()).code(),
            None
        );
        assert_eq!(RecordResult::from(Outcome::Replayed).with_skipped_mark(None).code(), None);
    }
}
