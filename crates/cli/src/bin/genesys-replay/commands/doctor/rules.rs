//! `doctor rules`: checks the way of events from the rules of `EventBridge` to the dead-letter queue.

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::Arn;
use genesys_replay_cli::app;
use genesys_replay_cli::operator::doctor::Verdict;
use genesys_replay_cli::operator::rules::{
    CheckedPart, OwnDeployment, RuleCheck, RuleFinding, RuleReaders, evaluate, read,
};
use genesys_replay_cli::queue::QueueReader;
use serde_json::{Value, json};

use super::lines;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::global_arguments::Output;
use crate::terminal;

/// Check if events are lost between their rules and the dead-letter queue.
///
/// Reads the buses of the account and region, their rules and targets, the dead-letter queues with policies and keys,
/// and the metrics of lost events of the last 14 days. Changes nothing: it prints the commands that do. A command that
/// replaces a target or a policy has all of its other parts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay doctor rules --function genesys-replay
  genesys-replay doctor rules --function genesys-replay --bus aws.partner/genesys.com/cloud/... --terraform
  genesys-replay doctor rules --function genesys-replay --output json | jq -r '.checks[].findings[].command // empty'

Exit code 0: there are no errors, but maybe warnings; 1: there are errors; 4: no call was possible.")]
pub(super) struct RulesArgs {
    /// Check only this event bus.
    #[arg(long, value_name = "NAME")]
    bus: Option<String>,
    /// Print changes as Terraform instead of commands of the AWS CLI.
    #[arg(long)]
    terraform: bool,
}

impl RulesArgs {
    pub(super) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let mut unread = Vec::new();
        let own = own_deployment(context, &mut unread).await?;
        let aws = context.aws().await?;
        let readers = RuleReaders {
            rules: app::event_rules(aws),
            queues: app::dead_letter_queues(aws),
            metrics: app::metrics(aws),
        };
        let now = context.clock.now();
        let facts = read(&readers, self.bus.as_deref(), &own, now, &context.progress).await;
        let mut facts = facts?;
        facts.read.failures.extend(unread);
        let checks = evaluate(&facts, &own);
        let options = context.aws_cli_options().await?;
        match context.output() {
            Output::Text => terminal::coloured(&text(&checks, self.terraform, &options))?,
            Output::Json => terminal::json(&json(&checks, &options).to_string())?,
        }
        Ok(ExitStatus::of_findings(count(&checks, Verdict::Error) > 0))
    }
}

/// Reads the known part of the deployment. A missing permission is kept as a finding.
async fn own_deployment(
    context: &Context,
    unread: &mut Vec<AwsError>,
) -> anyhow::Result<OwnDeployment> {
    let mut own = OwnDeployment::default();
    match context.function().await {
        Ok(function) => {
            if let Some(function) = function {
                own.function = Some(function.arn.clone());
                own.queues = function.mappings.iter().map(|it| it.queue_arn.clone()).collect();
            }
            own.target = context.settings().await.ok().map(|settings| settings.target);
        }
        Err(error) => unread.push(denied(error)?),
    }
    if let Some(queue) = context.queue_name() {
        own.queues = match queue_arn(context, queue).await {
            Ok(arn) => vec![arn],
            Err(error) => {
                unread.push(denied(error.into())?);
                Vec::new()
            }
        };
    }
    Ok(own)
}

async fn queue_arn(context: &Context, queue: &str) -> Result<String, AwsError> {
    match Arn::parse(queue) {
        Some(arn) => Ok(arn.as_str().to_owned()),
        None => Ok(app::reader(context.aws().await?, queue).await?.facts().await?.arn),
    }
}

/// Returns the error if it is a missing permission. Every other error ends the command.
fn denied(error: anyhow::Error) -> anyhow::Result<AwsError> {
    let error: AwsError = error.downcast()?;
    if error.kind == AwsErrorKind::Denied { Ok(error) } else { Err(error.into()) }
}

