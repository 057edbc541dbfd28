//! The program `genesys-replay diagnose` in its own folder, on a queue of the local AWS.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use aws_sdk_sqs::types::QueueAttributeName;
use genesys_stand_in::StandIn;
use genesys_test_support::{HIDDEN_SECONDS, LocalAws, Record};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::support::program::{Ran, program};
use crate::support::send_record;

/// A queue, a folder, and the settings of a function.
pub(super) struct OperatorHarness {
    pub(super) aws: LocalAws,
    pub(super) genesys: StandIn,
    pub(super) queue: String,
    folder: tempfile::TempDir,
    settings: BTreeMap<&'static str, String>,
}

impl OperatorHarness {
    pub(super) async fn new() -> Result<Self, Box<dyn Error>> {
        let aws = LocalAws::start().await?;
        let genesys = StandIn::builder().start().await?;
        let url = genesys.url();
        let settings = BTreeMap::from([
            ("GENESYS_API_BASE_URL", url.clone()),
            ("GENESYS_LOGIN_BASE_URL", url.clone()),
            ("GENESYS_CLIENT_ID", "demo-client".to_owned()),
            ("GENESYS_CLIENT_SECRET", "demo-secret".to_owned()),
            ("REPLAY_TARGET", format!("{url}/targets/crm")),
            ("IDEMPOTENCY_TABLE_NAME", aws.table.clone()),
        ]);
        Ok(Self {
            queue: aws.create_queue(false).await?,
            aws,
            genesys,
            folder: tempfile::tempdir()?,
            settings,
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the names of all files in the folder.
    pub(super) fn files(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.folder.path())? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The file of records.
    pub(super) fn records(&self) -> Result<Value, Box<dyn Error>> {
        let text = std::fs::read(self.path("eventbridge_diagnostics.json"))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Sends a record's body and attributes to the queue.
    pub(super) async fn put(&self, record: &Record) -> Result<(), Box<dyn Error>> {
        self.put_on(&self.queue, record).await
    }

    pub(super) async fn put_on(&self, queue: &str, record: &Record) -> Result<(), Box<dyn Error>> {
        send_record(&self.aws, queue, record).await
    }

    /// Gives the queue a parking queue, and returns its ARN.
    pub(super) async fn park_after(&self, receives: u32) -> Result<String, Box<dyn Error>> {
        let parking = self.aws.create_queue(false).await?;
        let policy = serde_json::json!({
            "deadLetterTargetArn": parking,
            "maxReceiveCount": receives,
        });
        aws_sdk_sqs::Client::new(&self.aws.config())
            .set_queue_attributes()
            .queue_url(self.aws.queue_url(&self.queue).await?)
            .attributes(QueueAttributeName::RedrivePolicy, policy.to_string())
            .send()
            .await?;
        Ok(parking)
    }

    /// Returns the messages of the queue with their receive counts, including this receive.
    pub(super) async fn shown(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let mut counts = Vec::new();
        loop {
            let messages = self.aws.receive(&self.queue, HIDDEN_SECONDS).await?;
            if messages.is_empty() {
                return Ok(counts);
            }
            let count = aws_sdk_sqs::types::MessageSystemAttributeName::ApproximateReceiveCount;
            let received = messages.iter().filter_map(|it| it.attributes()?.get(&count));
            counts.extend(received.cloned());
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(&["--queue", &self.queue, "diagnose"]);
        command
            .args(arguments)
            .env("AWS_ENDPOINT_URL", self.aws.endpoint())
            .envs(&self.settings)
            .current_dir(self.folder.path());
        command
    }

    /// Runs the program to its end.
    pub(super) async fn diagnose(&self, arguments: &[&str]) -> Result<Ran, Box<dyn Error>> {
        Ran::of(self.command(arguments).output().await?)
    }

    /// Starts the program.
    pub(super) fn begin(&self, arguments: &[&str]) -> Result<Child, Box<dyn Error>> {
        Ok(self.command(arguments).spawn()?)
    }
}
