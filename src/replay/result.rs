//! What became of each record of a batch.

use std::collections::BTreeMap;
use std::time::Duration;

use super::marking::SkippedMark;
use crate::dead_letter::DeadLetter;
use crate::destination::Destination;
use crate::failure::{Disposition, FailureCode};
use crate::message::{Message, MessageId};

/// What became of a record; exactly one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target accepted the event and everything is written down. Acknowledged.
    Replayed,
    /// The event was finished before. Acknowledged.
    Duplicate,
    /// Given up, and kept where a person finds it. Acknowledged.
    Archived {
        /// Why.
        code: FailureCode,
    },
    /// To be tried again. Comes back.
    Deferred {
        /// How long it should stay away.
        after: Duration,
        /// Why.
        code: FailureCode,
    },
    /// Given up; comes back untouched until SQS moves it to the parking queue.
    Returned {
        /// Why.
        code: FailureCode,
    },
    /// Not begun. Comes back.
    NotAttempted {
        /// How long it should stay away.
        after: Duration,
        /// Why.
        code: FailureCode,
    },
}

impl Outcome {
    /// Whether the queue must keep the message.
    #[must_use]
    pub const fn returns_to_queue(self) -> bool {
        match self {
            Self::Replayed | Self::Duplicate | Self::Archived { .. } => false,
            Self::Deferred { .. } | Self::Returned { .. } | Self::NotAttempted { .. } => true,
        }
    }

    /// Whether anything was done about it.
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

    /// The name used in log lines.
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

    /// What becomes of a second message with the same event in the same batch.
    #[must_use]
    pub const fn for_duplicate(self) -> Self {
        match self {
            Self::Replayed | Self::Duplicate | Self::Archived { .. } => Self::Duplicate,
            Self::Deferred { .. } | Self::Returned { .. } | Self::NotAttempted { .. } => self,
        }
    }

    /// How long the message should stay away, if this function has a say in it: what is given up
    /// comes back as its queue is set up.
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

/// An outcome and what led to it.
#[derive(Clone, Debug)]
pub struct RecordResult {
    /// What became of the record.
    pub outcome: Outcome,
    /// The number of the attempt it ended with, if one was made.
    pub attempt: Option<u32>,
    /// What is missing although the event was delivered.
    pub warning_code: Option<FailureCode>,
    /// What the failure asked for.
    pub disposition: Option<Disposition>,
    /// What happened, in words.
    pub reason: Option<String>,
    /// Whether an answer of the target was lost: it may have acted on an attempt that failed.
    pub possible_duplicate: bool,
    /// Where it is kept, if it was archived.
    pub archived_as: Option<String>,
    /// Whether SQS is about to delete the message, which could not be archived.
    pub expiring: bool,
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
        }
    }
}

impl RecordResult {
    /// Adds what happened, in words; what was said before, nearer to the cause, stands.
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

    /// Whether a person has to repair something of ours: no event is at fault, so others fail too.
    /// An archive that refuses to be written is nearly always a matter of permissions.
    fn needs_operator(&self) -> bool {
        self.disposition == Some(Disposition::Operator)
            || self.code() == Some(FailureCode::ArchiveUnavailable)
    }

    /// Returns true if the target accepted the event and the ledger could not be told: the message is
    /// acknowledged all the same, because its return would deliver the event again.
    #[must_use]
    pub fn is_unrecorded(&self) -> bool {
        self.outcome == Outcome::Replayed
            && self.warning_code == Some(FailureCode::LedgerUnavailable)
    }

    /// Adds that the interaction of an event that was replayed does not show it.
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

    /// The code to log: why it is not replayed, or what is missing although it is.
    #[must_use]
    pub fn code(&self) -> Option<FailureCode> {
        self.outcome.code().or(self.warning_code)
    }
}

