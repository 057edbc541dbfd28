//! `doctor`: whether everything around the function is as it should be.

use std::io::IsTerminal;

use genesys_replay::aws::AwsErrorKind;
use genesys_replay::destination::address::AddressPolicy;
use genesys_replay_cli::app;
use genesys_replay_cli::config::{OperatorSettings, Variables};
use genesys_replay_cli::operator::doctor::{Check, Examination, Known, Subject, Verdict, examine};
use genesys_replay_genesys::GenesysSettings;
use genesys_replay_settings::{INGEST_VARIABLES, Settings, VARIABLES};
use serde_json::json;

use crate::context::Context;
use crate::exit::ExitStatus;
use crate::global_arguments::Output;
use crate::terminal;

/// Look whether settings, credentials, queue, table, bucket and target are as they should be.
///
/// Reads only. Genesys Cloud is asked about an interaction that does not exist, and of an HTTP target only the root
/// of its host, by HEAD: nothing can be taken for a delivery.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay doctor --function genesys-replay
  genesys-replay doctor --function genesys-replay --output json | jq '.checks[] | select(.verdict == \"error\")'
  genesys-replay doctor --queue dead-letters     # the settings are those of this environment

Ends with 0 when there is no error (there may be warnings), with 1 when there is one, and with 4 when nothing could be
asked.")]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let variables = match context.variables().await {
            Ok(variables) => Ok(variables),
            Err(error) => match error.kind {
                // What comes next would fail the same way.
                AwsErrorKind::RegionNotConfigured
                | AwsErrorKind::Credentials
                | AwsErrorKind::Unreachable => {
                    return Err(error.into());
                }
                AwsErrorKind::Denied
                | AwsErrorKind::NotFound
                | AwsErrorKind::Throttled
                | AwsErrorKind::Refused => Err(error),
            },
        };
        let seen = variables.as_ref().map(Seen::of).unwrap_or_default();
        let pairs = variables.iter().flat_map(Variables::iter);
        let subject = Subject {
            variables: pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            unread: variables.as_ref().err().cloned(),
            known_variables: [VARIABLES, INGEST_VARIABLES].concat(),
            problems: seen.problems,
            settings: seen.known,
            function: context.function_name().map(str::to_owned),
            queue: context.queue_name().map(str::to_owned),
        };
        let aws = context.aws().await?;
        let deployment = app::deployment(aws, seen.reach)?;
        let genesys = seen.genesys.map(|it| app::genesys_cloud(it, aws));
        let genesys = genesys.transpose()?;
        let examination = examine(&subject, &deployment, genesys.as_ref(), &context.progress);
        let found = Box::pin(examination).await;
        match context.output() {
            Output::Text => terminal::coloured(&text(&found))?,
            Output::Json => terminal::data(&as_json(&found))?,
        }
        Ok(match found.nothing_asked {
            Some(error) => return Err(error.into()),
            None if found.has_errors() => ExitStatus::Findings,
            None => ExitStatus::Success,
        })
    }
}

/// As much of the settings as can be used.
struct Seen {
    problems: Vec<String>,
    known: Option<Known>,
    genesys: Option<GenesysSettings>,
    reach: AddressPolicy,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            problems: Vec::new(),
            known: None,
            genesys: None,
            reach: AddressPolicy::BlockLinkLocal,
        }
    }
}

impl Seen {
    fn of(variables: &Variables) -> Self {
        match variables.function() {
            Ok(settings) => Self::whole(settings),
            Err(error) => {
                let is_off = variables.get("RETRY_STATE") == Some("off");
                let genesys = variables.genesys().ok().filter(|_| !is_off);
                let known = variables.operator().ok();
                Self {
                    known: known.map(|settings| known_of(settings, genesys.as_ref())),
                    problems: error.problems,
                    genesys,
                    reach: AddressPolicy::BlockLinkLocal,
                }
            }
        }
    }

    fn whole(settings: Settings) -> Self {
        let genesys = settings.retry_state.genesys().cloned();
        let reach = settings.reach;
        let known = known_of(
            OperatorSettings {
                table: settings.table,
                target: settings.target,
                archive: settings.archive,
                limits: settings.limits,
                remember: settings.remember,
            },
            genesys.as_ref(),
        );
        Self {
            problems: Vec::new(),
            known: Some(known),
            genesys,
            reach,
        }
    }
}

fn known_of(settings: OperatorSettings, genesys: Option<&GenesysSettings>) -> Known {
    Known {
        table: settings.table,
        remember: Some(settings.remember),
        limits: settings.limits,
        archive: settings.archive.map(|it| (it.bucket, it.prefix)),
        target: settings.target,
        hosts: genesys.map(|it| (it.api_base.clone(), it.login_base.clone())),
    }
}

fn text(found: &Examination) -> String {
    let colours = std::io::stdout().is_terminal();
    let checks: String = found
        .checks
        .iter()
        .map(|check| line(check, colours))
        .collect();
    let count = |verdict| found.count(verdict);
    format!(
        "{checks}\nok: {}, warnings: {}, errors: {}, skipped: {}\n",
        count(Verdict::Ok),
        count(Verdict::Warning),
        count(Verdict::Error),
        count(Verdict::Skipped),
    )
}

fn line(check: &Check, colours: bool) -> String {
    let (begin, end) = match check.verdict {
        _ if !colours => ("", ""),
        Verdict::Ok => ("\u{1b}[32m", "\u{1b}[0m"),
        Verdict::Warning => ("\u{1b}[33m", "\u{1b}[0m"),
        Verdict::Error => ("\u{1b}[31m", "\u{1b}[0m"),
        Verdict::Skipped => ("\u{1b}[2m", "\u{1b}[0m"),
    };
    let verdict = check.verdict.as_str();
    let remedy = check.remedy.as_deref().map(|remedy| {
        let remedy = terminal::printable(remedy);
        format!("{:34}what to do: {remedy}\n", "")
    });
    format!(
        "{begin}{verdict:8}{end} {:24} {}\n{}",
        check.name,
        terminal::printable(&check.found),
        remedy.unwrap_or_default()
    )
}

fn as_json(found: &Examination) -> String {
    let checks = found.checks.iter().map(|check| {
        json!({
            "name": check.name,
            "verdict": check.verdict.as_str(),
            "found": check.found,
            "remedy": check.remedy,
        })
    });
    json!({
        "checks": checks.collect::<Vec<_>>(),
        "ok": found.count(Verdict::Ok),
        "warnings": found.count(Verdict::Warning),
        "errors": found.count(Verdict::Error),
        "skipped": found.count(Verdict::Skipped),
    })
    .to_string()
}
