//! The audit of a run: each step with its time, and the operator.

use std::collections::{HashMap, HashSet};
use std::{future, io};

use futures_util::future::BoxFuture;
use genesys_replay::aws::AwsError;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The time, in RFC 3339.
    pub at: String,
    #[serde(flatten)]
    pub event: AuditEvent,
}

/// A step of a run. `key` is the key of the dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum AuditEvent {
    /// A run begins, for the first time or as a resume.
    Begun {
        plan: String,
        hash: String,
        by: String,
        /// Name, version and commit of the program; `None` in audits of version 0.1.0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        written_by: Option<String>,
        to: String,
        /// True if the dead letters are sent directly to their targets.
        direct: bool,
        resumed: bool,
        /// The reason of this run, if it is not that of the plan.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    Wave {
        size: usize,
    },
    /// These dead letters are about to be sent. Without a later line about one of them, that one may have been sent.
    Sending {
        keys: Vec<String>,
    },
    Sent {
        key: String,
        /// The id of the message that carries the dead letter.
        message_id: String,
    },
    /// A dead letter was not sent and has not changed.
    NotSent {
        key: String,
        reason: String,
    },
    /// A dead letter may have been sent, or was attempted and is not settled. A resume sends the dead letter again,
    /// which does not cause a second delivery.
    Doubtful {
        key: String,
        reason: String,
    },
    /// A dead letter left the parking queue, or its deletion failed. The ledger has the event in both cases.
    LeftParking {
        key: String,
        /// The reason why the message is still there; `None` if it left.
        error: Option<String>,
    },
    /// The original of a dead letter left the queue, because its copy is stored, or its deletion failed. The ledger has the
    /// event in both cases.
    LeftQueue {
        key: String,
        /// The reason why the message is still there; `None` if it left.
        error: Option<String>,
    },
    /// A dead letter is settled.
    Outcome {
        key: String,
        outcome: String,
        failure_code: Option<String>,
    },
    /// A step of a discard or restore is about to begin. `place` is the object or the message of the dead letter.
    StepBegun {
        key: String,
        place: String,
        step: ClosingStep,
    },
    StepDone {
        key: String,
        place: String,
        step: ClosingStep,
        /// The key of the stored copy, after [`ClosingStep::Copy`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copy: Option<String>,
    },
    /// A dead letter was discarded or restored, or its ledger item has changed.
    Closed {
        key: String,
        place: String,
        outcome: String,
    },
    /// A dead letter was not discarded or restored. A resume begins it again.
    NotClosed {
        key: String,
        place: String,
        reason: String,
    },
    Ended {
        /// The reason, in one sentence.
        reason: String,
    },
    /// The first line of a part of an audit that is shared in a bucket.
    Part(AuditPart),
    /// Another operator continues the plan.
    TakenOver {
        by: String,
        /// The former operator.
        from: String,
    },
    /// The plan is not applied any more.
    Aborted {
        by: String,
        reason: String,
    },
    /// The plan was edited, and is not applied any more.
    Superseded {
        by: String,
        /// The id of the newer plan.
        newer: String,
    },
}

/// The place of a part in its audit, and its writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPart {
    pub plan: String,
    /// The number of the part, from 1.
    pub number: u64,
    /// SHA-256 of the part before, in hexadecimal digits; `None` in the first part.
    pub previous: Option<String>,
    /// Identifies the process that wrote the part.
    pub run: String,
    /// The number of the first part that this process wrote.
    pub begun: u64,
    pub by: String,
    /// The name of the writer's computer, if it is known.
    pub host: Option<String>,
    /// The number of settled dead letters, with those of this part.
    pub settled: usize,
}

/// The steps of a discard or restore of one dead letter, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosingStep {
    /// The copy is stored and verified.
    Copy,
    /// The ledger item is written.
    Ledger,
    /// The original is deleted.
    Delete,
}

/// The writer of the audit. An entry outlives the process after the next flush.
pub trait Journal: Send {
    /// # Errors
    /// [`io::Error`]: the entry may be missing, so nothing more may be sent.
    fn write(&mut self, entry: &AuditEntry) -> io::Result<()>;

    /// Stores the written entries. Called before each send and after its results, and often during a wait. An audit that
    /// stores each entry at once has nothing to do.
    ///
    /// # Errors
    /// [`FlushError`]: entries may be missing, or another process continues the plan, so nothing more may be sent.
    fn flush(&mut self) -> BoxFuture<'_, Result<(), FlushError>> {
        Box::pin(future::ready(Ok(())))
    }
}

/// The reason why an audit was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    #[error("the audit cannot be stored; nothing more was sent")]
    NotStored(#[from] AwsError),
    #[error("{by} continues or ended this plan in another process; nothing more was sent")]
    Superseded {
        /// The writer of the other part.
        by: String,
    },
    #[error("the audit is stored too slowly; nothing more was sent")]
    TooSlow,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemState {
    /// The item may have been sent.
    Doubtful,
    /// The item was sent and is not settled.
    Sent {
        message_id: String,
    },
    Settled {
        outcome: String,
        failure_code: Option<String>,
    },
}

/// The content of an audit file about earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The hash of the plan, if a run was begun.
    pub hash: Option<String>,
    /// True if the run was begun directly to the targets; `None` if no run was begun.
    pub direct: Option<bool>,
    /// The states of the items, by key, or by place in a discard or restore. Items without an entry were not begun.
    pub states: HashMap<String, ItemState>,
    /// The keys of items that were certainly sent and, as far as is known, have not left their queue.
    pub still_in_source: HashSet<String>,
}

