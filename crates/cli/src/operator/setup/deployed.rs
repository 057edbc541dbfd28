//! The steps after the deployment: the stack, the parking queue and the draining.

use std::time::Duration;

use super::attributes::{changes, missing_of_output};
use super::queue_choice::QueueChoice;
use super::step::{SetupStep, StepChange, StepName};
use super::{SetupRun, Stopped};
use crate::deployment::functions::{DeployedFunction, read};
use crate::deployment::source_mapping::{MappingState, SourceMapping, choose};
use crate::operator::pause::{ChangeNote, DrainChange, change};

/// The maximum time to wait for the state of the event source mapping.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The parameter that enables the event source mapping.
const REPLAY_ENABLED: &str = "ReplayEnabled";

/// The output of the template with the attributes of an existing queue.
const ATTRIBUTES_OUTPUT: &str = "DeadLetterQueueAttributes";

const DEPLOY: &str = "deploy the stack: sam deploy in the folder of the release, or make deploy in a checkout; then run setup again";

impl SetupRun<'_> {
    /// Reads the stack. Waits for the deployment if it does not exist, or has other parameters.
    pub(super) async fn read_stack(&mut self) -> Result<(), Stopped> {
        let name = StepName::Stack;
        let wanted = &self.deployment.stack;
        let stack = match self.tools.stacks.read(wanted).await {
            Ok(stack) => stack,
            Err(error) => return self.fail(name, &error),
        };
        let Some(stack) = stack else {
            let found = format!("{wanted} does not exist");
            return self.settle(SetupStep::waiting(name, found, DEPLOY));
        };
        if stack.status.ends_with("_IN_PROGRESS") {
            let found = format!("{} is {}", stack.name, stack.status);
            return self.settle(SetupStep::waiting(
                name,
                found,
                "wait for its end, then run setup again",
            ));
        }
        if !stack.is_complete() {
            let found = format!("{} is {}", stack.name, stack.status);
            let hint = "read the stack's events in CloudFormation, repair the cause, delete or update the stack, and run setup again";
            return self.refuse(name, found, hint);
        }
        let differing = self.deployment.parameters.iter().filter(|(name, value)| {
            // The stack shows asterisks for secrets, and the draining is the last step.
            let deployed = stack.parameters.get(*name);
            *name != REPLAY_ENABLED && deployed.is_some_and(|deployed| deployed != *value)
        });
        let differing: Vec<&str> = differing.map(|(name, _)| name.as_str()).collect();
        if !differing.is_empty() {
            let found = format!(
                "{} was deployed with other values of {}",
                stack.name,
                differing.join(", ")
            );
            return self.settle(SetupStep::waiting(name, found, DEPLOY));
        }
        let mut notes = Vec::new();
        if self.queue == QueueChoice::Created {
            self.queue_url = stack.output("DeadLetterQueueUrl").map(str::to_owned);
            notes.push(
                "set the queue as the dead-letter queue of your rules: genesys-replay doctor rules prints the commands"
                    .to_owned(),
            );
        }
        let found = format!("{} is {}", stack.name, stack.status);
        self.stack = stack;
        self.settle(SetupStep::done(name, found).with_notes(notes))
    }

    /// Sets the redrive policy of an existing queue, because the stack cannot change the queue.
    pub(super) async fn attach_parking_queue(&mut self) -> Result<(), Stopped> {
        let name = StepName::ParkingQueue;
        let (Some(output), Some(url)) =
            (self.stack.output(ATTRIBUTES_OUTPUT).map(str::to_owned), self.queue_url.clone())
        else {
            return self
                .settle(SetupStep::done(name, "the stack sets the redrive policy of its queue"));
        };
        let missing = match missing_of_output(&self.attributes, &output) {
            Ok(missing) => missing,
            Err(error) => {
                let found =
                    format!("the output {ATTRIBUTES_OUTPUT} is not as in this version: {error}");
                return self.refuse(name, found, DEPLOY);
            }
        };
        let changes = changes(&self.attributes, &missing);
        let found = if changes.is_empty() {
            "the queue has the redrive policy to the parking queue"
        } else {
            "the redrive policy to the parking queue"
        };
        let step = SetupStep::planned(name, found, changes);
        if !self.is_approved(&step) {
            return self.keep(step);
        }
        let made = self.tools.attributes.set(&url, &missing).await;
        self.applied_by_aws(step, made)
    }

    /// Returns the deployed function and the event source mapping of its queue.
    pub(super) async fn function(
        &mut self,
        name: StepName,
    ) -> Result<(DeployedFunction, SourceMapping), Stopped> {
        let Some(function) = self.stack.output("ReplayFunctionName").map(str::to_owned) else {
            let found =
                "the stack has no output ReplayFunctionName: it is not a stack of this template";
            return self.refuse(name, found, "name another stack: --stack");
        };
        let function = match read(&self.tools.lambda, &function).await {
            Ok(function) => function,
            Err(error) => return self.fail(name, &error),
        };
        let queue = self.stack.output("DeadLetterQueueArn");
        match choose(&function.mappings, queue).cloned() {
            Ok(mapping) => Ok((function, mapping)),
            Err(error) => {
                let found = format!("the function {} {error}", function.name);
                self.refuse(name, found, DEPLOY)
            }
        }
    }

    /// Enables the event source mapping, and keeps it enabled at the next deployment.
    pub(super) async fn start_draining(&mut self) -> Result<(), Stopped> {
        let name = StepName::Draining;
        let (function, mapping) = self.function(name).await?;
        self.set_parameter(REPLAY_ENABLED, "true");
        let is_on = DrainChange::Resume.is_made(mapping.state);
        let mut changes = Vec::new();
        if !is_on {
            let what = format!("the event source mapping {}", mapping.uuid);
            changes.push(StepChange::new(
                what,
                Some(mapping.state.as_str().to_owned()),
                MappingState::Enabled.as_str(),
            ));
        }
        let (in_files, texts) = match self.file_changes() {
            Ok(changes) => changes,
            Err((file, error)) => {
                return self.refuse(
                    name,
                    format!("{file}: {error}"),
                    "repair the file, then run setup again",
                );
            }
        };
        changes.extend(in_files);
        let found = format!(
            "{} {} {}",
            function.name,
            if is_on { "drains" } else { "does not drain" },
            mapping.queue_name()
        );
        let step = SetupStep::planned(name, found, changes);
        if self.has_open_changes() {
            // Not before the changes of the earlier steps.
            return self.settle(step);
        }
        if !self.is_approved(&step) {
            return self.keep(step);
        }
        // First the file, so that the next deployment does not disable the mapping again.
        if let Err(error) = self.write_files(&texts) {
            return self.applied(step, Err(error), "check the folder: --folder");
        }
        if is_on {
            return self.applied(step, Ok(()), "");
        }
        let now = self.tools.clock.now();
        let note = ChangeNote::new(DrainChange::Resume, "setup", &self.wishes.by, now);
        let made = change(&self.tools.mappings, &mapping, &note, MAX_WAIT).await;
        let step = SetupStep {
            found: format!("{} drains {}", function.name, mapping.queue_name()),
            ..step
        };
        let step = match &made {
            Ok(made) if made.state != MappingState::Enabled => step.with_notes(vec![format!(
                "the event source mapping is {} after {} s: genesys-replay status shows it",
                made.state.as_str(),
                MAX_WAIT.as_secs()
            )]),
            Ok(_) | Err(_) => step,
        };
        self.applied_by_aws(step, made.map(drop))
    }
}
