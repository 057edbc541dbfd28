//! The names in the output of the function and of this command, with their meanings: the source of `explain`.

use std::cmp::Reverse;

use genesys_replay::failure::{Category, FailureCode, RefusalCode};
use genesys_replay::genesys::RetryStatus;
use genesys_replay::ledger::Status;
use genesys_replay::replay::Outcome;
use genesys_replay::replay::decision::NextStep;

use super::apply::ReplayOutcome;
use super::diagnose::advice_on_category;
use super::plans::RunState;
use super::reconcile::ReconcileFinding;

/// The minimum similarity of a suggested name, from 0 to 1.
const MIN_SIMILARITY: f64 = 0.65;

/// The minimum length of a part of a name for which the whole name is suggested.
const MIN_PART_BYTES: usize = 4;

const MAX_SUGGESTIONS: usize = 3;

/// The places in which a name occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermKind {
    FailureCode,
    RefusalCode,
    Category,
    Outcome,
    LedgerStatus,
    RetryStatus,
    NextStep,
    ReconcileFinding,
    ApplyOutcome,
    PlanState,
}

impl TermKind {
    /// Returns the kind of a name for people, and its name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailureCode => "failure code",
            Self::RefusalCode => "code of ingest",
            Self::Category => "category",
            Self::Outcome => "outcome",
            Self::LedgerStatus => "ledger status",
            Self::RetryStatus => "retry status",
            Self::NextStep => "next step",
            Self::ReconcileFinding => "finding",
            Self::ApplyOutcome => "outcome of apply",
            Self::PlanState => "state of a shared plan",
        }
    }

    /// Returns the heading of a list, with the place in which the names occur.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::FailureCode => "Failure codes (failure_code):",
            Self::RefusalCode => "Codes of ingest (problem):",
            Self::Category => "Categories of the first failure (category):",
            Self::Outcome => "Outcomes of one receive (outcome in the log):",
            Self::LedgerStatus => "Statuses of an event in the ledger (Status):",
            Self::RetryStatus => "Retry statuses of an interaction (system.retryStatus):",
            Self::NextStep => "Next steps of the function (diagnose, nextStep):",
            Self::ReconcileFinding => "Findings of reconcile:",
            Self::ApplyOutcome => "Outcomes of apply:",
            Self::PlanState => "States of shared plans (plans list):",
        }
    }
}

/// A name with its meaning in one sentence.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    pub kind: TermKind,
    pub name: &'static str,
    pub meaning: &'static str,
    /// The page of a failure code, in Markdown.
    pub page: Option<&'static str>,
}

impl Term {
    const fn of(kind: TermKind, name: &'static str, meaning: &'static str) -> Self {
        Self { kind, name, meaning, page: None }
    }
}

/// Returns all names, grouped by kind.
pub fn terms() -> Vec<Term> {
    let failures = FailureCode::ALL.iter().map(|it| Term {
        page: Some(it.page()),
        ..Term::of(TermKind::FailureCode, it.as_str(), it.what_to_do())
    });
    let refusals = RefusalCode::ALL.iter().map(|it| Term {
        page: Some(it.page()),
        ..Term::of(TermKind::RefusalCode, it.as_str(), it.what_to_do())
    });
    let categories =
        Category::ALL.map(|it| Term::of(TermKind::Category, it.as_str(), advice_on_category(it)));
    let statuses = Status::ALL.map(|it| Term::of(TermKind::LedgerStatus, it.as_str(), status(it)));
    let findings = ReconcileFinding::ALL
        .iter()
        .map(|it| Term::of(TermKind::ReconcileFinding, it.as_str(), it.meaning()));
    let plan_states = RunState::MEANINGS;
    let plan_states =
        plan_states.map(|(name, meaning)| Term::of(TermKind::PlanState, name, meaning));
    failures
        .chain(refusals)
        .chain(categories)
        .chain(outcomes())
        .chain(statuses)
        .chain(retry_statuses())
        .chain(next_steps())
        .chain(findings)
        .chain(apply_outcomes())
        .chain(plan_states)
        .collect()
}

