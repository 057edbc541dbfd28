//! An account before the first deployment: a rule with a dead-letter queue, and the stack that a deployment would make.

use std::collections::HashMap;
use std::error::Error;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_cloudformation::types::Parameter;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::types::{DeadLetterConfig, Target};
use aws_sdk_lambda::types::Environment;
use aws_sdk_sqs::types::QueueAttributeName;
use genesys_test_support::{LocalAws, Record, TestResult, eventually};
use mockito::ServerGuard;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::doctor::deployed::{GenesysCloud, SECRET};
use crate::schemas;
use crate::support::program::{Ran, program};
use crate::support::send_record;

const EVENT: &str = "bb8d0e80-0000-4000-8000-000000000001";

/// A template with the outputs of ours. Its resources are those of the test.
const TEMPLATE: &str = r#"{
  "Parameters": {
    "GenesysApi": { "Type": "String", "Default": "" },
    "AllowedTargets": { "Type": "String" },
    "Queue": { "Type": "String" },
    "Attributes": { "Type": "String" },
    "Function": { "Type": "String" },
    "Table": { "Type": "String" }
  },
  "Resources": { "Topic": { "Type": "AWS::SNS::Topic" } },
  "Outputs": {
    "DeadLetterQueueArn": { "Value": { "Ref": "Queue" } },
    "DeadLetterQueueAttributes": { "Value": { "Ref": "Attributes" } },
    "ReplayFunctionName": { "Value": { "Ref": "Function" } },
    "LedgerTableName": { "Value": { "Ref": "Table" } }
  }
}"#;

pub(super) struct Account {
    pub(super) aws: LocalAws,
    pub(super) genesys: GenesysCloud,
    /// The ARN of the dead-letter queue.
    pub(super) queue: String,
    pub(super) rule_arn: String,
    /// The ARN of the rule's target.
    pub(super) target: String,
    pub(super) stack: String,
    bus: String,
    folder: TempDir,
    /// The function's code: a server that answers the invocations.
    function: Mutex<ServerGuard>,
    /// The number of answered invocations.
    invocations: Arc<AtomicUsize>,
    mapping: Mutex<String>,
}

impl Account {
    pub(super) async fn open() -> Result<Self, Box<dyn Error>> {
        let aws = LocalAws::start().await?;
        let events = aws_sdk_eventbridge::Client::new(&aws.config());
        let bus = LocalAws::name("partner-bus");
        events.create_event_bus().name(&bus).send().await?;
        let mut account = Self {
            genesys: GenesysCloud::start().await,
            queue: aws.create_queue(false).await?,
            rule_arn: String::new(),
            target: aws.create_queue(false).await?,
            stack: LocalAws::name("stack"),
            bus,
            folder: TempDir::new()?,
            function: Mutex::new(mockito::Server::new_async().await),
            invocations: Arc::default(),
            mapping: Mutex::default(),
            aws,
        };
        account.set_queue_attribute("MaximumMessageSize", "1048576").await?;
        account.write("client.json", &Self::client().to_string())?;
        account.rule_arn = account.add_rule("crm", Some(&account.queue)).await?;
        Ok(account)
    }

    /// The OAuth client that Genesys Cloud accepts.
    pub(super) fn client() -> Value {
        json!({ "client_id": "an-id", "client_secret": SECRET })
    }

    /// Creates a rule for the events of Genesys Cloud. Returns its ARN.
    pub(super) async fn add_rule(
        &self,
        name: &str,
        dead_letter_queue: Option<&str>,
    ) -> Result<String, Box<dyn Error>> {
        let events = aws_sdk_eventbridge::Client::new(&self.aws.config());
        let pattern = r#"{"source":[{"prefix":"aws.partner/genesys.com"}]}"#;
        let rule = events.put_rule().event_bus_name(&self.bus).name(name).event_pattern(pattern);
        let arn = rule.send().await?.rule_arn.ok_or("no ARN")?;
        let mut target = Target::builder().id("crm").arn(&self.target);
        if let Some(queue) = dead_letter_queue {
            target = target.dead_letter_config(DeadLetterConfig::builder().arn(queue).build());
        }
        let put = events.put_targets().event_bus_name(&self.bus).rule(name);
        put.targets(target.build()?).send().await?;
        Ok(arn)
    }

    /// Runs the setup with the OAuth client.
    pub(super) async fn setup(&self, more: &[&str]) -> Result<Ran, Box<dyn Error>> {
        let ran = self.run(&["--output", "json", "--client-file", "client.json"], more).await?;
        schemas::check("setup", &ran)?;
        Ok(ran)
    }

    pub(super) async fn setup_as_text(&self, more: &[&str]) -> Result<Ran, Box<dyn Error>> {
        self.run(&["--client-file", "client.json"], more).await
    }

    /// Runs the setup without the OAuth client.
    pub(super) async fn continued(&self, more: &[&str]) -> Result<Ran, Box<dyn Error>> {
        self.run(&["--output", "json"], more).await
    }

