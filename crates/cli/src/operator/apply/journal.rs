//! The audit of an apply: who did what and when, and where it stood.

use std::collections::{HashMap, HashSet};
use std::io;

use genesys_replay::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of the audit file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in RFC 3339.
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Event {
    /// The plan is applied from here on: for the first time, or again.
    Begun {
        /// The plan.
        plan: String,
        /// Its hash.
        hash: String,
        /// Who.
        by: String,
        /// Where the dead letters are sent.
        to: String,
        /// Whether they are sent straight to their targets.
        direct: bool,
        /// Whether an earlier run is gone on with.
        resumed: bool,
    },
    /// A wave of so many begins.
    Wave {
        /// How many dead letters.
        size: usize,
    },
    /// These are about to be sent. Without a line on what became of one, it may have been.
    Sending {
        /// Their keys.
        keys: Vec<String>,
    },
    /// It was sent.
    Sent {
        /// Its key.
        key: String,
        /// The message that carries it.
        message_id: String,
    },
    /// It was not sent, and nothing has happened to it.
    NotSent {
        /// Its key.
        key: String,
        /// Why.
        reason: String,
    },
    /// It may have been sent, or was begun and is open; a resume sends it again, which delivers nothing twice.
    Doubtful {
        /// Its key.
        key: String,
        /// Why.
        reason: String,
    },
    /// It left the parking queue, or it did not: the ledger knows it by now either way.
    LeftParking {
        /// Its key.
        key: String,
        /// Why it is still there.
        error: Option<String>,
    },
    /// What became of it.
    Outcome {
        /// Its key.
        key: String,
        /// In one word.
        outcome: String,
        /// The failure code, if it has one.
        failure_code: Option<String>,
    },
    /// It ended: here, and why.
    Ended {
        /// In one sentence.
        reason: String,
    },
}

/// Where the audit is written. `Ok` means that it outlives the process.
pub trait Journal: Send {
    /// Writes one entry.
    ///
    /// # Errors
    /// It is not written for certain: nothing more may be sent.
    fn write(&mut self, entry: &Entry) -> io::Result<()>;
}

impl Entry {
    /// An entry of this moment.
    #[must_use]
    pub fn of(now: Timestamp, event: Event) -> Self {
        Self {
            at: now.to_string(),
            event,
        }
    }
}

/// How far an item of a plan has come, as the audit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It may have been sent.
    Doubtful,
    /// It was sent, and what became of it is not known yet.
    Sent {
        /// The message that carries it.
        message_id: String,
    },
    /// It is settled.
    Settled {
        /// In one word.
        outcome: String,
        /// The failure code, if it has one.
        failure_code: Option<String>,
    },
}

/// What an audit file says of an earlier run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The hash of the plan that was begun, if any was.
    pub hash: Option<String>,
    /// Whether it was begun straight to the targets.
    pub direct: Option<bool>,
    /// How far its items have come, by key; those that are not here were not sent.
    pub states: HashMap<String, State>,
    /// The keys of what was sent, for good, and has not left the parking queue as far as is known.
    pub lingering: HashSet<String>,
}

/// Why an audit file is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the audit file cannot be read")]
pub struct Torn {
    /// Which line, from 1.
    pub line: usize,
}

impl History {
    /// Reads an audit file. Its last line may be torn: the process died while it wrote it.
    ///
    /// # Errors
    /// [`Torn`] for any other line.
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