/// Returns the terms with this name in any case; a space or a dash stands for an underscore.
pub fn find(name: &str) -> Vec<Term> {
    let name = normal(name);
    terms().into_iter().filter(|term| normal(term.name) == name).collect()
}

/// Returns the names that resemble a wrong one, best first.
pub fn similar(name: &str) -> Vec<&'static str> {
    let name = normal(name);
    let mut found: Vec<(u32, &'static str)> = Vec::new();
    for term in terms() {
        let known = normal(term.name);
        let similarity = strsim::normalized_damerau_levenshtein(&name, &known);
        let is_part = name.len() >= MIN_PART_BYTES && known.contains(&name);
        let is_new = found.iter().all(|(_, other)| normal(other) != known);
        if is_new && (is_part || similarity >= MIN_SIMILARITY) {
            found.push((rank(similarity), term.name));
        }
    }
    found.sort_by_key(|(rank, _)| Reverse(*rank));
    found.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| name).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a similarity is from 0 to 1"
)]
fn rank(similarity: f64) -> u32 {
    (similarity * 1_000.0) as u32
}

fn normal(name: &str) -> String {
    name.trim().to_ascii_uppercase().replace([' ', '-'], "_")
}

fn outcomes() -> Vec<Term> {
    let (code, after) = (FailureCode::Internal, std::time::Duration::ZERO);
    let all = [
        Outcome::Replayed,
        Outcome::Duplicate,
        Outcome::Archived { code },
        Outcome::Deferred { after, code },
        Outcome::Returned { code },
        Outcome::NotAttempted { after, code },
    ];
    all.map(|outcome| {
        let meaning = match outcome {
            Outcome::Replayed => "the target accepted the event, and its message was removed",
            Outcome::Duplicate => {
                "the event was settled before, so nothing was delivered, and its message was removed: the ledger item has the earlier result"
            }
            Outcome::Archived { .. } => {
                "the event was rejected and its message is in the archive: read the failure code, repair its cause, then run genesys-replay plan"
            }
            Outcome::Deferred { .. } => {
                "the event was not settled: its message is on the queue, and the function receives it again after the delay"
            }
            Outcome::Returned { .. } => {
                "the event was rejected, but ARCHIVE_BUCKET is not set: its message stays on the queue until SQS moves it to the parking queue"
            }
            Outcome::NotAttempted { .. } => {
                "nothing was done with the event: its message is on the queue, and the function receives it again after the delay"
            }
        };
        Term::of(TermKind::Outcome, outcome.as_str(), meaning)
    })
    .to_vec()
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::InProgress => {
            "a worker holds the event until its lease ends; after the lease the next receive claims the event again"
        }
        Status::Deferred => {
            "the event waits on the queue for another attempt: FailureCode has the reason of the last one"
        }
        Status::Completed => "the target accepted the event: nothing to do",
        Status::Archived => {
            "the event was rejected, and its message is in the archive: repair the cause in FailureCode, then run genesys-replay plan"
        }
        Status::Failed => {
            "the event was rejected without an archive: its message is in the queue or the parking queue. Set ARCHIVE_BUCKET, then run genesys-replay plan --from parking"
        }
        Status::Discarded => {
            "an operator decided not to deliver the event: the function removes its messages"
        }
    }
}

fn retry_statuses() -> Vec<Term> {
    let all = [
        RetryStatus::Retrying,
        RetryStatus::ReplaySuccessful,
        RetryStatus::ReplayFailed,
        RetryStatus::ExhaustedRetries,
    ];
    all.map(|status| {
        let meaning = match status {
            RetryStatus::Retrying => "an attempt to deliver the interaction's event has begun",
            RetryStatus::ReplaySuccessful => "the target accepted the event",
            RetryStatus::ReplayFailed => {
                "the event was rejected, because another attempt would fail in the same way"
            }
            RetryStatus::ExhaustedRetries => {
                "the event was rejected, because its retry time or the retention of its message ended"
            }
        };
        Term::of(TermKind::RetryStatus, status.as_str(), meaning)
    })
    .to_vec()
}

