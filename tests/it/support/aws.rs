//! A local AWS, started when the first test needs it and ended with the last.

use std::error::Error;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};

static RUNNING: Mutex<Weak<Process>> = Mutex::new(Weak::new());
static TABLES: AtomicU32 = AtomicU32::new(0);

/// The local AWS and a table of the test's own.
pub(crate) struct LocalAws {
    process: Arc<Process>,
    pub(crate) table: String,
}

struct Process {
    child: Mutex<Child>,
    port: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself; there is nothing to do about either failure.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl LocalAws {
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let aws = Self {
            process: shared_process()?,
            table: format!("ledger-{}", TABLES.fetch_add(1, Ordering::Relaxed)),
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
        endpoint(self.process.port)
    }

    pub(crate) fn config(&self) -> SdkConfig {
        config(&self.endpoint())
    }

    pub(crate) fn dynamodb(&self) -> Client {
        Client::new(&self.config())
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

fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
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

fn shared_process() -> Result<Arc<Process>, Box<dyn Error>> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(process) = running.upgrade() {
        return Ok(process);
    }
    let process = Arc::new(start_process()?);
    *running = Arc::downgrade(&process);
    Ok(process)
}

fn start_process() -> Result<Process, Box<dyn Error>> {
    let program = std::env::var("GENESYS_REPLAY_MINISTACK").map_err(
        |_| "GENESYS_REPLAY_MINISTACK is not set: run `make test`, which installs the local AWS",
    )?;
    // Another process may take the port between our looking and its listening: try others then.
    for _ in 0..5 {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut child = Command::new(&program)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        while child.try_wait()?.is_none() {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(Process {
                    child: Mutex::new(child),
                    port,
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Err(format!("the local AWS ({program}) does not start").into())
}