    /// Runs the setup in a pseudo-terminal with these answers of a person. Returns the output.
    pub(super) async fn setup_with_answers(&self, answers: &str) -> Result<String, Box<dyn Error>> {
        let command = self.command(&["--client-file", "client.json"]);
        let (name, arguments) = (command.as_std().get_program(), command.as_std().get_args());
        let words: Vec<_> = [name].into_iter().chain(arguments).collect();
        let words: Option<Vec<&str>> = words.into_iter().map(|word| word.to_str()).collect();
        let call = words.ok_or("not UTF-8")?.join(" ");
        let settings = command.as_std().get_envs();
        let settings = settings.filter_map(|(name, value)| Some((name, value?)));
        let mut script = tokio::process::Command::new("script");
        script
            .args(["--quiet", "--return", "--command", &call, "/dev/null"])
            .env_clear()
            .envs(settings)
            .env("TERM", "dumb")
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = script.spawn()?;
        let mut stdin = child.stdin.take().ok_or("no stdin")?;
        stdin.write_all(answers.as_bytes()).await?;
        let output = child.wait_with_output().await?;
        drop(stdin);
        Ok(String::from_utf8(output.stdout)?.replace('\r', ""))
    }

    async fn run(&self, some: &[&str], more: &[&str]) -> Result<Ran, Box<dyn Error>> {
        let all: Vec<&str> = some.iter().chain(more).copied().collect();
        Ran::of(self.command(&all).output().await?)
    }

    fn command(&self, more: &[&str]) -> Command {
        let url = self.genesys.url();
        let hosts = ["GenesysApiBaseUrl", "GenesysLoginBaseUrl"].map(|it| format!("{it}={url}"));
        let endpoint = self.aws.endpoint();
        let mut arguments =
            vec!["setup", "--endpoint-url", &endpoint, "--bus", &self.bus, "--stack", &self.stack];
        for host in &hosts {
            arguments.extend(["--parameter", host]);
        }
        arguments.extend(more);
        let mut program = program(&arguments);
        program.current_dir(self.folder.path());
        program
    }