/// A record and what became of it: all that a log line needs, and no payload.
#[derive(Clone, Debug)]
pub struct RecordReport {
    /// The message.
    pub message_id: MessageId,
    /// How often SQS has handed it out.
    pub receive_count: u32,
    /// The event in it, if it is one.
    pub event: Option<EventSummary>,
    /// What became of it.
    pub result: RecordResult,
    /// How long it took.
    pub duration: Duration,
}

/// The longest event type that is logged, in characters: it comes from outside.
const MAX_TOPIC_CHARS: usize = 200;

/// What is known of an event.
#[derive(Clone, Debug)]
pub struct EventSummary {
    /// Its own id.
    pub event_id: Option<String>,
    /// Its type.
    pub event_type: Option<String>,
    /// Its interaction.
    pub interaction_id: Option<String>,
    /// Why it failed the first time.
    pub category: &'static str,
    /// Where it goes.
    pub target: String,
}

impl EventSummary {
    pub(super) fn of(letter: &DeadLetter<'_>, destination: &Destination) -> Self {
        Self {
            event_id: letter.event_id.as_ref().map(|id| id.as_str().to_owned()),
            event_type: letter
                .event_type
                .as_ref()
                .map(|text| text.chars().take(MAX_TOPIC_CHARS).collect()),
            interaction_id: letter.interaction.as_ref().map(|it| it.id.to_string()),
            category: letter.failure.category().as_str(),
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

/// In place of a category where a message holds no event.
const NO_CATEGORY: &str = "NONE";

/// How many records of a batch had which outcome.
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
    /// Archived records whose events somebody may miss: all but echoes of our own marks.
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

    /// The same for each category of the first failure that occurs; `NONE` where a message holds no event.
    #[must_use]
    pub fn by_category(batch: &[RecordReport]) -> BTreeMap<&'static str, Self> {
        let mut records: BTreeMap<_, Vec<&RecordReport>> = BTreeMap::new();
        for handled in batch {
            let category = handled.event.as_ref().map_or(NO_CATEGORY, |it| it.category);
            records.entry(category).or_default().push(handled);
        }
        let counted = records.into_iter();
        counted
            .map(|(category, records)| (category, Self::of(records)))
            .collect()
    }

    /// By how many the outcomes are more or fewer than the records; anything but 0 is a fault in
    /// this program.
    #[must_use]
    pub const fn unaccounted(&self, records: usize) -> usize {
        records.abs_diff(self.accounted())
    }

    /// How many records have an outcome.
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
    fn each_outcome_is_counted_under_its_own_name_and_all_add_up() {
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
        // One of the first, two of the second, and so on.
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
    fn what_asks_for_attention_is_counted_beside_the_outcome() {
        let deferred = |disposition| RecordResult {
            disposition: Some(disposition),
            ..Outcome::Deferred {
                after: AFTER,
                code: CODE,
            }
            .into()
        };
        let lost_answer = RecordResult {
            possible_duplicate: true,
            ..deferred(Disposition::Transient { after: None })
        };
        let counts = counts([
            lost_answer.clone(),
            lost_answer,
            deferred(Disposition::Operator),
            Outcome::Deferred {
                after: AFTER,
                code: FailureCode::ArchiveUnavailable,
            }
            .into(),
            Outcome::Archived {
                code: FailureCode::OwnEcho,
            }
            .into(),
        ]);
        assert_eq!(counts.possible_duplicates, 2);
        assert_eq!(counts.needs_operator, 2, "credentials and the archive");
        assert_eq!(counts.given_up, 0, "nobody misses an echo");
    }

    #[test]
    fn a_missed_mark_is_told_of_a_replayed_event_that_lacks_nothing_else() {
        let skipped = || {
            Some(SkippedMark {
                disposition: Disposition::Operator,
                reason: "refused".to_owned(),
            })
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
            RecordResult::from(Outcome::Duplicate)
                .with_skipped_mark(skipped())
                .code(),
            None
        );
        assert_eq!(
            RecordResult::from(Outcome::Replayed)
                .with_skipped_mark(None)
                .code(),
            None
        );
    }
}
