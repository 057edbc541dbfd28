//! A plan: the dead letters that are sent again, the reason, and the expected result of each. Frozen when it is made.

mod builder;
mod closing;
mod edit;
mod elsewhere;
mod selection;
mod sources;

use std::collections::BTreeMap;

use genesys_replay::destination::Destination;
use genesys_replay::digest;
use genesys_replay::ledger::{EventKey, Status};
use genesys_replay_version::PROGRAM;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::ledger::Record;
pub(crate) use builder::object_name;
pub use builder::{PlanBuilder, PlanContext};
pub use edit::{Change, EditError, Editing, Edits, Unfit};
pub use selection::Selection;

pub const PLAN_FORMAT: &str = "genesys-replay plan 1";

/// The maximum number of examples that a plan keeps for each reason to leave dead letters out.
const MAX_EXAMPLES: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub format: String,
    /// The plan's id, as in the message attribute `ReplayPlan` and in the audit.
    pub id: String,
    /// SHA-256 of `content` as JSON without spaces, in hexadecimal digits.
    pub hash: String,
    /// The id of the plan that an edit made from this one. A superseded plan is not applied any more.
    pub superseded_by: Option<String>,
    pub content: PlanContent,
}

/// The part of a plan that its hash covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanContent {
    /// The time at which the plan was made, in RFC 3339.
    pub created_at: String,
    pub created_by: String,
    /// Name, version and commit of the program that made the plan; `None` in plans of version 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
    pub reason: String,
    /// The effect of the plan; plans of version 0.2.0 replay.
    #[serde(default, skip_serializing_if = "PlanKind::is_replay")]
    pub kind: PlanKind,
    /// The id of the plan from which this plan was edited.
    pub edit_of: Option<String>,
    pub source: PlanSource,
    pub queue_arn: String,
    pub selection: Selection,
    /// The dead letters that are sent again, in this order.
    pub items: Vec<PlanItem>,
    /// The selected dead letters that are not sent again.
    pub left_out: Vec<Excluded>,
}

/// The effect of a plan on its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Sends the events again.
    #[default]
    Replay,
    /// Closes the events for good.
    Discard,
    /// Returns discarded events to the archive.
    Restore,
}

impl PlanKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::Restore => "restore",
        }
    }

    /// Returns the effect of a plan that sends nothing.
    pub const fn closing(self) -> Option<ClosingKind> {
        match self {
            Self::Replay => None,
            Self::Discard => Some(ClosingKind::Discard),
            Self::Restore => Some(ClosingKind::Restore),
        }
    }

    /// Takes a reference, because `serde` calls it.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "required by serde")]
    const fn is_replay(&self) -> bool {
        matches!(self, Self::Replay)
    }
}

/// The effect of a plan that sends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosingKind {
    Discard,
    Restore,
}

