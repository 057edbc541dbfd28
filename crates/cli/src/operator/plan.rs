//! A plan: which dead letters are sent again, why, and what is expected of each. Frozen when it is made.

mod edit;
mod making;
mod offering;
mod selection;

use std::collections::BTreeMap;

use genesys_replay::digest;
use genesys_replay::ledger::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::Record;
pub use edit::{Change, EditError, Editing, Edits};
pub use making::{About, Candidate, Making};
pub use selection::{Facts, Selection};

/// What a plan file says of itself.
pub const FORMAT: &str = "genesys-replay plan 1";

/// How many examples a plan keeps of what it leaves out for one reason.
const MAX_EXAMPLES: usize = 10;

/// A plan as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: String,
    /// What it is called: in the message attribute `ReplayPlan`, and in the audit file.
    pub id: String,
    /// SHA-256 of `content` as JSON without spaces, in hexadecimal digits.
    pub hash: String,
    /// The plan that was made of it by an edit; it is no longer applied then.
    pub superseded_by: Option<String>,
    /// What does not change.
    pub content: Content,
}

/// What a plan's hash holds together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// When it was made, in RFC 3339.
    pub created_at: String,
    /// Who made it.
    pub created_by: String,
    /// Why, in the words of who made it.
    pub reason: String,
    /// The plan that it is an edit of.
    pub edit_of: Option<String>,
    /// Where the dead letters are.
    pub source: Source,
    /// The queue that the function drains.
    pub queue_arn: String,
    /// What was selected, as the arguments said.
    pub selection: Selection,
    /// What is sent again, in this order.
    pub items: Vec<Item>,
    /// What was selected and is not sent again.
    pub left_out: Vec<LeftOut>,
}

/// Where the dead letters of a plan are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// In the archive.
    Archive {
        /// The bucket.
        bucket: String,
        /// What the keys begin with.
        prefix: String,
    },
    /// In the parking queue, which they leave once they are sent.
    Parking {
        /// The queue's ARN.
        queue_arn: String,
    },
}

/// A dead letter of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What the ledger knows the event by: `<event id>|<delivery target>`.
    pub key: String,
    /// The event's type.
    pub event_type: String,
    /// Its interaction.
    pub interaction_id: Option<String>,
    /// Where it goes, as people may read it.
    pub target: String,
    /// Why its first delivery failed.
    pub category: String,
    /// Why it was given up.
    pub failure_code: Option<String>,
    /// Where it is.
    pub place: Place,
    /// SHA-256 of the message's body, in hexadecimal digits.
    pub body_sha256: String,
    /// How the ledger had it when the plan was made; `None` when it did not know it.
    pub ledger: Option<Standing>,
    /// What is expected.
    pub predicted: Predicted,
    /// What is changed in its body before it is sent.
    pub edit: Option<Edit>,
}

/// Where a dead letter of a plan is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// An object of the archive.
    Object {
        /// Its key.
        key: String,
        /// What changes whenever its content does.
        etag: String,
    },
    /// A message of the parking queue.
    Message {
        /// Its id.
        message_id: String,
    },
}

/// How an event stands in the ledger, as far as a plan depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Its status.
    pub status: String,
    /// How many attempts were begun.
    pub attempts: u32,
    /// The message that brought it last.
    pub message_id: String,
}

/// What is expected of a dead letter that is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predicted {
    /// The number of the attempt at delivering it.
    pub attempt: u32,
    /// Whether its interaction is marked, if the function marks any.
    pub marks_interaction: bool,
}

/// A change of a message's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The JSON Patch (RFC 6902).
    pub patch: Value,
    /// SHA-256 of the body that comes of it, in hexadecimal digits.
    pub body_sha256: String,
}

/// What was selected and is not sent again, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Why.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// Some of them: event ids, object keys or message ids.
    pub examples: Vec<String>,
}

/// Why a file is no plan that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    /// It is something else.
    #[error("it is no plan of this version (line {line}, column {column})")]
    Unreadable {
        /// Where it ends to be one, from 1.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// It is a plan of another version.
    #[error("it says that it is '{0}', this version reads '{FORMAT}'")]
    Format(String),
    /// It was changed after it was made.
    #[error("its content does not fit its hash: it was changed after it was made")]
    Changed,
}

impl Plan {
    /// Freezes a plan.
    #[must_use]
    pub fn of(content: Content) -> Self {
        let hash = hash(&content);
        let day: String = content
            .created_at
            .chars()
            .filter(char::is_ascii_digit)
            .take(14)
            .collect();
        let short: String = hash.chars().take(8).collect();
        Self {
            format: FORMAT.to_owned(),
            id: format!("plan-{day}-{short}"),
            hash,
            superseded_by: None,
            content,
        }
    }

    /// Reads a plan file.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn read(file: &[u8]) -> Result<Self, PlanFault> {
        let unreadable = |error: serde_json::Error| PlanFault::Unreadable {
            line: error.line(),
            column: error.column(),
        };
        // The version comes first: another one has other members.
        let value: Format = serde_json::from_slice(file).map_err(unreadable)?;
        if value.format != FORMAT {
            return Err(PlanFault::Format(value.format.chars().take(60).collect()));
        }
        let plan: Self = serde_json::from_slice(file).map_err(unreadable)?;
        if hash(&plan.content) != plan.hash {
            return Err(PlanFault::Changed);
        }
        Ok(plan)
    }

    /// The file, for people to read, too.
    ///
    /// # Errors
    /// None that a plan could cause: its members can all be written.
    pub fn write(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

/// The first thing to know of a file.
#[derive(Deserialize)]
struct Format {
    format: String,
}

fn hash(content: &Content) -> String {
    // A struct of texts and numbers can always be written; if not, no hash fits.
    serde_json::to_string(content).map_or_else(|_| String::new(), |text| digest::hexadecimal(&text))
}

impl Item {
    /// The event's id: the key without the target.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.key.split('|').next().unwrap_or_default()
    }

    /// The key for people: of a URL, what follows the path may be secret.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}|{}", self.event_id(), self.target)
    }

    /// Where it goes: the key without the event's id.
    #[must_use]
    pub fn target_key(&self) -> &str {
        self.key.split_once('|').map_or("", |(_, target)| target)
    }
}

impl Standing {
    /// What a plan depends on of a record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self {
            status: record.status.map_or("UNKNOWN", Status::as_str).to_owned(),
            attempts: record.attempts,
            message_id: record.message_id.clone(),
        }
    }
}

/// What is left out, by reason.
#[derive(Clone, Debug, Default)]
struct Rest(BTreeMap<String, LeftOut>);

impl Rest {
    fn add(&mut self, reason: &str, example: &str) {
        let entry = self.0.entry(reason.to_owned()).or_insert_with(|| LeftOut {
            reason: reason.to_owned(),
            count: 0,
            examples: Vec::new(),
        });
        entry.count += 1;
        if entry.examples.len() < MAX_EXAMPLES {
            entry.examples.push(example.to_owned());
        }
    }

    fn into_list(self) -> Vec<LeftOut> {
        self.0.into_values().collect()
    }
}