/// The error for an audit file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the audit file cannot be read")]
pub struct CorruptAudit {
    /// The number of the unreadable line, from 1.
    pub line: usize,
}

impl History {
    /// Reads an audit file. Ignores an incomplete last line, because the process may have died while it wrote.
    ///
    /// # Errors
    /// [`CorruptAudit`] if any other line cannot be read.
    pub fn read(file: &str) -> Result<Self, CorruptAudit> {
        let mut history = Self::default();
        for (index, line) in file.split_inclusive('\n').enumerate() {
            match serde_json::from_str::<AuditEntry>(line) {
                Ok(entry) => history.add(entry.event),
                Err(_) if !line.ends_with('\n') => {}
                Err(_) => return Err(CorruptAudit { line: index + 1 }),
            }
        }
        Ok(history)
    }

    /// Returns the number of settled items.
    pub fn settled(&self) -> usize {
        let is_settled = |state: &&ItemState| matches!(state, ItemState::Settled { .. });
        self.states.values().filter(is_settled).count()
    }

    /// Adds the next entry of an audit.
    pub(crate) fn add(&mut self, event: AuditEvent) {
        let mut set = |key, state| drop(self.states.insert(key, state));
        match event {
            AuditEvent::Begun { hash, direct, .. } => {
                (self.hash, self.direct) = (Some(hash), Some(direct));
            }
            AuditEvent::Sending { keys } => {
                for key in keys {
                    set(key, ItemState::Doubtful);
                }
            }
            AuditEvent::Sent { key, message_id } => {
                self.still_in_source.insert(key.clone());
                set(key, ItemState::Sent { message_id });
            }
            AuditEvent::NotSent { key, .. } => drop(self.states.remove(&key)),
            AuditEvent::Doubtful { key, .. } => set(key, ItemState::Doubtful),
            AuditEvent::LeftQueue { key, error } | AuditEvent::LeftParking { key, error } => {
                if error.is_none() {
                    self.still_in_source.remove(&key);
                }
            }
            AuditEvent::Outcome { key, outcome, failure_code } => {
                set(key, ItemState::Settled { outcome, failure_code });
            }
            AuditEvent::StepBegun { place, .. } => set(place, ItemState::Doubtful),
            AuditEvent::Closed { place, outcome, .. } => {
                set(place, ItemState::Settled { outcome, failure_code: None });
            }
            AuditEvent::Wave { .. }
            | AuditEvent::StepDone { .. }
            | AuditEvent::NotClosed { .. }
            | AuditEvent::Ended { .. }
            | AuditEvent::Part(_)
            | AuditEvent::TakenOver { .. }
            | AuditEvent::Aborted { .. }
            | AuditEvent::Superseded { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIT: &str = r#"{"at":"t","what":"begun","plan":"p","hash":"h","by":"marta","to":"q","direct":false,"resumed":false}
{"at":"t","what":"wave","size":4}
{"at":"t","what":"sending","keys":["a","b","c","d"]}
{"at":"t","what":"sent","key":"a","message_id":"m-1"}
{"at":"t","what":"sent","key":"b","message_id":"m-2"}
{"at":"t","what":"not_sent","key":"c","reason":"too long"}
{"at":"t","what":"left_parking","key":"a","error":null}
{"at":"t","what":"left_parking","key":"b","error":"no answer"}
{"at":"t","what":"outcome","key":"a","outcome":"delivered","failure_code":null}
"#;

    #[test]
    fn audit_restores_the_state_of_each_item() {
        let settled = ItemState::Settled { outcome: "delivered".to_owned(), failure_code: None };
        let sent = ItemState::Sent { message_id: "m-2".to_owned() };
        let states = [("a", settled), ("b", sent), ("d", ItemState::Doubtful)];
        let expected = History {
            hash: Some("h".to_owned()),
            direct: Some(false),
            states: states.map(|(key, state)| (key.to_owned(), state)).into(),
            still_in_source: ["b".to_owned()].into(),
        };
        assert_eq!(History::read(AUDIT), Ok(expected));
        assert_eq!(History::read(""), Ok(History::default()));
    }

    #[test]
    fn audit_is_refused_when_an_inner_line_is_torn() {
        let torn = format!("{AUDIT}{{\"at\":\"2026");
        assert_eq!(History::read(&torn), History::read(AUDIT));
        assert_eq!(History::read(&format!("{torn}\n")), Err(CorruptAudit { line: 10 }));
        assert_eq!(History::read(&format!("{{\n{AUDIT}")), Err(CorruptAudit { line: 1 }));
    }
}
