//! The parts that all commands share: settings, AWS, the clock and the terminal.

use std::io;
use std::sync::Arc;

use aws_config::SdkConfig;
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay_cli::app;
use genesys_replay_cli::config::{OperatorSettings, Variables};
use genesys_replay_cli::deployment::functions::DeployedFunction;
use genesys_replay_cli::deployment::source_mapping::{SourceMapping, choose};
use genesys_replay_cli::operator::Progress;
use genesys_replay_cli::queue::sqs::SqsReader;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::exit::UserError;
use crate::global_arguments::{GlobalArgs, Output};
use crate::interrupt::Interrupts;
use crate::terminal::{self, Bar};

/// The context of a command. Each part is loaded when it is needed: `explain` needs no AWS.
pub(crate) struct Context {
    common: GlobalArgs,
    aws: OnceCell<SdkConfig>,
    function: OnceCell<Option<DeployedFunction>>,
    identity: OnceCell<Option<String>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) progress: Bar,
    pub(crate) interrupts: Interrupts,
}

impl Context {
    pub(crate) fn new(common: GlobalArgs) -> Self {
        Self {
            common,
            aws: OnceCell::new(),
            function: OnceCell::new(),
            identity: OnceCell::new(),
            clock: Arc::new(SystemClock),
            progress: Bar::default(),
            interrupts: Interrupts::default(),
        }
    }

    pub(crate) fn output(&self) -> Output {
        self.common.output
    }

    /// Writes data to stdout in the requested format.
    pub(crate) fn print(
        &self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        match self.common.output {
            Output::Text => terminal::data(&text()),
            Output::Json => terminal::json(&json().to_string()),
        }
    }

    /// Returns the value of `--function`.
    pub(crate) fn function_name(&self) -> Option<&str> {
        self.common.function.as_deref()
    }

    /// Returns the value of `--queue`.
    pub(crate) fn queue_name(&self) -> Option<&str> {
        self.common.queue.as_deref()
    }

    /// Returns the value of `--profile`.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.common.profile.as_deref()
    }

    pub(crate) async fn aws(&self) -> Result<&SdkConfig, AwsError> {
        let common = &self.common;
        self.aws
            .get_or_try_init(|| {
                app::aws(
                    common.profile.as_deref(),
                    common.region.as_deref(),
                    common.endpoint_url.as_deref(),
                )
            })
            .await
    }

    /// Returns the operator for plan, audit and ledger: the given name, and the AWS identity of the calls.
    pub(crate) async fn author(&self, name: Option<&str>) -> anyhow::Result<String> {
        let aws = self.aws().await?;
        let identity = self.identity.get_or_init(|| async {
            let identity = app::identity(aws).await;
            if let Err(error) = &identity {
                self.progress.warn(&format!("{error}; the author is recorded without it"));
            }
            identity.ok()
        });
        let name = name.filter(|name| !name.is_empty());
        Ok(match (name, identity.await) {
            (Some(name), Some(identity)) => format!("{name} ({identity})"),
            (Some(author), None) => author.to_owned(),
            (None, Some(identity)) => identity.clone(),
            (None, None) => "unknown".to_owned(),
        })
    }

    /// Returns the global arguments as they were given.
    pub(crate) fn common_arguments(&self) -> String {
        let common = &self.common;
        let given = [
            ("--profile", &common.profile),
            ("--region", &common.region),
            ("--endpoint-url", &common.endpoint_url),
            ("--function", &common.function),
            ("--queue", &common.queue),
        ];
        let given = given.iter().filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some(format!(" {name} {value}"))
        });
        given.collect()
    }

    /// Returns the options for calls of the AWS CLI in the same account, region and endpoint.
    pub(crate) async fn aws_cli_options(&self) -> Result<Vec<&str>, AwsError> {
        let region = self.aws().await?.region().map(AsRef::as_ref);
        let (profile, endpoint) = (&self.common.profile, &self.common.endpoint_url);
        let given = [
            ("--region", region),
            ("--profile", profile.as_deref()),
            ("--endpoint-url", endpoint.as_deref()),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some([name, value?]));
        Ok(given.flatten().collect())
    }

    /// Returns the function of `--function`; `None` without this argument.
    ///
    /// # Errors
    /// [`UserError`] with similar names if the function does not exist; [`AwsError`] for another failure.
    pub(crate) async fn function(&self) -> anyhow::Result<Option<&DeployedFunction>> {
        let function = self.function.get_or_try_init(|| async {
            match &self.common.function {
                Some(name) => self.read_function(name).await.map(Some),
                None => Ok(None),
            }
        });
        Ok(function.await?.as_ref())
    }

    async fn read_function(&self, name: &str) -> anyhow::Result<DeployedFunction> {
        let aws = self.aws().await?;
        let error = match app::function(aws, name).await {
            Ok(function) => return Ok(function),
            Err(error) if error.kind == AwsErrorKind::NotFound => error,
            Err(error) => return Err(error.into()),
        };
        // Without the permission to list functions there is no suggestion, and the error is the same.
        let similar = app::similar_functions(aws, name).await.unwrap_or_default();
        let region = aws.region().map_or("this region", |it| it.as_ref());
        let why = error.detail.as_deref().unwrap_or_default();
        let what = format!("the function {name} does not exist in {region} ({why})");
        let remedy = match similar.as_slice() {
            [] => "check --function, --region and --profile".to_owned(),
            names => format!("similar names: {}", names.join(", ")),
        };
        Err(UserError::new(what, remedy).into())
    }

    /// Returns the named function and the event source mapping of its queue: that of `--queue`, else the only one.
    pub(crate) async fn source_mapping(
        &self,
    ) -> anyhow::Result<(&DeployedFunction, &SourceMapping)> {
        let Some(function) = self.function().await? else {
            Err(UserError::new(
                "the function is not named",
                "name the function: --function, or GENESYS_REPLAY_FUNCTION",
            ))?
        };
        match choose(&function.mappings, self.queue_name()) {
            Ok(mapping) => Ok((function, mapping)),
            Err(error) => {
                let mappings = function.mappings.iter();
                let list = mappings.map(|it| {
                    format!(
                        "{}, event source mapping {}, {}",
                        it.queue_arn,
                        it.uuid,
                        it.state.as_str()
                    )
                });
                let what = format!("the function {} {error}", function.name);
                let remedy = "name a queue that the function drains: --queue";
                Err(UserError::new(what, remedy).with_details(list.collect()).into())
            }
        }
    }

    /// Returns the variables of the named function; without a named function, those of this process.
    pub(crate) async fn variables(&self) -> anyhow::Result<Variables> {
        let function = self.function().await?;
        Ok(function.map_or_else(Variables::of_process, |it| it.variables.clone()))
    }

    /// Returns the settings that every command needs.
    pub(crate) async fn settings(&self) -> anyhow::Result<OperatorSettings> {
        Ok(self.variables().await?.operator()?)
    }

    /// Returns the queue of `--queue`; without this argument, the queue that the named function drains.
    pub(crate) async fn queue(&self) -> anyhow::Result<SqsReader> {
        let queue = match &self.common.queue {
            Some(queue) => queue.clone(),
            None => match self.function().await? {
                Some(function) => function.queue_arn().map(str::to_owned).ok_or_else(|| {
                    UserError::new(
                        format!("the function {} does not drain a queue", function.name),
                        "name the queue: --queue",
                    )
                })?,
                None => Err(UserError::new(
                    "the queue is not named",
                    "name the queue (--queue, REPLAY_QUEUE_URL) or the function that drains it (--function)",
                ))?,
            },
        };
        Ok(app::reader(self.aws().await?, &queue).await?)
    }
}
