//! The audit of a run: each step with its time, and the operator.

use std::collections::{HashMap, HashSet};
use std::io;

use genesys_replay::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of the audit file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The time, in RFC 3339.
    pub at: String,
    /// The step.
    #[serde(flatten)]
    pub event: Event,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Event {
    /// A run begins, for the first time or as a resume.
    Begun {
        /// The plan's id.
        plan: String,
        /// The plan's hash.
        hash: String,
        /// The operator.
        by: String,
        /// The destination of the dead letters.
        to: String,
        /// True if the dead letters are sent directly to their targets.
        direct: bool,
        /// True if the run resumes an earlier run.
        resumed: bool,
    },
    /// A wave begins.
    Wave {
        /// The number of dead letters in the wave.
        size: usize,
    },
    /// These dead letters are about to be sent. Without a later line about one of them, that one may have been sent.
    Sending {
        /// The keys of the dead letters.
        keys: Vec<String>,
    },
    /// A dead letter was sent.
    Sent {
        /// The key of the dead letter.
        key: String,
        /// The id of the message that carries the dead letter.
        message_id: String,
    },
    /// A dead letter was not sent and has not changed.
    NotSent {
        /// The key of the dead letter.
        key: String,
        /// The reason.
        reason: String,
    },
    /// A dead letter may have been sent, or was attempted and is not settled. A resume sends the dead letter again,
    /// which does not cause a second delivery.
    Doubtful {
        /// The key of the dead letter.
        key: String,
        /// The reason.
        reason: String,
    },
    /// A dead letter left the parking queue, or its deletion failed. The ledger has the event in both cases.
    LeftParking {
        /// The key of the dead letter.
        key: String,
        /// The reason why the message is still there; `None` if it left.
        error: Option<String>,
    },
    /// A dead letter is settled.
    Outcome {
        /// The key of the dead letter.
        key: String,
        /// The outcome's name.
        outcome: String,
        /// The failure code, if there is one.
        failure_code: Option<String>,
    },
    /// The run ended.
    Ended {
        /// The reason, in one sentence.
        reason: String,
    },
}

/// The writer of the audit. `Ok` means that the entry outlives the process.
pub trait Journal: Send {
    /// Writes one entry.
    ///
    /// # Errors
    /// [`io::Error`]: the entry may be missing, so nothing more may be sent.
    fn write(&mut self, entry: &Entry) -> io::Result<()>;
}

impl Entry {
    /// Returns an entry with this time.
    #[must_use]
    pub fn of(now: Timestamp, event: Event) -> Self {
        Self {
            at: now.to_string(),
            event,
        }
    }
}

/// The state of a plan's item in the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The item may have been sent.
    Doubtful,
    /// The item was sent and is not settled.
    Sent {
        /// The id of the message that carries the item.
        message_id: String,
    },
    /// The item is settled.
    Settled {
        /// The outcome's name.
        outcome: String,
        /// The failure code, if there is one.
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
    /// The states of the items, by key. Items without an entry were not sent.
    pub states: HashMap<String, State>,
    /// The keys of items that were certainly sent and, as far as is known, have not left the parking queue.
    pub lingering: HashSet<String>,
}

/// The error for an audit file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the audit file cannot be read")]
pub struct Torn {
    /// The number of the unreadable line, from 1.
    pub line: usize,
}

impl History {
    /// Reads an audit file. Ignores an incomplete last line, because the process may have died while it wrote.
    ///
    /// # Errors
    /// [`Torn`] if any other line cannot be read.
    pub fn read(file: &str) -> Result<Self, Torn> {
        let mut history = Self::default();
        let last = file.lines().count();
        for (index, line) in file.lines().enumerate() {
            match serde_json::from_str::<Entry>(line) {
                Ok(entry) => history.add(entry.event),
                Err(_) if index + 1 == last && !file.ends_with('\n') => {}
                Err(_) => return Err(Torn { line: index + 1 }),
            }
        }
        Ok(history)
    }

    fn add(&mut self, event: Event) {
        match event {
            Event::Begun { hash, direct, .. } => {
                self.hash = Some(hash);
                self.direct = Some(direct);
            }
            Event::Sending { keys } => {
                self.states
                    .extend(keys.into_iter().map(|key| (key, State::Doubtful)));
            }
            Event::Sent { key, message_id } => {
                self.lingering.insert(key.clone());
                self.states.insert(key, State::Sent { message_id });
            }
            Event::NotSent { key, .. } => {
                self.states.remove(&key);
            }
            Event::LeftParking { key, error } => {
                if error.is_none() {
                    self.lingering.remove(&key);
                }
            }
            Event::Doubtful { key, .. } => {
                self.states.insert(key, State::Doubtful);
            }
            Event::Outcome {
                key,
                outcome,
                failure_code,
            } => {
                let settled = State::Settled {
                    outcome,
                    failure_code,
                };
                self.states.insert(key, settled);
            }
            Event::Wave { .. } | Event::Ended { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: Event) -> String {
        let entry = Entry::of(Timestamp::from_millis(1_785_000_000_000), event);
        serde_json::to_string(&entry).unwrap_or_default() + "\n"
    }

    fn audit() -> String {
        let keys = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let key = str::to_owned;
        [
            Event::Begun {
                plan: key("plan-1"),
                hash: key("h"),
                by: key("marta"),
                to: key("the queue"),
                direct: false,
                resumed: false,
            },
            Event::Wave { size: 4 },
            Event::Sending { keys },
            Event::Sent {
                key: key("a"),
                message_id: key("m-1"),
            },
            Event::Sent {
                key: key("b"),
                message_id: key("m-2"),
            },
            Event::NotSent {
                key: key("c"),
                reason: key("too long"),
            },
            Event::LeftParking {
                key: key("a"),
                error: None,
            },
            Event::LeftParking {
                key: key("b"),
                error: Some("no answer".to_owned()),
            },
            Event::Outcome {
                key: key("a"),
                outcome: key("delivered"),
                failure_code: None,
            },
        ]
        .into_iter()
        .map(line)
        .collect()
    }

    #[test]
    fn an_audit_says_where_it_stood() {
        let history = History::read(&audit());
        let states = [
            (
                "a",
                State::Settled {
                    outcome: "delivered".to_owned(),
                    failure_code: None,
                },
            ),
            (
                "b",
                State::Sent {
                    message_id: "m-2".to_owned(),
                },
            ),
            ("d", State::Doubtful),
        ];
        let expected = History {
            hash: Some("h".to_owned()),
            direct: Some(false),
            states: states.map(|(key, state)| (key.to_owned(), state)).into(),
            lingering: ["b".to_owned()].into(),
        };
        assert_eq!(history, Ok(expected));
        assert_eq!(History::read(""), Ok(History::default()));
    }

    #[test]
    fn only_the_last_line_may_be_torn() {
        let audit = audit();
        let torn = format!("{audit}{{\"at\":\"2026");
        assert_eq!(History::read(&torn), History::read(&audit));
        assert_eq!(History::read(&format!("{torn}\n")), Err(Torn { line: 10 }));
        assert_eq!(
            History::read(&format!("{{\n{audit}")),
            Err(Torn { line: 1 })
        );
    }
}
