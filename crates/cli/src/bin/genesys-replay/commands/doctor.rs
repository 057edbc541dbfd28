//! `doctor`: checks the deployment around the function.

mod lines;
mod rules;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::address::AddressPolicy;
use genesys_replay_cli::app;
use genesys_replay_cli::config::Variables;
use genesys_replay_cli::operator::doctor::{Check, DoctorInput, DoctorReport, Verdict, run_checks};
use genesys_replay_genesys::GenesysSettings;
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::ExitStatus;
use crate::global_arguments::Output;
use crate::terminal;

/// Check settings, credentials, queue, table, bucket and target.
///
/// Changes nothing. The command requests an interaction that does not exist from Genesys Cloud. It sends HEAD to the
/// root of an HTTP target's host, so that the target cannot mistake the request for a delivery.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay doctor --function genesys-replay
  genesys-replay doctor rules --function genesys-replay    # does EventBridge lose events before the queue?
  genesys-replay doctor --function genesys-replay --output json | jq '.checks[] | select(.verdict == \"error\")'
  genesys-replay doctor --queue dead-letters     # the settings are those of this environment

Exit code 0: there are no errors, but maybe warnings; 1: there are errors; 4: no call was possible.")]
pub(crate) struct DoctorArgs {
    #[command(subcommand)]
    part: Option<DoctorPart>,
}

/// Checks of another part of the deployment.
#[derive(Debug, clap::Subcommand)]
enum DoctorPart {
    Rules(rules::RulesArgs),
}

impl DoctorArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        if let Some(DoctorPart::Rules(rules)) = &self.part {
            return Box::pin(rules.run(context)).await;
        }
        let mut input = DoctorInput {
            function: context.function_name().map(str::to_owned),
            queue: context.queue_name().map(str::to_owned),
            ..DoctorInput::default()
        };
        let mut genesys = None;
        let mut reach = AddressPolicy::BlockLinkLocal;
        match context.variables().await {
            Ok(variables) => (genesys, reach) = read(variables, &mut input),
            Err(error) => {
                // Any other error is a function that does not exist: there is nothing to check.
                let error: AwsError = error.downcast()?;
                match error.kind {
                    // The next calls would fail in the same way.
                    AwsErrorKind::RegionNotConfigured
                    | AwsErrorKind::Credentials
                    | AwsErrorKind::WrongClock
                    | AwsErrorKind::Unreachable => return Err(error.into()),
                    AwsErrorKind::Denied
                    | AwsErrorKind::NotFound
                    | AwsErrorKind::Throttled
                    | AwsErrorKind::Refused => input.unread = Some(error),
                }
            }
        }
        let aws = context.aws().await?;
        let deployment = app::deployment(aws, reach)?;
        let genesys = genesys.map(|it| app::genesys_cloud(it, aws)).transpose()?;
        let checks = run_checks(&input, &deployment, genesys.as_ref(), &context.progress);
        let found = Box::pin(checks).await;
        match context.output() {
            Output::Text => terminal::coloured(&text(&found))?,
            Output::Json => terminal::json(&json(&found).to_string())?,
        }
        let has_errors = found.count(Verdict::Error) > 0;
        match found.no_answer {
            Some(error) => Err(error.into()),
            None => Ok(ExitStatus::of_findings(has_errors)),
        }
    }
}

/// Reads the usable settings into the input. Returns the settings of Genesys Cloud and the permitted addresses.
fn read(variables: Variables, input: &mut DoctorInput) -> (Option<GenesysSettings>, AddressPolicy) {
    input.settings = variables.operator().ok();
    let (genesys, reach) = match variables.function() {
        Ok(settings) => (settings.retry_state.genesys().cloned(), settings.reach),
        Err(error) => {
            input.problems = error.problems;
            let is_off = variables.get("RETRY_STATE") == Some("off");
            let genesys = variables.genesys().ok().filter(|_| !is_off);
            (genesys, AddressPolicy::BlockLinkLocal)
        }
    };
    input.variables = variables;
    let hosts = genesys.as_ref().filter(|_| input.settings.is_some());
    input.hosts = hosts.map(|it| (it.api_base.clone(), it.login_base.clone()));
    (genesys, reach)
}

fn text(found: &DoctorReport) -> String {
    let width = terminal::width();
    let checks = found.checks.iter().map(|check| line(check, width));
    lines::totals(|verdict| found.count(verdict)) + &checks.collect::<String>()
}

fn line(check: &Check, width: Option<usize>) -> String {
    let line = lines::verdict(check.verdict, check.name, &check.found, width);
    let remedy = check.remedy.as_deref();
    line + &remedy.map_or_else(String::new, |remedy| lines::detail("hint", remedy, width))
}

fn json(found: &DoctorReport) -> Value {
    json!({
        "checks": found.checks,
        "ok": found.count(Verdict::Ok),
        "warnings": found.count(Verdict::Warning),
        "errors": found.count(Verdict::Error),
        "skipped": found.count(Verdict::Skipped),
    })
}
