//! The stand-ins for Genesys Cloud, target, table and queue.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genesys_stand_in::{Call, StandIn, Table};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::events::Message;
use crate::http::{ReceivedRequest, Server};

const TABLE: &str = "GenesysRetryIdempotency";
/// The client id and the secret for Genesys Cloud.
pub(crate) const CLIENT: (&str, &str) = ("benchmark-client", "benchmark-secret");
const TARGET_PATH: &str = "/targets/crm";

/// The latencies of the upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latency {
    /// Genesys Cloud, its token endpoint and the target.
    pub(crate) upstream: Duration,
    /// The table.
    pub(crate) table: Duration,
}

/// The stand-ins and their recorded calls.
pub(crate) struct Upstreams {
    pub(crate) genesys: StandIn,
    pub(crate) table: Table,
    /// A token for implementations that do not fetch one.
    pub(crate) token: String,
    queue: Queue,
}

/// The numbers of calls by purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) get: u64,
    pub(crate) patch: u64,
    pub(crate) delivery: u64,
    pub(crate) table: u64,
}

impl Calls {
    pub(crate) fn add(&mut self, other: Self) {
        self.get += other.get;
        self.patch += other.patch;
        self.delivery += other.delivery;
        self.table += other.table;
    }
}

/// The recorded calls since the last [`Upstreams::take_seen`].
#[derive(Debug, Default)]
pub(crate) struct RecordedCalls {
    pub(crate) calls: Calls,
    /// The number of acceptances by body.
    pub(crate) accepted: HashMap<String, u32>,
    /// The last mark by conversation.
    pub(crate) marks: HashMap<String, String>,
    /// The visibility timeouts that the function set, by receipt handle.
    pub(crate) postponed: HashMap<String, Duration>,
}

impl Upstreams {
    /// Starts all stand-ins without latency.
    ///
    /// # Errors
    /// No port is free, or the token is refused.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let genesys = StandIn::builder()
            .client_id(CLIENT.0)
            .client_secret(CLIENT.1)
            // The rate limit is not measured.
            .rate_limit(u32::MAX)
            .start()
            .await?;
        let answer = reqwest::Client::new()
            .post(format!("{}/oauth/token", genesys.url()))
            .basic_auth(CLIENT.0, Some(CLIENT.1))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials")
            .send()
            .await?
            .error_for_status()?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        Ok(Self {
            genesys,
            table: Table::start("EventId").await?,
            token: answer["access_token"].as_str().unwrap_or_default().to_owned(),
            queue: Queue::start().await?,
        })
    }

    pub(crate) fn set_latency(&self, latency: Latency) {
        let Latency { upstream, table } = latency;
        self.genesys.set_latency(upstream, upstream, upstream);
        self.table.set_latency(table);
    }

    /// Returns the URL of the target.
    pub(crate) fn target_url(&self) -> String {
        format!("{}{TARGET_PATH}", self.genesys.url())
    }

    /// Returns the settings of a function that uses them.
    pub(crate) fn variables(&self, max_concurrency: usize) -> Vec<(String, String)> {
        let genesys = self.genesys.url();
        [
            ("GENESYS_API_BASE_URL", genesys.clone()),
            ("GENESYS_LOGIN_BASE_URL", genesys.clone()),
            ("GENESYS_CLIENT_ID", CLIENT.0.to_owned()),
            ("GENESYS_CLIENT_SECRET", CLIENT.1.to_owned()),
            ("REPLAY_TARGET", format!("{genesys}{TARGET_PATH}")),
            ("IDEMPOTENCY_TABLE_NAME", TABLE.to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.table.url()),
            ("AWS_ENDPOINT_URL_SQS", format!("http://{}", self.queue.server.address)),
            ("MAX_CONCURRENCY", max_concurrency.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Returns and clears the recorded calls.
    pub(crate) fn take_seen(&self) -> RecordedCalls {
        let mut seen = RecordedCalls::default();
        for call in self.genesys.calls() {
            seen.record(call);
        }
        seen.calls.table = self.table.calls().values().sum();
        seen.postponed = self.queue.take();
        self.genesys.clear_calls();
        self.table.clear_calls();
        seen
    }
}

impl RecordedCalls {
    /// Adds later calls.
    pub(crate) fn extend(&mut self, later: Self) {
        self.calls.add(later.calls);
        for (body, times) in later.accepted {
            *self.accepted.entry(body).or_default() += times;
        }
        self.marks.extend(later.marks);
        self.postponed.extend(later.postponed);
    }

    /// Returns the visibility timeout that the function set for this message.
    pub(crate) fn visibility_timeout(&self, message: &Message) -> Option<Duration> {
        self.postponed.get(&message.receipt_handle()).copied()
    }

    fn record(&mut self, call: Call) {
        match (call.method.as_str(), call.path.as_str()) {
            // Once per process, and not per record.
            ("POST", "/oauth/token") => {}
            ("POST", TARGET_PATH) => {
                self.calls.delivery += 1;
                if call.acted {
                    *self.accepted.entry(call.body).or_default() += 1;
                }
            }
            ("PATCH", path) => {
                self.calls.patch += 1;
                let conversation = path.split('/').nth(4);
                if let (Some(conversation), true) = (conversation, call.acted) {
                    self.marks.insert(conversation.to_owned(), call.body);
                }
            }
            _ => self.calls.get += 1,
        }
    }
}

/// The calls to the dead-letter queue: it records visibility timeouts.
struct Queue {
    server: Server,
    postponed: Arc<Mutex<VisibilityTimeouts>>,
}

/// The visibility timeouts by receipt handle.
type VisibilityTimeouts = HashMap<String, Duration>;

impl Queue {
    async fn start() -> std::io::Result<Self> {
        let postponed = Arc::<Mutex<VisibilityTimeouts>>::default();
        let noted = Arc::clone(&postponed);
        let server = Server::start(move |asked| {
            let answer = change_visibility(&asked, &noted);
            async { Response::new(Full::new(answer)) }
        })
        .await?;
        Ok(Self { server, postponed })
    }

    fn take(&self) -> VisibilityTimeouts {
        std::mem::take(&mut self.postponed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `ChangeMessageVisibilityBatch` that always succeeds.
fn change_visibility(asked: &ReceivedRequest, postponed: &Mutex<VisibilityTimeouts>) -> Bytes {
    let request: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let entries = request["Entries"].as_array().cloned().unwrap_or_default();
    let mut postponed = postponed.lock().unwrap_or_else(PoisonError::into_inner);
    let mut done = Vec::new();
    for entry in entries {
        let after = entry["VisibilityTimeout"].as_u64().unwrap_or_default();
        let receipt = entry["ReceiptHandle"].as_str().unwrap_or_default();
        postponed.insert(receipt.to_owned(), Duration::from_secs(after));
        done.push(BTreeMap::from([("Id", entry["Id"].clone())]));
    }
    json!({"Successful": done, "Failed": []}).to_string().into()
}