fn count(checks: &[RuleCheck], verdict: Verdict) -> usize {
    checks.iter().filter(|check| check.verdict() == verdict).count()
}

/// Returns the name of a part, and its description.
fn described(part: &CheckedPart) -> (&'static str, String) {
    match part {
        CheckedPart::Account => ("account", "the account and region".to_owned()),
        CheckedPart::Bus { bus } => ("event bus", bus.clone()),
        CheckedPart::PartnerSource { source } => ("partner event source", source.clone()),
        CheckedPart::Rule { bus, rule } => ("rule", format!("{rule} on {bus}")),
        CheckedPart::Target { bus, rule, target, arn, queue } => {
            let queue = queue.as_deref().map_or("none", Arn::resource_of);
            let found = format!("{rule} on {bus}, target {target}: {arn}; dead letters: {queue}");
            ("rule target", found)
        }
        CheckedPart::Queue { arn } => ("dead-letter queue", Arn::resource_of(arn).to_owned()),
    }
}

fn text(checks: &[RuleCheck], is_terraform: bool, options: &[&str]) -> String {
    let width = terminal::width();
    let mut text = lines::totals(|verdict| count(checks, verdict));
    for check in checks {
        let (name, found) = described(&check.part);
        text += &lines::verdict(check.verdict(), name, &found, width);
        for (index, finding) in check.findings.iter().enumerate() {
            let verdict = word(finding.problem.verdict());
            text += &lines::detail(verdict, &finding.problem.to_string(), width);
            text += &lines::detail("hint", &finding.problem.hint(), width);
            // One change may remove several problems.
            let next = check.findings.get(index + 1).map(|next| &next.change);
            let change = finding.change.as_ref().filter(|_| next != Some(&finding.change));
            if let Some(change) = change {
                // Not wrapped, so that it can be copied.
                text += &terminal::printable(&if is_terraform {
                    change.terraform.clone()
                } else {
                    change.command(options) + "\n"
                });
            }
        }
    }
    text
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Error => "error",
        Verdict::Skipped => "skipped",
    }
}

fn json(checks: &[RuleCheck], options: &[&str]) -> Value {
    json!({
        "checks": checks.iter().map(|check| json_of_check(check, options)).collect::<Vec<_>>(),
        "ok": count(checks, Verdict::Ok),
        "warnings": count(checks, Verdict::Warning),
        "errors": count(checks, Verdict::Error),
        "skipped": count(checks, Verdict::Skipped),
    })
}

fn json_of_check(check: &RuleCheck, options: &[&str]) -> Value {
    let (name, found) = described(&check.part);
    let (bus, rule, target, target_arn, queue) = match &check.part {
        CheckedPart::Account => (None, None, None, None, None),
        CheckedPart::Bus { bus } | CheckedPart::PartnerSource { source: bus } => {
            (Some(bus), None, None, None, None)
        }
        CheckedPart::Rule { bus, rule } => (Some(bus), Some(rule), None, None, None),
        CheckedPart::Target { bus, rule, target, arn, queue } => {
            (Some(bus), Some(rule), Some(target), Some(arn), queue.as_ref())
        }
        CheckedPart::Queue { arn } => (None, None, None, None, Some(arn)),
    };
    let findings = check.findings.iter().map(|finding| json_of_finding(finding, options));
    json!({
        "name": name,
        "verdict": check.verdict(),
        "found": found,
        "bus": bus,
        "rule": rule,
        "target": target,
        "target_arn": target_arn,
        "queue": queue,
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn json_of_finding(finding: &RuleFinding, options: &[&str]) -> Value {
    let change = finding.change.as_ref();
    json!({
        "code": finding.problem.code(),
        "verdict": finding.problem.verdict(),
        "found": finding.problem.to_string(),
        "hint": finding.problem.hint(),
        "command": change.map(|change| change.command(options)),
        "terraform": change.map(|change| &change.terraform),
    })
}
