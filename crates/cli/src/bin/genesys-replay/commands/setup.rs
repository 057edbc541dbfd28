//! `setup`: the guided first deployment.

mod folder;
mod person;

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::ValueEnum;
use genesys_replay_cli::app;
use genesys_replay_cli::operator::setup::parameters::{ParameterError, Parameters, parse_pair};
use genesys_replay_cli::operator::setup::{
    ParameterFile, QueueWish, SetupReport, SetupWishes, StepState, run,
};
use serde_json::{Value, json};

use self::folder::LocalFolder;
use self::person::{Approval, TerminalPerson};
use super::trace;
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::global_arguments::Output;
use crate::{files, terminal};

/// Parameters whose values would be readable in the configuration file.
const SECRET_PARAMETERS: [&str; 3] = ["GenesysClientId", "GenesysClientSecret", "IngestSecret"];

/// Guide through a first deployment: find the queue, test Genesys Cloud, write the settings, replay one message, start.
///
/// Each step is shown with its changes. In a terminal, the command asks before it makes the changes of a step; without a
/// terminal it changes nothing. --yes makes all changes. Run the command again after the deployment, and after each
/// repair: finished steps are not repeated. The answers are kept in samconfig.toml, which sam deploy reads.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Show the steps, and change nothing:
  genesys-replay setup --genesys-region eu-central-1 --client-file client.json --dry-run
  # Make the changes before the deployment; after sam deploy, the same command continues:
  genesys-replay setup --genesys-region eu-central-1 --client-file client.json --yes

Exit code 0: all steps are done; 1: steps are left, and the output names the next action.")]
pub(crate) struct SetupArgs {
    /// The region of the Genesys Cloud organisation, such as eu-central-1, or its domain.
    #[arg(long, value_name = "REGION")]
    genesys_region: Option<String>,
    /// A file with the OAuth client, `{"client_id":"…","client_secret":"…"}`; - is stdin. The client is stored in a secret.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    client_file: Option<PathBuf>,
    /// The secret with the OAuth client in AWS Secrets Manager, by name or ARN.
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// Read only the rules of this event bus.
    #[arg(long, value_name = "NAME")]
    bus: Option<String>,
    /// Let the stack create a queue instead of the dead-letter queue of the rules.
    #[arg(long, conflicts_with = "queue")]
    create_queue: bool,
    /// The name of the stack; the default is that of samconfig.toml, else genesys-replay.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// A parameter of the template; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    parameter: Vec<(String, String)>,
    /// The folder with samconfig.toml: that of the template.
    #[arg(long, value_name = "FOLDER", default_value = ".", value_hint = clap::ValueHint::DirPath)]
    folder: PathBuf,
    /// Write the parameters for another tool too; may be given several times.
    #[arg(long, value_name = "TOOL")]
    write: Vec<Tool>,
    /// Your name, for colleagues.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    by: String,
    /// Make all changes without questions.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Ask nothing and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// The tools that read parameters from a file of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tool {
    /// genesys-replay.auto.tfvars.json
    Terraform,
    /// cdk.context.json
    Cdk,
}

impl SetupArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let aws = context.aws().await?;
        let wishes = self.wishes(context, aws.region().map_or("", |it| it.as_ref()))?;
        let mut folder = LocalFolder::new(&self.folder)?;
        let is_text = context.output() == Output::Text;
        let can_ask = is_text && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let approval = match (self.yes, self.dry_run) {
            (true, _) => Approval::All,
            (false, false) if can_ask => Approval::Asked,
            (false, _) => Approval::Refused,
        };
        let mut person = TerminalPerson::new(approval, is_text);
        let report = run(&app::setup_tools(aws), &wishes, &mut person, &mut folder).await;
        print(context, &report)
    }

    fn wishes(&self, context: &Context, region: &str) -> anyhow::Result<SetupWishes> {
        let mut parameters: Parameters = self.parameter.iter().cloned().collect();
        if let Some(region) = &self.genesys_region {
            parameters.insert("GenesysRegion".to_owned(), region.clone());
        }
        let secret = SECRET_PARAMETERS.into_iter().find(|name| parameters.contains_key(*name));
        if let Some(name) = secret {
            let what = format!("{name} would be readable in samconfig.toml");
            let remedy = "give the OAuth client in a file, --client-file, and the senders' secret as IngestSecretArn";
            Err(UserError::new(what, remedy))?;
        }
        let credentials = self.client_file.as_deref().map(|path| {
            let bytes = files::read(path)?;
            String::from_utf8(bytes).map_err(|_| {
                let what = format!("{} is not UTF-8 text", path.display());
                anyhow::Error::from(UserError::new(what, "save the file as UTF-8"))
            })
        });
        let queue = match (self.create_queue, context.queue_name()) {
            (true, _) => QueueWish::Created,
            (false, Some(queue)) => QueueWish::Named(queue.to_owned()),
            (false, None) => QueueWish::OfTheRules,
        };
        let files = self.write.iter().map(|tool| match tool {
            Tool::Terraform => ParameterFile::Terraform,
            Tool::Cdk => ParameterFile::Cdk,
        });
        Ok(SetupWishes {
            stack: self.stack.clone(),
            bus: self.bus.clone(),
            queue,
            parameters,
            credentials: credentials.transpose()?,
            secret: self.secret.clone(),
            files: files.collect(),
            region: region.to_owned(),
            profile: context.profile().map(str::to_owned),
            by: self.by.clone(),
        })
    }
}

fn print(context: &Context, report: &SetupReport) -> anyhow::Result<ExitStatus> {
    let history = || trace::text(&report.trace);
    if context.output() == Output::Json || !report.trace.is_empty() {
        context.print(|| format!("\n{}", history()), || json(report))?;
    }
    let count = |state: StepState| report.steps.iter().filter(|it| it.state == state).count();
    let (applied, planned) = (count(StepState::Applied), count(StepState::Planned));
    let is_open = report.steps.iter().any(|step| step.state.is_open());
    if planned > 0 && applied == 0 {
        terminal::say("nothing was changed: add --yes");
    }
    if !is_open {
        terminal::say("the setup is complete: genesys-replay status shows the draining");
    }
    Ok(ExitStatus::of_findings(is_open))
}

fn parameter(text: &str) -> Result<(String, String), ParameterError> {
    parse_pair(text)
}

fn json(report: &SetupReport) -> Value {
    json!({
        "steps": report.steps,
        "complete": !report.steps.iter().any(|step| step.state.is_open()),
        "events": report.trace,
    })
}
