//! The guided first deployment: finds the dead-letter queue, derives the settings, and starts the draining.
//!
//! Each step reads the present state, so an interrupted setup continues where it ended, and a finished one changes
//! nothing. The answers of earlier runs are in `samconfig.toml`.

mod attributes;
mod configuration;
mod deployed;
mod first_message;
mod genesys_client;
mod iac_files;
pub mod parameters;
mod queue_choice;
mod queue_steps;
mod samconfig;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Clock;
use genesys_replay_genesys::{BuildError, GenesysClient, GenesysSettings};

use self::parameters::Parameters;
use self::queue_choice::{QueueChoice, TargetOfRule};
use self::samconfig::{Deployment, Samconfig};
use crate::deployment::credentials_secret::SecretStore;
use crate::deployment::event_rules::EventRulesReader;
use crate::deployment::source_mapping::MappingClient;
use crate::deployment::stack::{StackFacts, StackReader};
use crate::operator::remedy::remedy;
use crate::operator::trace::TracedEvent;
use crate::queue::attributes::QueueAttributes;

pub use iac_files::ParameterFile;
pub use queue_choice::QueueCandidate;
pub use step::{SetupStep, StepChange, StepName, StepState};

/// The file with the answers of the setup, which `sam deploy` reads.
pub const SAMCONFIG: &str = "samconfig.toml";

/// The name of the stack if no other is given.
const DEFAULT_STACK: &str = "genesys-replay";

/// The AWS clients of the setup.
pub struct SetupTools {
    pub(crate) rules: EventRulesReader,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) attributes: QueueAttributes,
    pub(crate) keys: aws_sdk_kms::Client,
    pub(crate) secrets: SecretStore,
    pub(crate) stacks: StackReader,
    pub(crate) lambda: aws_sdk_lambda::Client,
    /// With the time limit of an invocation.
    pub(crate) invocations: aws_sdk_lambda::Client,
    pub(crate) mappings: MappingClient,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) genesys: GenesysBuilder,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Makes a client of Genesys Cloud.
pub type GenesysBuilder =
    Box<dyn Fn(GenesysSettings) -> Result<GenesysClient, BuildError> + Send + Sync>;

/// The queue that the operator names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueueWish {
    /// The dead-letter queue of the rules.
    #[default]
    OfTheRules,
    /// A queue by URL, ARN or name.
    Named(String),
    /// A new queue of the stack.
    Created,
}

/// The arguments of the setup.
#[derive(Clone, Default)]
pub struct SetupWishes {
    /// The name of the stack; `None` for that of `samconfig.toml`.
    pub stack: Option<String>,
    /// The event bus whose rules are read; `None` for all buses.
    pub bus: Option<String>,
    pub queue: QueueWish,
    /// The given parameters of the template, without secrets.
    pub parameters: Parameters,
    /// The text of a file with the OAuth client: `{"client_id":"…","client_secret":"…"}`.
    pub credentials: Option<String>,
    /// The secret with the OAuth client, by name or ARN.
    pub secret: Option<String>,
    /// The files for other tools than the SAM CLI.
    pub files: Vec<ParameterFile>,
    pub region: String,
    pub profile: Option<String>,
    /// The name of the operator, for the note of the event source mapping.
    pub by: String,
}

/// The operator.
pub trait Person {
    /// Shows a step. A step with changes is shown before the changes are made.
    fn show(&mut self, step: &SetupStep);

    /// Returns true if the changes of a step, which was just shown, are approved.
    fn approves(&mut self, step: &SetupStep) -> bool;

    /// Chooses one of several queues by its index; `None` if no person can choose.
    fn choose(&mut self, queues: &[QueueCandidate]) -> Option<usize>;
}

/// The folder with `samconfig.toml`.
pub trait Folder {
    /// Returns the text of a file; `None` if the file does not exist.
    ///
    /// # Errors
    /// The reason for people.
    fn read(&self, name: &str) -> Result<Option<String>, String>;

    /// Writes a file completely, or leaves an existing file unchanged.
    ///
    /// # Errors
    /// The reason for people.
    fn write(&mut self, name: &str, text: &str) -> Result<(), String>;
}

/// The result of a setup.
#[derive(Clone, Debug, Default)]
pub struct SetupReport {
    /// All steps in their order.
    pub steps: Vec<SetupStep>,
    /// The history of the event of the first message.
    pub trace: Vec<TracedEvent>,
}

/// Makes the steps in their order. Ends at a step that needs a person or another program.
pub async fn run(
    tools: &SetupTools,
    wishes: &SetupWishes,
    person: &mut dyn Person,
    folder: &mut dyn Folder,
) -> SetupReport {
    let mut run = SetupRun {
        tools,
        wishes,
        person,
        folder,
        config: Samconfig::default(),
        deployment: Deployment::default(),
        targets: Vec::new(),
        queue: QueueChoice::Created,
        queue_url: None,
        attributes: BTreeMap::new(),
        credentials: None,
        stack: StackFacts::default(),
        report: SetupReport::default(),
    };
    if run.all().await.is_err() {
        run.wait_for_the_rest();
    }
    run.report
}