    pub(super) fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join(name)).ok()
    }

    pub(super) fn write(&self, name: &str, text: &str) -> TestResult {
        Ok(std::fs::write(self.folder.path().join(name), text)?)
    }

    /// Returns ARN and value of the secret that the setup creates.
    pub(super) async fn secret(&self) -> Result<Option<(String, String)>, Box<dyn Error>> {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.aws.config());
        let name = format!("{}/genesys-cloud", self.stack);
        let found = secrets.get_secret_value().secret_id(name).send().await;
        Ok(found.ok().and_then(|found| Some((found.arn?, found.secret_string?))))
    }

    fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.aws.config())
    }

    async fn set_queue_attribute(&self, name: &str, value: &str) -> TestResult {
        let url = self.aws.queue_url(&self.queue).await?;
        let call = self.sqs().set_queue_attributes().queue_url(url);
        call.attributes(QueueAttributeName::from(name), value).send().await?;
        Ok(())
    }

    pub(super) async fn queue_attributes(&self) -> Result<HashMap<String, String>, Box<dyn Error>> {
        let url = self.aws.queue_url(&self.queue).await?;
        let call = self.sqs().get_queue_attributes().queue_url(url);
        let found = call.attribute_names(QueueAttributeName::All).send().await?.attributes;
        let found = found.unwrap_or_default().into_iter();
        Ok(found.map(|(name, value)| (name.as_str().to_owned(), value)).collect())
    }

    /// Returns the number of messages in the queue, visible or not.
    pub(super) async fn messages(&self) -> Result<u64, Box<dyn Error>> {
        let attributes = self.queue_attributes().await?;
        let number = |name: &str| attributes.get(name).and_then(|it| it.parse::<u64>().ok());
        Ok(number("ApproximateNumberOfMessages").unwrap_or(0)
            + number("ApproximateNumberOfMessagesNotVisible").unwrap_or(0))
    }

    /// Makes the received messages of the queue visible, as if their visibility timeout were over.
    pub(super) async fn show_messages(&self) -> TestResult {
        // A redrive to itself is not possible, so a new message has the same event.
        let url = self.aws.queue_url(&self.queue).await?;
        self.sqs().purge_queue().queue_url(url).send().await?;
        self.send_dead_letter().await.map(drop)
    }

    /// Puts a dead letter of the rule on the queue. Returns the id of its message.
    pub(super) async fn send_dead_letter(&self) -> Result<String, Box<dyn Error>> {
        let record = Record::dead_letter("m-1", EVENT, "c-1").with("TARGET_ARN", &self.target);
        send_record(&self.aws, &self.queue, &record).await?;
        let [received] = &self.aws.receive(&self.queue, 0).await?[..] else {
            return Err("not one message".into());
        };
        Ok(received.message_id().unwrap_or_default().to_owned())
    }

    /// Creates a function that reads the queue, of another owner.
    pub(super) async fn add_reader(&self) -> Result<String, Box<dyn Error>> {
        let url = self.function.lock().await.url();
        let function = self.aws.create_function(&url).await?;
        self.map(&function, true).await?;
        Ok(function)
    }

    async fn map(&self, function: &str, enabled: bool) -> Result<String, Box<dyn Error>> {
        let lambda = aws_sdk_lambda::Client::new(&self.aws.config());
        let call = lambda.create_event_source_mapping().function_name(function);
        let call = call.event_source_arn(&self.queue).enabled(enabled);
        call.send().await?.uuid.ok_or_else(|| "no id".into())
    }

    /// Makes the stack of a deployment with the parameters of the setup. The function does not drain the queue yet.
    pub(super) async fn deploy(&self) -> TestResult {
        let url = self.function.lock().await.url();
        let function = self.aws.create_answering_function(&url).await?;
        let lambda = aws_sdk_lambda::Client::new(&self.aws.config());
        let variables = HashMap::from([
            ("URL", url.as_str()),
            ("IDEMPOTENCY_TABLE_NAME", &self.aws.table),
            ("ALLOWED_TARGETS", &self.target),
        ]);
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::builder().set_variables(Some(variables.collect()));
        let call = lambda.update_function_configuration().function_name(&function);
        call.environment(environment.build()).send().await?;
        *self.mapping.lock().await = self.map(&function, false).await?;
        let parking = self.aws.create_queue(false).await?;
        let policy = json!({ "deadLetterTargetArn": parking, "maxReceiveCount": "203" });
        let attributes =
            json!({ "VisibilityTimeout": "360", "RedrivePolicy": policy.to_string() }).to_string();
        let parameters = [
            ("AllowedTargets", self.target.as_str()),
            ("Queue", &self.queue),
            ("Attributes", &attributes),
            ("Function", function.rsplit(':').next().unwrap_or_default()),
            ("Table", &self.aws.table),
        ];
        let parameters = parameters.map(|(name, value)| {
            Parameter::builder().parameter_key(name).parameter_value(value).build()
        });
        let stacks = aws_sdk_cloudformation::Client::new(&self.aws.config());
        let call = stacks.create_stack().stack_name(&self.stack).template_body(TEMPLATE);
        call.set_parameters(Some(parameters.into())).send().await?;
        eventually("the stack is complete", async || {
            let found = stacks.describe_stacks().stack_name(&self.stack).send().await?;
            let status = found.stacks().first().and_then(|stack| stack.stack_status());
            Ok(status.filter(|it| it.as_str() == "CREATE_COMPLETE").map(drop))
        })
        .await
    }

    /// Returns the state of the event source mapping.
    pub(super) async fn mapping_state(&self) -> Result<String, Box<dyn Error>> {
        let lambda = aws_sdk_lambda::Client::new(&self.aws.config());
        let call = lambda.get_event_source_mapping().uuid(&*self.mapping.lock().await);
        Ok(call.send().await?.state.unwrap_or_default())
    }

    /// Writes the ledger item that the function leaves for the event of the dead letter.
    pub(super) async fn settle_as(&self, status: &str) -> TestResult {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let mut put = self.aws.dynamodb().put_item().table_name(&self.aws.table);
        put = put
            .item("EventId", text(&format!("{EVENT}|{}", self.target)))
            .item("Status", text(status))
            .item("Target", text(&self.target))
            .item("Attempts", AttributeValue::N("1".to_owned()));
        if status != "COMPLETED" {
            put = put.item("FailureCode", text("TARGET_CREDENTIALS"));
        }
        put.send().await?;
        Ok(())
    }

    /// Sets the answer of the function. It answers only an event of the queue with all members of Lambda's.
    pub(super) async fn answers(&self, answer: &Value) {
        self.answers_with(&answer.to_string()).await;
    }

    pub(super) async fn answers_with(&self, answer: &str) {
        let mut function = self.function.lock().await;
        function.reset();
        let queue = self.queue.clone();
        let target = self.target.clone();
        let is_event = move |request: &mockito::Request| {
            let body = request.body().map(Vec::as_slice).unwrap_or_default();
            let event: Value = serde_json::from_slice(body).unwrap_or_default();
            let record = &event["Records"][0];
            record["eventSourceARN"] == queue.as_str()
                && record["eventSource"] == "aws:sqs"
                && record["attributes"]["ApproximateReceiveCount"].is_string()
                && record["messageAttributes"]["TARGET_ARN"]["stringValue"] == target.as_str()
                && record["receiptHandle"].is_string()
                && event["Records"].as_array().is_some_and(|it| it.len() == 1)
        };
        let (answer, invocations) = (answer.to_owned(), Arc::clone(&self.invocations));
        let mock = function.mock("POST", "/").match_request(is_event);
        mock.with_body_from_request(move |_| {
            invocations.fetch_add(1, Ordering::Relaxed);
            answer.clone().into_bytes()
        })
        .create_async()
        .await;
    }

    pub(super) fn invocations(&self) -> usize {
        self.invocations.load(Ordering::Relaxed)
    }
}
