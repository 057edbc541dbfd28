//! A function with the settings of the harness, and its event source mapping, on the local AWS.

use std::error::Error;

use aws_sdk_lambda::types::Environment;
use genesys_replay::destination::Arn;

use crate::support::harness::OperatorHarness;
use crate::support::program::Ran;

/// A deployed function beside the harness. Its event source mapping never has to deliver anything.
pub(super) struct DrainedQueue {
    pub(super) desk: OperatorHarness,
    /// The function's name.
    pub(super) function: String,
    /// The id of the event source mapping.
    pub(super) mapping: String,
}

impl DrainedQueue {
    /// Deploys a function for the harness's queue, with a mapping that is enabled or not.
    pub(super) async fn of(
        desk: OperatorHarness,
        is_enabled: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let arn = desk.world.aws.create_function("http://127.0.0.1:1").await?;
        let name = Arn::parse(&arn).ok_or("no ARN")?.resource().replace("function:", "");
        let mut drained = Self { function: name, mapping: String::new(), desk };
        let variables = drained.desk.world.settings().clone().into_iter().collect();
        drained
            .lambda()
            .update_function_configuration()
            .function_name(&drained.function)
            .environment(Environment::builder().set_variables(Some(variables)).build())
            .send()
            .await?;
        drained.mapping = drained.map(&drained.desk.queue, is_enabled).await?;
        Ok(drained)
    }

    /// Adds an event source mapping of a queue and returns its id.
    pub(super) async fn map(
        &self,
        queue: &str,
        is_enabled: bool,
    ) -> Result<String, Box<dyn Error>> {
        let create = self.lambda().create_event_source_mapping().function_name(&self.function);
        let created = create.event_source_arn(queue).enabled(is_enabled).send().await?;
        Ok(created.uuid.ok_or("no id")?)
    }

    pub(super) fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.desk.world.aws.config())
    }

    /// Returns the state of the event source mapping.
    pub(super) async fn state(&self) -> Result<String, Box<dyn Error>> {
        let get = self.lambda().get_event_source_mapping().uuid(&self.mapping);
        Ok(get.send().await?.state.ok_or("no state")?)
    }

    /// Runs the program with the function, and with these variables.
    pub(super) async fn run_with(
        &self,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Result<Ran, Box<dyn Error>> {
        let mut program = self.desk.program(arguments);
        program
            .env_remove("REPLAY_QUEUE_URL")
            .env("GENESYS_REPLAY_FUNCTION", &self.function)
            .envs(variables.iter().copied());
        Ran::of(program.output().await?)
    }

    pub(super) async fn run(&self, arguments: &[&str]) -> Result<Ran, Box<dyn Error>> {
        self.run_with(&[], arguments).await
    }
}