/// The end of the setup at a step that is left to a person.
struct Stopped;

/// A running setup: the answers so far.
struct SetupRun<'a> {
    tools: &'a SetupTools,
    wishes: &'a SetupWishes,
    person: &'a mut dyn Person,
    folder: &'a mut dyn Folder,
    config: Samconfig,
    /// The deployment with the answers so far.
    deployment: Deployment,
    targets: Vec<TargetOfRule>,
    queue: QueueChoice,
    /// The URL of the queue; `None` until it exists.
    queue_url: Option<String>,
    /// The attributes of an existing queue.
    attributes: attributes::Attributes,
    /// The text of the OAuth client's credentials, which Genesys Cloud accepted.
    credentials: Option<genesys_client::ClientText>,
    stack: StackFacts,
    report: SetupReport,
}

impl SetupRun<'_> {
    async fn all(&mut self) -> Result<(), Stopped> {
        self.read_configuration()?;
        self.choose_queue().await?;
        self.check_readers().await?;
        self.derive_targets().await?;
        self.test_genesys().await?;
        self.store_secret().await?;
        self.set_queue_attributes().await?;
        self.write_configuration(StepName::Configuration)?;
        self.read_stack().await?;
        self.attach_parking_queue().await?;
        self.replay_first_message().await?;
        self.start_draining().await
    }

    /// Returns a parameter that is not empty.
    fn parameter(&self, name: &str) -> Option<&str> {
        self.deployment.parameters.get(name).map(String::as_str).filter(|it| !it.is_empty())
    }

    fn set_parameter(&mut self, name: &str, value: impl Into<String>) {
        self.deployment.parameters.insert(name.to_owned(), value.into());
    }

    /// Shows and keeps a step. Stops at a step that is left to a person.
    fn settle(&mut self, step: SetupStep) -> Result<(), Stopped> {
        self.person.show(&step);
        self.keep(step)
    }

    fn keep(&mut self, step: SetupStep) -> Result<(), Stopped> {
        let state = step.state;
        self.report.steps.push(step);
        match state {
            StepState::Waiting | StepState::Problem => Err(Stopped),
            StepState::Done | StepState::Planned | StepState::Applied => Ok(()),
        }
    }

    /// Stops at a failed call of AWS.
    fn fail<T>(&mut self, name: StepName, error: &AwsError) -> Result<T, Stopped> {
        let step = SetupStep::problem(name, error.to_string(), remedy(error.kind));
        self.settle(step).and(Err(Stopped))
    }

    /// Stops at a step that cannot be made.
    fn refuse<T>(
        &mut self,
        name: StepName,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Result<T, Stopped> {
        self.settle(SetupStep::problem(name, found, hint)).and(Err(Stopped))
    }

    /// Returns true if an earlier step has changes that were not made.
    fn has_open_changes(&self) -> bool {
        self.report.steps.iter().any(|step| step.state.is_open())
    }

    /// Shows a step, and returns true if its changes are approved. The step must be kept afterwards.
    fn is_approved(&mut self, step: &SetupStep) -> bool {
        self.person.show(step);
        step.state == StepState::Planned && self.person.approves(step)
    }

    /// Keeps a step whose changes were made or refused by AWS, and shows the result.
    fn applied(
        &mut self,
        step: SetupStep,
        made: Result<(), String>,
        hint: &str,
    ) -> Result<(), Stopped> {
        let step = match made {
            Ok(()) => SetupStep { state: StepState::Applied, ..step },
            Err(reason) => SetupStep {
                state: StepState::Problem,
                found: reason,
                hint: Some(hint.to_owned()),
                ..step
            },
        };
        let result = SetupStep { changes: Vec::new(), notes: Vec::new(), ..step.clone() };
        self.person.show(&result);
        self.keep(step)
    }

    fn applied_by_aws(
        &mut self,
        step: SetupStep,
        made: Result<(), AwsError>,
    ) -> Result<(), Stopped> {
        match made {
            Ok(()) => self.applied(step, Ok(()), ""),
            Err(error) => self.applied(step, Err(error.to_string()), remedy(error.kind)),
        }
    }

    /// Adds the steps after the last one as waiting.
    fn wait_for_the_rest(&mut self) {
        let Some(last) = self.report.steps.last().map(|step| step.name) else {
            return;
        };
        for name in StepName::ALL.into_iter().filter(|name| *name > last) {
            let step = SetupStep::waiting(name, format!("after: {}", last.as_str()), "");
            let step = SetupStep { hint: None, ..step };
            self.person.show(&step);
            self.report.steps.push(step);
        }
    }
}
