//! The local AWS: one server per concurrent test.

mod destinations;
mod streams;

use std::cell::RefCell;
use std::error::Error;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use genesys_stand_in::EVENTUALLY_LIMIT;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::dynamodb_local;
use super::process::Process;

/// A visibility timeout that is longer than every test.
pub const HIDDEN_SECONDS: i32 = 3_600;

static NAMES: AtomicU32 = AtomicU32::new(0);

/// The idle servers. A started server runs until the tests' process ends.
static IDLE: Mutex<Vec<Process>> = Mutex::new(Vec::new());

/// The maximum number of servers, for every `--test-threads`. A server is one Python process: shared by
/// many tests, it responds too late for the time limits of the programs.
static PLACES: Semaphore = Semaphore::const_new(2);

thread_local! {
    /// The server of the test on this thread, because two tests that wait for a second server would
    /// deadlock.
    static OF_THIS_TEST: RefCell<Weak<Server>> = const { RefCell::new(Weak::new()) };
}

/// A server that one test uses until it is dropped.
struct Server {
    process: Option<Process>,
    place: Option<SemaphorePermit<'static>>,
}

impl Server {
    async fn of_this_test() -> Result<Arc<Self>, Box<dyn Error>> {
        if let Some(server) = OF_THIS_TEST.with_borrow(Weak::upgrade) {
            return Ok(server);
        }
        let place = PLACES.acquire().await?;
        let idle = idle().pop();
        let process = match idle {
            Some(process) => process,
            None => start().await?,
        };
        let server = Arc::new(Self { process: Some(process), place: Some(place) });
        OF_THIS_TEST.set(Arc::downgrade(&server));
        Ok(server)
    }

    fn endpoint(&self) -> String {
        let endpoint = self.process.as_ref().map(Process::endpoint);
        endpoint.unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // DynamoDB Local has no slot.
        if self.place.is_some() {
            idle().extend(self.process.take());
        }
    }
}

fn idle() -> MutexGuard<'static, Vec<Process>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The local AWS with a new table.
pub struct LocalAws {
    server: Arc<Server>,
    pub table: String,
}

impl LocalAws {
    pub async fn start() -> Result<Self, Box<dyn Error>> {
        Self::with_table(Server::of_this_test().await?).await
    }

    /// Starts `DynamoDB` Local, which has tables only.
    pub async fn dynamodb_local() -> Result<Self, Box<dyn Error>> {
        let server = Server { process: Some(dynamodb_local::start().await?), place: None };
        Self::with_table(Arc::new(server)).await
    }

