//! A harness for the real program: the function with its queue, its archive and its parking queue.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use genesys_replay_lambda::app::ReplayFunction;
use genesys_test_support::replay_harness::invoke;
use genesys_test_support::{HIDDEN_SECONDS, Record, ReplayHarness, event};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::program::{Ran, program};

/// The real program, and the function with its queues and its archive.
pub(crate) struct OperatorHarness {
    pub(crate) world: ReplayHarness,
    pub(crate) bucket: String,
    /// The ARN of the queue that the function drains.
    pub(crate) queue: String,
    /// The folder in which the program runs.
    pub(crate) folder: TempDir,
}

impl OperatorHarness {
    pub(crate) async fn open() -> Result<Self, Box<dyn Error>> {
        let mut world = ReplayHarness::start().await?;
        let bucket = world.aws.create_bucket().await?;
        world.set("ARCHIVE_BUCKET", &bucket);
        Ok(Self {
            queue: world.aws.create_queue(false).await?,
            world,
            bucket,
            folder: TempDir::new()?,
        })
    }

    /// Returns the path of a file in the folder of the program.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let path = self.file(name);
        Ok(std::fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?)
    }

    /// The document in a file.
    pub(crate) fn document(&self, name: &str) -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&self.read(name)?)?)
    }

    /// The program, ready to be started.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut program = program(arguments);
        program
            .current_dir(self.folder.path())
            .env("AWS_ENDPOINT_URL", self.world.aws.endpoint())
            .env("USER", "marta")
            .env("REPLAY_QUEUE_URL", &self.queue)
            .envs(self.world.settings());
        program
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Ran, Box<dyn Error>> {
        ended(self.program(arguments).spawn()?).await
    }

    /// Runs the program to its end while the function drains its queue.
    pub(crate) async fn run_beside_function(
        &self,
        arguments: &[&str],
    ) -> Result<Ran, Box<dyn Error>> {
        let function = self.world.function()?;
        tokio::select! {
            ended = self.run(arguments) => ended,
            error = self.drain(&function) => Err(error),
        }
    }

    /// Drains the queue as Lambda would. Returns only with an error.
    pub(crate) async fn drain(&self, function: &ReplayFunction) -> Box<dyn Error> {
        loop {
            if let Err(error) = self.drain_once(function).await {
                return error;
            }
        }
    }

    /// Handles one batch, if there is one. Returns its number of messages.
    pub(crate) async fn drain_once(
        &self,
        function: &ReplayFunction,
    ) -> Result<usize, Box<dyn Error>> {
        let received = self.world.aws.receive(&self.queue, HIDDEN_SECONDS).await?;
        if received.is_empty() {
            // Let other tasks run.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            return Ok(0);
        }
        let mut receipts = BTreeMap::new();
        let mut records = Vec::new();
        for message in received {
            let id = message.message_id.unwrap_or_default();
            let receipt = message.receipt_handle.unwrap_or_default();
            let count = aws_sdk_sqs::types::MessageSystemAttributeName::ApproximateReceiveCount;
            let count = message.attributes.and_then(|mut all| all.remove(&count));
            let mut record = Record::new(&id, &message.body.unwrap_or_default())
                .in_queue(&self.queue, &receipt)
                .received(count.unwrap_or_default().parse()?);
            for (name, value) in message.message_attributes.unwrap_or_default() {
                record = record.with(&name, &value.string_value.unwrap_or_default());
            }
            receipts.insert(id, receipt);
            records.push(record);
        }
        let back = invoke(function, event(&records)).await??;
        let sqs = aws_sdk_sqs::Client::new(&self.world.aws.config());
        let url = self.world.aws.queue_url(&self.queue).await?;
        for (id, receipt) in receipts {
            if !back.contains(&id) {
                let delete = sqs.delete_message().queue_url(&url);
                delete.receipt_handle(receipt).send().await?;
            }
        }
        Ok(records.len())
    }

    /// Sends a dead letter to a queue and returns its message id.
    pub(crate) async fn put(
        &self,
        queue: &str,
        body: &str,
        attributes: &[(&str, &str)],
    ) -> Result<String, Box<dyn Error>> {
        let sqs = aws_sdk_sqs::Client::new(&self.world.aws.config());
        let mut call =
            sqs.send_message().queue_url(self.world.aws.queue_url(queue).await?).message_body(body);
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(*value)
                .build()?;
            call = call.message_attributes(*name, value);
        }
        Ok(call.send().await?.message_id.ok_or("no message id")?)
    }

    /// Returns the number of messages in a queue, with those in flight.
    pub(crate) async fn depth(&self, queue: &str) -> Result<u64, Box<dyn Error>> {
        let sqs = aws_sdk_sqs::Client::new(&self.world.aws.config());
        let answer = sqs
            .get_queue_attributes()
            .queue_url(self.world.aws.queue_url(queue).await?)
            .attribute_names(QueueAttributeName::All)
            .send()
            .await?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name| -> u64 {
            let text = attributes.get(&name);
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        Ok(count(QueueAttributeName::ApproximateNumberOfMessages)
            + count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible))
    }

    /// Gives a queue a parking queue and returns its ARN.
    pub(crate) async fn park(&self, queue: &str, receives: u32) -> Result<String, Box<dyn Error>> {
        let parking = self.world.aws.create_queue(false).await?;
        let sqs = aws_sdk_sqs::Client::new(&self.world.aws.config());
        let policy = serde_json::json!({
            "deadLetterTargetArn": parking,
            "maxReceiveCount": receives,
        });
        sqs.set_queue_attributes()
            .queue_url(self.world.aws.queue_url(queue).await?)
            .attributes(QueueAttributeName::RedrivePolicy, policy.to_string())
            .send()
            .await?;
        Ok(parking)
    }

    /// Returns the number of calls of the target by event id.
    pub(crate) fn delivered(&self) -> BTreeMap<String, usize> {
        let mut delivered = BTreeMap::new();
        for call in self.world.genesys.calls_to("POST", "/targets/") {
            let body: Value = serde_json::from_str(&call.body).unwrap_or_default();
            let id = body["id"].as_str().unwrap_or("none").to_owned();
            *delivered.entry(id).or_default() += 1;
        }
        delivered
    }
}

/// Waits for the end of a program that was started.
pub(crate) async fn ended(child: Child) -> Result<Ran, Box<dyn Error>> {
    Ran::of(child.wait_with_output().await?)
}