impl From<ClosingKind> for PlanKind {
    fn from(kind: ClosingKind) -> Self {
        match kind {
            ClosingKind::Discard => Self::Discard,
            ClosingKind::Restore => Self::Restore,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PlanSource {
    Archive {
        bucket: String,
        prefix: String,
    },
    /// The queue that the function drains. A dead letter is deleted once its copy is stored.
    Queue {
        queue_arn: String,
    },
    /// The parking queue, which the dead letters leave once they are sent.
    Parking {
        queue_arn: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanItem {
    /// The event's key in the ledger: `<event id>|<delivery target>`.
    pub key: String,
    pub event_type: String,
    pub interaction_id: Option<String>,
    /// The target for people: a URL without secret parts.
    pub target: String,
    /// The target that the dead letter names, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_target: Option<String>,
    pub category: String,
    pub failure_code: Option<String>,
    pub place: Location,
    /// SHA-256 of the message's body, in hexadecimal digits.
    pub body_sha256: String,
    /// The ledger item's state when the plan was made; `None` if the ledger had no item.
    pub ledger: Option<LedgerSnapshot>,
    pub predicted: Predicted,
    pub edit: Option<Edit>,
    /// The old target, if this plan redirects the event to another one; `None` in plans without a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirected_from: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Location {
    Object {
        key: String,
        /// The object's `ETag`, which changes with the content.
        etag: String,
    },
    Message {
        message_id: String,
    },
}

/// The state of a ledger item, as far as a plan depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerSnapshot {
    /// The status; `UNKNOWN` if this version does not support the item's status.
    pub status: String,
    pub attempts: u32,
    /// The id of the message that carried the event last.
    pub message_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predicted {
    pub attempt: u32,
    /// True if the interaction is marked, provided that the function marks interactions.
    pub marks_interaction: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    pub patch: Value,
    /// SHA-256 of the changed body, in hexadecimal digits.
    pub body_sha256: String,
}

/// The selected dead letters that are not sent again for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excluded {
    pub reason: String,
    pub count: u64,
    /// Examples: event ids, object keys or message ids.
    pub examples: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    #[error("not a plan of this version (line {line}, column {column})")]
    Unreadable { line: usize, column: usize },
    #[error("{PROGRAM} cannot read a plan of {0}; install that version")]
    NewerVersion(String),
    #[error("the format is '{0}', but this version reads '{PLAN_FORMAT}'")]
    Format(String),
    #[error("the content does not match the hash, so the plan was changed after it was made")]
    Changed,
    #[error("the target of {0} is not the target in its key")]
    OtherTarget(String),
}

impl Plan {
    pub fn of(content: PlanContent) -> Self {
        let hash = hash(&content);
        Self {
            format: PLAN_FORMAT.to_owned(),
            id: id(&content, &hash),
            hash,
            superseded_by: None,
            content,
        }
    }

    /// # Errors
    /// [`PlanFault`] if the file cannot be used.
    pub fn read(file: &[u8]) -> Result<Self, PlanFault> {
        let unreadable = |error: serde_json::Error| PlanFault::Unreadable {
            line: error.line(),
            column: error.column(),
        };
        // Check the version first, because another version has other members.
        let value: Format = serde_json::from_slice(file).map_err(unreadable)?;
        if value.format != PLAN_FORMAT {
            return Err(PlanFault::Format(value.format.chars().take(60).collect()));
        }
        let plan: Self =
            serde_json::from_slice(file).map_err(|error| match newer_writer(file) {
                Some(writer) => PlanFault::NewerVersion(writer.chars().take(60).collect()),
                None => unreadable(error),
            })?;
        if hash(&plan.content) != plan.hash || id(&plan.content, &plan.hash) != plan.id {
            return Err(PlanFault::Changed);
        }
        let other = plan.content.items.iter().find(|item| !item.shows_its_target());
        match other {
            Some(item) => Err(PlanFault::OtherTarget(item.key.clone())),
            None => Ok(plan),
        }
    }

    /// Returns the content of the plan's file, in a form that people can read too.
    ///
    /// # Errors
    /// [`serde_json::Error`], which a plan cannot cause: all its members can be written.
    pub fn write(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

/// The version of a plan file.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// Returns the program that wrote this plan, if its version is newer than this one.
fn newer_writer(file: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Written {
        content: Writer,
    }
    #[derive(Deserialize)]
    struct Writer {
        written_by: String,
    }
    let plan: Written = serde_json::from_slice(file).ok()?;
    let writer = plan.content.written_by;
    (version_in(&writer)? > version_in(PROGRAM)?).then_some(writer)
}

/// Returns the numbers of the version in `genesys-replay 0.2.0 (8eeb57644a11)`. Versions before a release count as the
/// release.
fn version_in(program: &str) -> Option<Vec<u32>> {
    let version = program.split(' ').nth(1)?.split('-').next()?;
    version.split('.').map(|number| number.parse().ok()).collect()
}

fn hash(content: &PlanContent) -> String {
    // A struct of texts and numbers can always be written. If not, the empty text matches no plan's hash.
    serde_json::to_string(content).map_or_else(|_| String::new(), |text| digest::hexadecimal(&text))
}

/// Returns the id of a plan: its time and the begin of its hash.
fn id(content: &PlanContent, hash: &str) -> String {
    let digits = content.created_at.chars().filter(char::is_ascii_digit);
    let day: String = digits.take(14).collect();
    let short: String = hash.chars().take(8).collect();
    format!("plan-{day}-{short}")
}

/// Returns the target in a key for people, without the parts of a URL that may be secret.
pub(crate) fn shown_target(target_key: &str) -> String {
    match Url::parse(target_key) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Destination::Http(url).to_string(),
        Ok(_) | Err(_) => target_key.to_owned(),
    }
}

impl PlanItem {
    /// Returns the event's id: the key without the target.
    pub fn event_id(&self) -> &str {
        self.key.split('|').next().unwrap_or_default()
    }

    /// Returns the target that the dead letter names.
    pub fn original_target(&self) -> &str {
        self.original_target.as_deref().unwrap_or(&self.target)
    }

    /// Returns the key for people, without the parts of a URL that may be secret.
    pub fn shown(&self) -> String {
        format!("{}|{}", self.event_id(), self.target)
    }

    /// Returns true if the target for people is that of the key.
    fn shows_its_target(&self) -> bool {
        self.target == shown_target(self.target_key())
    }

    /// Returns the event's key at the old target, if this plan redirects the event.
    pub fn old_key(&self) -> Option<String> {
        let from = Destination::of_arn(self.redirected_from.as_ref()?);
        Some(EventKey::stored(&self.key).at(&from).to_string())
    }

    /// Returns the target in the key: the key without the event's id.
    pub fn target_key(&self) -> &str {
        self.key.split_once('|').map_or("", |(_, target)| target)
    }
}

impl LedgerSnapshot {
    pub fn of(record: &Record) -> Self {
        Self {
            status: record.status.map_or("UNKNOWN", Status::as_str).to_owned(),
            attempts: record.attempts,
            message_id: record.message_id.clone(),
        }
    }
}

/// The dead letters that are left out, by reason.
#[derive(Debug, Default)]
struct Exclusions(BTreeMap<String, Excluded>);

impl Exclusions {
    fn add(&mut self, reason: impl Into<String>, example: &str) {
        let reason = reason.into();
        let entry = self.0.entry(reason.clone()).or_insert(Excluded {
            reason,
            count: 0,
            examples: Vec::new(),
        });
        entry.count += 1;
        if entry.examples.len() < MAX_EXAMPLES {
            entry.examples.push(example.to_owned());
        }
    }
}