fn next_steps() -> Vec<Term> {
    let all = [
        NextStep::Replay,
        NextStep::Archive,
        NextStep::Acknowledge,
        NextStep::Wait,
        NextStep::Return,
    ];
    all.map(|step| {
        let meaning = match step {
            NextStep::Replay => "the function will deliver the event",
            NextStep::Archive => "the function will archive the message",
            NextStep::Acknowledge => {
                "the function will remove the message, because the event is finished"
            }
            NextStep::Wait => {
                "the function will defer the message: another worker holds the event, or the delay of a round is not over"
            }
            NextStep::Return => {
                "the function will return the message, because the event was rejected without an archive"
            }
        };
        Term::of(TermKind::NextStep, step.as_str(), meaning)
    })
    .to_vec()
}

fn apply_outcomes() -> Vec<Term> {
    let all = [
        ReplayOutcome::Delivered,
        ReplayOutcome::DeliveredBefore,
        ReplayOutcome::Discarded,
        ReplayOutcome::Archived(String::new()),
        ReplayOutcome::Failed(String::new()),
    ];
    let terms = all.iter().map(|outcome| {
        let meaning = match outcome {
            ReplayOutcome::Delivered => "the target accepted the event of the plan",
            ReplayOutcome::DeliveredBefore => {
                "the target had accepted the event before, so it was not delivered again"
            }
            ReplayOutcome::Discarded => "an operator discarded the event, so it was not delivered",
            ReplayOutcome::Archived(_) => {
                "the function rejected the event again and archived it: repair the cause in the failure code, then make a new plan"
            }
            ReplayOutcome::Failed(_) => {
                "the function rejected the event again without an archive: its message is in the queue until SQS moves it to the parking queue"
            }
        };
        Term::of(TermKind::ApplyOutcome, outcome.as_str(), meaning)
    });
    terms.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_found_in_any_case_and_in_each_of_its_kinds() {
        let kinds = |name: &str| -> Vec<TermKind> { find(name).iter().map(|it| it.kind).collect() };
        assert_eq!(kinds("target_refused"), [TermKind::FailureCode]);
        assert_eq!(kinds("archived"), [TermKind::Outcome, TermKind::LedgerStatus]);
        assert_eq!(kinds("Archived again"), [TermKind::ApplyOutcome]);
        assert_eq!(kinds("not-attempted"), [TermKind::Outcome]);
        assert_eq!(kinds("PAYLOAD_MALFORMED"), [TermKind::FailureCode, TermKind::Category]);
        assert!(terms().iter().all(|term| !term.meaning.is_empty()));
    }

    #[test]
    fn every_finding_of_reconcile_is_explained() {
        for finding in ReconcileFinding::ALL {
            let found = find(finding.as_str());
            let is_finding = |term: &Term| term.kind == TermKind::ReconcileFinding;
            assert!(found.iter().any(is_finding), "{finding:?}");
        }
    }

    #[test]
    fn similar_names_are_suggested_for_a_wrong_one() {
        for (wrong, expected) in [
            ("TARGET_REFUSE", "TARGET_REFUSED"),
            ("complete", "COMPLETED"),
            ("rate_limit", "RATE_LIMIT_EXCEEDED"),
            ("delivred", "delivered"),
        ] {
            let found = similar(wrong);
            assert!(found.contains(&expected) && found.len() <= MAX_SUGGESTIONS, "{found:?}");
        }
        assert_eq!(similar("NO_SUCH_CODE"), Vec::<&str>::new());
        assert_eq!(similar(""), Vec::<&str>::new());
    }
}