    async fn with_table(server: Arc<Server>) -> Result<Self, Box<dyn Error>> {
        let aws = Self { server, table: Self::name("ledger") };
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

    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    pub fn config(&self) -> SdkConfig {
        config(&self.endpoint())
    }

    pub fn dynamodb(&self) -> Client {
        Client::new(&self.config())
    }

    /// Returns a unique name.
    pub fn name(kind: &str) -> String {
        format!("{kind}-{}", NAMES.fetch_add(1, Ordering::Relaxed))
    }

    /// Creates a queue and returns its ARN.
    pub async fn create_queue(&self, fifo: bool) -> Result<String, Box<dyn Error>> {
        let name = Self::name("queue");
        let sqs = aws_sdk_sqs::Client::new(&self.config());
        let create = if fifo {
            let fifo_queue = aws_sdk_sqs::types::QueueAttributeName::FifoQueue;
            sqs.create_queue().queue_name(format!("{name}.fifo")).attributes(fifo_queue, "true")
        } else {
            sqs.create_queue().queue_name(name)
        };
        let url = create.send().await?.queue_url.ok_or("no queue URL")?;
        let arn = aws_sdk_sqs::types::QueueAttributeName::QueueArn;
        let answer =
            sqs.get_queue_attributes().queue_url(url).attribute_names(arn.clone()).send().await?;
        let found = answer.attributes().and_then(|attributes| attributes.get(&arn));
        Ok(found.ok_or("no ARN")?.clone())
    }

    /// Receives the visible messages of a queue and hides them for `visibility` seconds.
    pub async fn receive(
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

    /// Makes a received message visible.
    pub async fn show_again(
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

    pub async fn queue_url(&self, queue_arn: &str) -> Result<String, Box<dyn Error>> {
        let name = queue_arn.rsplit(':').next().unwrap_or_default();
        let sqs = aws_sdk_sqs::Client::new(&self.config());
        let answer = sqs.get_queue_url().queue_name(name).send().await?;
        Ok(answer.queue_url.ok_or("no queue URL")?)
    }

    /// Returns the remaining visibility timeout of each message, in seconds. Negative: the message is visible.
    pub async fn visibility_timeouts(&self, queue_arn: &str) -> Result<Vec<i64>, Box<dyn Error>> {
        let url = format!(
            "{}/_ministack/sqs/messages?QueueUrl={}",
            self.endpoint(),
            self.queue_url(queue_arn).await?
        );
        let answer = reqwest::get(url).await?.bytes().await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let now = i64::try_from(now)?;
        let mut visibility_timeouts = Vec::new();
        let mut values = vec![serde_json::from_slice::<Value>(&answer)?];
        while let Some(value) = values.pop() {
            match value {
                Value::Object(members) => {
                    visibility_timeouts.extend(
                        members.get("VisibleAt").and_then(Value::as_i64).map(|at| at - now),
                    );
                    values.extend(members.into_iter().map(|(_, value)| value));
                }
                Value::Array(items) => values.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        Ok(visibility_timeouts)
    }

    /// Creates a bucket and returns its name.
    pub async fn create_bucket(&self) -> Result<String, Box<dyn Error>> {
        let name = Self::name("bucket");
        let here = aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::EuCentral1)
            .build();
        self.s3().create_bucket().bucket(&name).create_bucket_configuration(here).send().await?;
        Ok(name)
    }

    /// Returns the objects of a bucket by key.
    pub async fn objects(&self, bucket: &str) -> Result<Vec<(String, Value)>, Box<dyn Error>> {
        let listed = self.s3().list_objects_v2().bucket(bucket).send().await?;
        let mut objects = Vec::new();
        for key in listed.contents().iter().filter_map(|object| object.key()) {
            let object = self.s3().get_object().bucket(bucket).key(key).send().await?;
            let bytes = object.body.collect().await?.to_vec();
            objects.push((key.to_owned(), serde_json::from_slice(&bytes)?));
        }
        Ok(objects)
    }

    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config =
            aws_sdk_s3::config::Builder::from(&self.config()).force_path_style(true).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// Returns an item's attributes as text. Empty: there is no item.
    pub async fn item(&self, key: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
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
                let text = value.as_s().or_else(|_| value.as_n());
                let text = text.cloned();
                let text = text.or_else(|_| value.as_bool().map(ToString::to_string));
                Some((name, text.ok()?))
            })
            .collect();
        item.sort();
        Ok(item)
    }

    pub async fn attribute(&self, key: &str, name: &str) -> Result<Option<String>, Box<dyn Error>> {
        let item = self.item(key).await?;
        Ok(item.into_iter().find_map(|(attribute, value)| (attribute == name).then_some(value)))
    }
}

/// Returns the configuration of an AWS at `endpoint`. Its time limits are for a slow machine and replace
/// those of the programs.
pub fn config(endpoint: &str) -> SdkConfig {
    let limits = TimeoutConfig::builder()
        .connect_timeout(EVENTUALLY_LIMIT)
        .operation_attempt_timeout(EVENTUALLY_LIMIT)
        .operation_timeout(EVENTUALLY_LIMIT)
        .build();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
            Credentials::for_tests(),
        ))
        .timeout_config(limits)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .endpoint_url(endpoint)
        .build()
}

/// Returns the program of the local AWS, which `make test` installs.
fn program() -> Result<String, Box<dyn Error>> {
    std::env::var("GENESYS_REPLAY_MINISTACK").map_err(|_| {
        "GENESYS_REPLAY_MINISTACK is not set: run `make test`, which installs the local AWS".into()
    })
}

async fn start() -> Result<Process, Box<dyn Error>> {
    let program = program()?;
    let process = Process::start(&format!("the local AWS ({program})"), |port, folder| {
        let mut command = Command::new(&program);
        command
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("TMPDIR", folder);
        command
    })
    .await?;
    warm_up(&config(&process.endpoint())).await?;
    Ok(process)
}

/// Calls each service once, because the first call loads it and takes longer than the programs' time limits.
async fn warm_up(aws: &SdkConfig) -> Result<(), Box<dyn Error>> {
    aws_sdk_dynamodb::Client::new(aws).list_tables().send().await?;
    aws_sdk_eventbridge::Client::new(aws).list_event_buses().send().await?;
    aws_sdk_lambda::Client::new(aws).list_functions().send().await?;
    aws_sdk_s3::Client::new(aws).list_buckets().send().await?;
    aws_sdk_secretsmanager::Client::new(aws).list_secrets().send().await?;
    aws_sdk_sfn::Client::new(aws).list_state_machines().send().await?;
    aws_sdk_sns::Client::new(aws).list_topics().send().await?;
    aws_sdk_sqs::Client::new(aws).list_queues().send().await?;
    Ok(())
}
