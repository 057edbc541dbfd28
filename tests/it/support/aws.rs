//! A local AWS, started when the first test needs it and ended with the last.

mod destinations;

use std::error::Error;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use serde_json::Value;

use super::dynamodb_local;
use super::process::Process;

static RUNNING: Mutex<Weak<Process>> = Mutex::new(Weak::new());
static NAMES: AtomicU32 = AtomicU32::new(0);

/// The local AWS and a table of the test's own.
pub(crate) struct LocalAws {
    process: Arc<Process>,
    pub(crate) table: String,
}

impl LocalAws {
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        Self::with_table(Process::shared(&RUNNING, start)?).await
    }

    /// Amazon's own `DynamoDB`, which knows tables and nothing else of AWS.
    pub(crate) async fn dynamodb_local() -> Result<Self, Box<dyn Error>> {
        Self::with_table(dynamodb_local::shared()?).await
    }

    async fn with_table(process: Arc<Process>) -> Result<Self, Box<dyn Error>> {
        let aws = Self {
            process,
            table: Self::name("ledger"),
        };
        let key = KeySchemaElement::builder()
            .attribute_name("EventId")
            .key_type(KeyType::Hash)
            .build()?;
        let attribute = AttributeDefinition::builder()
            .attribute_name("EventId")
            .attribute_type(ScalarAttributeType::S)
            .build()?;
        aws.dynamodb()
            .create_table()
            .table_name(&aws.table)
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(key)
            .attribute_definitions(attribute)
            .send()
            .await?;
        Ok(aws)
    }

    pub(crate) fn endpoint(&self) -> String {
        self.process.endpoint()
    }

    pub(crate) fn config(&self) -> SdkConfig {
        config(&self.endpoint())
    }

    pub(crate) fn dynamodb(&self) -> Client {
        Client::new(&self.config())
    }

    /// A name that nothing else has.
    pub(crate) fn name(kind: &str) -> String {
        format!("{kind}-{}", NAMES.fetch_add(1, Ordering::Relaxed))
    }

    /// A queue of the test's own; its ARN.
    pub(crate) async fn create_queue(&self, fifo: bool) -> Result<String, Box<dyn Error>> {
        let name = Self::name("queue");
        let sqs = aws_sdk_sqs::Client::new(&self.config());
        let create = if fifo {
            let fifo_queue = aws_sdk_sqs::types::QueueAttributeName::FifoQueue;
            sqs.create_queue()
                .queue_name(format!("{name}.fifo"))
                .attributes(fifo_queue, "true")
        } else {
            sqs.create_queue().queue_name(name)
        };
        let url = create.send().await?.queue_url.ok_or("no queue URL")?;
        let arn = aws_sdk_sqs::types::QueueAttributeName::QueueArn;
        let answer = sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(arn.clone())
            .send()
            .await?;
        let found = answer
            .attributes()
            .and_then(|attributes| attributes.get(&arn));
        Ok(found.ok_or("no ARN")?.clone())
    }

    /// The messages that a queue shows now, each for `visibility` seconds to nobody else.
    pub(crate) async fn receive(
        &self,
        queue_arn: &str,
        visibility: i32,
    ) -> Result<Vec<aws_sdk_sqs::types::Message>, Box<dyn Error>> {
        let sqs = aws_sdk_sqs::Client::new(&self.config());
        let answer = sqs
            .receive_message()
            .queue_url(self.queue_url(queue_arn).await?)
            .max_number_of_messages(10)
            .visibility_timeout(visibility)
            .message_system_attribute_names(aws_sdk_sqs::types::MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send()
            .await?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Shows a received message to the next who looks.
    pub(crate) async fn show_again(
        &self,
        queue_arn: &str,
        receipt_handle: &str,
    ) -> Result<(), Box<dyn Error>> {
        let sqs = aws_sdk_sqs::Client::new(&self.config());
        sqs.change_message_visibility()
            .queue_url(self.queue_url(queue_arn).await?)
            .receipt_handle(receipt_handle)
            .visibility_timeout(0)
            .send()
            .await?;
        Ok(())
    }

    pub(crate) async fn queue_url(&self, queue_arn: &str) -> Result<String, Box<dyn Error>> {
        let name = queue_arn.rsplit(':').next().unwrap_or_default();
        let sqs = aws_sdk_sqs::Client::new(&self.config());
        let answer = sqs.get_queue_url().queue_name(name).send().await?;
        Ok(answer.queue_url.ok_or("no queue URL")?)
    }

    /// How long each message of a queue stays away from now, in seconds; below zero when it does not.
    pub(crate) async fn waits(&self, queue_arn: &str) -> Result<Vec<i64>, Box<dyn Error>> {
        let url = format!(
            "{}/_ministack/sqs/messages?QueueUrl={}",
            self.endpoint(),
            self.queue_url(queue_arn).await?
        );
        let answer = reqwest::get(url).await?.bytes().await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let now = i64::try_from(now)?;
        let mut waits = Vec::new();
        let mut values = vec![serde_json::from_slice::<Value>(&answer)?];
        while let Some(value) = values.pop() {
            match value {
                Value::Object(members) => {
                    waits.extend(
                        members
                            .get("VisibleAt")
                            .and_then(Value::as_i64)
                            .map(|at| at - now),
                    );
                    values.extend(members.into_iter().map(|(_, value)| value));
                }
                Value::Array(items) => values.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        Ok(waits)
    }

    /// A bucket of the test's own; its name.
    pub(crate) async fn create_bucket(&self) -> Result<String, Box<dyn Error>> {
        let name = Self::name("bucket");
        let here = aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::EuCentral1)
            .build();
        self.s3()
            .create_bucket()
            .bucket(&name)
            .create_bucket_configuration(here)
            .send()
            .await?;
        Ok(name)
    }

    /// The objects of a bucket, by key.
    pub(crate) async fn objects(
        &self,
        bucket: &str,
    ) -> Result<Vec<(String, Value)>, Box<dyn Error>> {
        let listed = self.s3().list_objects_v2().bucket(bucket).send().await?;
        let mut objects = Vec::new();
        for key in listed.contents().iter().filter_map(|object| object.key()) {
            let object = self
                .s3()
                .get_object()
                .bucket(bucket)
                .key(key)
                .send()
                .await?;
            let bytes = object.body.collect().await?.to_vec();
            objects.push((key.to_owned(), serde_json::from_slice(&bytes)?));
        }
        Ok(objects)
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config())
            .force_path_style(true)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// An item's attributes as text; empty when there is none.
    pub(crate) async fn item(&self, key: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
        let answer = self
            .dynamodb()
            .get_item()
            .table_name(&self.table)
            .key("EventId", AttributeValue::S(key.to_owned()))
            .consistent_read(true)
            .send()
            .await?;
        let mut item: Vec<(String, String)> = answer
            .item
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, value)| {
                let text = value.as_s().or_else(|_| value.as_n()).ok()?;
                Some((name, text.clone()))
            })
            .collect();
        item.sort();
        Ok(item)
    }

    pub(crate) async fn attribute(
        &self,
        key: &str,
        name: &str,
    ) -> Result<Option<String>, Box<dyn Error>> {
        let item = self.item(key).await?;
        Ok(item
            .into_iter()
            .find_map(|(attribute, value)| (attribute == name).then_some(value)))
    }
}

/// Settings of an AWS at `endpoint`, which may be nowhere.
pub(crate) fn config(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
            Credentials::for_tests(),
        ))
        .endpoint_url(endpoint)
        .build()
}

/// The local AWS's program, which `make test` installs.
fn program() -> Result<String, Box<dyn Error>> {
    std::env::var("GENESYS_REPLAY_MINISTACK").map_err(|_| {
        "GENESYS_REPLAY_MINISTACK is not set: run `make test`, which installs the local AWS".into()
    })
}

fn start() -> Result<Process, Box<dyn Error>> {
    let program = program()?;
    Process::start(&format!("the local AWS ({program})"), |port, folder| {
        let mut command = Command::new(&program);
        command
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("TMPDIR", folder);
        command
    })
}
