//! The steps of a first deployment, as they are shown.

use serde::Serialize;

/// The state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Nothing is left to do.
    Done,
    /// The step has changes, which were not made.
    Planned,
    /// The changes were made by this run.
    Applied,
    /// The step needs an earlier step, or a command of another program.
    Waiting,
    /// The step cannot be made before a person repairs something.
    Problem,
}

impl StepState {
    /// Returns the state for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Planned => "planned",
            Self::Applied => "applied",
            Self::Waiting => "waiting",
            Self::Problem => "problem",
        }
    }

    /// Returns true if something is left to do.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Planned | Self::Waiting | Self::Problem => true,
            Self::Done | Self::Applied => false,
        }
    }
}

/// The steps in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    Queue,
    Readers,
    Targets,
    Genesys,
    Secret,
    QueueAttributes,
    Configuration,
    Stack,
    ParkingQueue,
    FirstMessage,
    Draining,
}

impl StepName {
    /// The steps in their order.
    pub const ALL: [Self; 11] = [
        Self::Queue,
        Self::Readers,
        Self::Targets,
        Self::Genesys,
        Self::Secret,
        Self::QueueAttributes,
        Self::Configuration,
        Self::Stack,
        Self::ParkingQueue,
        Self::FirstMessage,
        Self::Draining,
    ];

    /// Returns the name for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "dead-letter queue",
            Self::Readers => "other readers",
            Self::Targets => "targets",
            Self::Genesys => "Genesys Cloud",
            Self::Secret => "secret",
            Self::QueueAttributes => "queue attributes",
            Self::Configuration => "configuration",
            Self::Stack => "stack",
            Self::ParkingQueue => "parking queue",
            Self::FirstMessage => "first message",
            Self::Draining => "draining",
        }
    }
}

/// A change of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepChange {
    /// The changed thing, such as the name of an attribute or of a file.
    pub what: String,
    /// `None` if it is new.
    pub before: Option<String>,
    pub after: String,
}

impl StepChange {
    pub fn new(what: impl Into<String>, before: Option<String>, after: impl Into<String>) -> Self {
        Self { what: what.into(), before, after: after.into() }
    }
}

/// A step of the setup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetupStep {
    pub name: StepName,
    pub state: StepState,
    /// The present state of the deployment, in one sentence.
    pub found: String,
    pub changes: Vec<StepChange>,
    /// Risks for a person to weigh, each in one sentence. They do not stop the setup.
    pub notes: Vec<String>,
    /// The next action of a person.
    pub hint: Option<String>,
}

impl SetupStep {
    fn new(name: StepName, state: StepState, found: impl Into<String>) -> Self {
        let found = found.into();
        Self { name, state, found, changes: Vec::new(), notes: Vec::new(), hint: None }
    }

    pub fn done(name: StepName, found: impl Into<String>) -> Self {
        Self::new(name, StepState::Done, found)
    }

    /// Returns a step with changes; a finished step without changes.
    pub fn planned(name: StepName, found: impl Into<String>, changes: Vec<StepChange>) -> Self {
        let state = if changes.is_empty() { StepState::Done } else { StepState::Planned };
        Self { changes, ..Self::new(name, state, found) }
    }

    pub fn waiting(name: StepName, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(name, StepState::Waiting, found) }
    }

    pub fn problem(name: StepName, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(name, StepState::Problem, found) }
    }

    #[must_use]
    pub fn with_notes(self, notes: Vec<String>) -> Self {
        Self { notes, ..self }
    }
}
