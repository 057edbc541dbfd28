//! A bus with a rule, its target and the queue that the function drains, on the local AWS.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use aws_sdk_sqs::types::QueueAttributeName;
use genesys_replay_cli::operator::rules::queue_policy::{all_sources, with_sources};
use genesys_test_support::{LocalAws, root};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::schemas::check;
use crate::support::program::{Ran, run};

/// The account of the local AWS.
pub(super) const ACCOUNT: &str = "000000000000";
pub(super) const REGION: &str = "eu-central-1";
pub(super) const CRM: &str = "arn:aws:lambda:eu-central-1:000000000000:function:crm";
/// The name of the rule.
pub(super) const RULE: &str = "genesys-to-crm";

pub(super) struct WiredRule {
    pub(super) aws: LocalAws,
    /// The name of the bus.
    pub(super) bus: String,
    /// The ARN of the queue that the function drains.
    pub(super) queue: String,
}

/// Returns a target with a dead-letter queue.
pub(super) fn target(queue: &str) -> Value {
    json!({ "Id": "crm", "Arn": CRM, "DeadLetterConfig": { "Arn": queue } })
}

impl WiredRule {
    /// Returns a rule whose target is as it should be. `key` is the customer key of the bus.
    pub(super) async fn good(key: Option<&str>) -> Result<Self, Box<dyn Error>> {
        let aws = LocalAws::start().await?;
        let queue = aws.create_queue(false).await?;
        let wired = Self { bus: LocalAws::name("bus"), queue, aws };
        wired.admit(&wired.queue).await?;
        wired.set(&wired.queue, "MaximumMessageSize", "1048576").await?;
        let events = wired.events();
        let create = events.create_event_bus().name(&wired.bus);
        create.set_kms_key_identifier(key.map(str::to_owned)).send().await?;
        let put = events.put_rule().event_bus_name(&wired.bus).name(RULE);
        put.event_pattern(r#"{"source":["genesys"]}"#).send().await?;
        wired.put_target(&target(&wired.queue)).await?;
        Ok(wired)
    }

    pub(super) fn events(&self) -> aws_sdk_eventbridge::Client {
        aws_sdk_eventbridge::Client::new(&self.aws.config())
    }

    pub(super) fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.aws.config())
    }

    /// Sets an attribute of a queue.
    pub(super) async fn set(
        &self,
        queue: &str,
        name: &str,
        value: &str,
    ) -> Result<(), Box<dyn Error>> {
        let sqs = aws_sdk_sqs::Client::new(&self.aws.config());
        let call = sqs.set_queue_attributes().queue_url(self.aws.queue_url(queue).await?);
        call.attributes(QueueAttributeName::from(name), value).send().await?;
        Ok(())
    }

    /// Returns an attribute of a queue.
    pub(super) async fn attribute(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let sqs = aws_sdk_sqs::Client::new(&self.aws.config());
        let name = QueueAttributeName::from(name);
        let call = sqs.get_queue_attributes().queue_url(self.aws.queue_url(&self.queue).await?);
        let found = call.attribute_names(name.clone()).send().await?;
        let value = found.attributes().and_then(|all| all.get(&name)).cloned();
        Ok(value.unwrap_or_default())
    }

    /// Gives a queue a policy that admits every rule and bus.
    pub(super) async fn admit(&self, queue: &str) -> Result<(), Box<dyn Error>> {
        let policy = with_sources(None, queue, &all_sources("aws", REGION, ACCOUNT))?;
        self.set(queue, "Policy", &policy.to_string()).await
    }

    /// Replaces the target of the rule, with the member names of its API.
    pub(super) async fn put_target(&self, target: &Value) -> Result<(), Box<dyn Error>> {
        let targets = json!([target]).to_string();
        let put = ["events", "put-targets", "--rule", RULE, "--event-bus-name", &self.bus];
        let common = ["--region", REGION, "--endpoint-url", &self.aws.endpoint()];
        let words = [&put[..], &["--targets", &targets], &common].concat();
        let output = aws_cli().arg(CALL).arg("bash").args(words).output().await?;
        ended(&output)
    }

    /// Returns the target of the rule, with the member names of its API.
    pub(super) async fn target(&self) -> Result<Value, Box<dyn Error>> {
        let reader = genesys_replay_cli::app::event_rules(&self.aws.config());
        let mut targets = reader.targets(&self.bus, RULE).await?;
        Ok(targets.pop().ok_or("no target")?.definition)
    }

    /// Runs `doctor rules` for the bus, with the queue that the function drains.
    pub(super) async fn doctor(&self, more: &[&str]) -> Result<Ran, Box<dyn Error>> {
        self.doctor_with(&[&["--queue", &self.queue], more].concat()).await
    }

    /// Runs `doctor rules` for the bus.
    pub(super) async fn doctor_with(&self, more: &[&str]) -> Result<Ran, Box<dyn Error>> {
        let endpoint = self.aws.endpoint();
        let arguments = ["doctor", "rules", "--bus", &self.bus, "--endpoint-url", &endpoint];
        let ran = run(&[], &[&arguments, more].concat()).await?;
        if more.contains(&"json") {
            check("doctor-rules", &ran)?;
        }
        Ok(ran)
    }
}

/// Runs a printed command in a shell.
pub(super) async fn execute(command: &str) -> Result<(), Box<dyn Error>> {
    ended(&aws_cli().arg(format!("{FUNCTION}; {command}")).output().await?)
}

/// Defines the AWS CLI of the tests as a function of the shell.
const FUNCTION: &str = r#"aws() { "$PYTHON" -P "$AWS_CLI" "$@"; }"#;

/// Calls the AWS CLI of the tests with the words of the command line.
const CALL: &str = r#""$PYTHON" -P "$AWS_CLI" "$@""#;

/// Returns a shell in which the AWS CLI of the tests can be called.
fn aws_cli() -> Command {
    let ministack = std::env::var("GENESYS_REPLAY_MINISTACK").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("PYTHON", Path::new(&ministack).with_file_name("python"))
        .env("AWS_CLI", root().join("local/aws_cli.py"))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .args(["--norc", "-c"]);
    shell
}

fn ended(output: &std::process::Output) -> Result<(), Box<dyn Error>> {
    let failed = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(failed.into()) }
}

/// Returns the findings of all checks of a run.
pub(super) fn findings(ran: &Ran) -> Result<Vec<Value>, Box<dyn Error>> {
    let document = ran.json()?;
    let checks = document["checks"].as_array().cloned().unwrap_or_default();
    let findings =
        checks.iter().flat_map(|it| it["findings"].as_array().cloned().unwrap_or_default());
    Ok(findings.collect())
}

/// Returns the codes of the findings. The local AWS has no metrics that the SDK can read.
pub(super) fn codes(ran: &Ran) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let codes = findings(ran)?.into_iter().filter_map(|it| it["code"].as_str().map(str::to_owned));
    Ok(codes.filter(|code| code != "no_metrics").collect())
}

/// Returns the finding with this code.
pub(super) fn finding(ran: &Ran, code: &str) -> Result<Value, Box<dyn Error>> {
    let found = findings(ran)?.into_iter().find(|it| it["code"] == code);
    found.ok_or_else(|| format!("{code} is not in {ran:?}").into())
}
