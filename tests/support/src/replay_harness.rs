//! The function in this process, between the local AWS and the stand-in Genesys Cloud.

use std::collections::BTreeMap;
use std::error::Error;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use genesys_replay::ledger::Ledger;
use genesys_replay::replay::{Ports, Replay};
use genesys_replay::target::Target;
use genesys_replay_aws::sqs_queue::SqsQueue;
use genesys_replay_genesys::GenesysClient;
use genesys_replay_lambda::app::ReplayFunction;
use genesys_replay_lambda::lambda::BatchError;
use genesys_replay_lambda::{app, lambda};
use genesys_replay_settings::Settings;
use genesys_replay_storage::dynamodb::DynamoDbLedger;
use genesys_replay_storage::s3::S3Archive;
use genesys_replay_targets::Targets;
use genesys_replay_telemetry::LogLevel;
use genesys_replay_telemetry::metrics::Metrics;
use genesys_stand_in::StandIn;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;

use super::{LocalAws, Record, event};

/// The ids of the returned messages, in order.
pub type Answer = Result<Vec<String>, BatchError>;

/// The environment of one function.
pub struct ReplayHarness {
    pub aws: LocalAws,
    pub genesys: StandIn,
    settings: BTreeMap<String, String>,
}

impl ReplayHarness {
    /// Starts a harness. Its function has no backoff and delivers to the stand-in's target.
    pub async fn start() -> Result<Self, Box<dyn Error>> {
        Self::with_genesys(StandIn::builder()).await
    }

    /// Starts a harness with this Genesys Cloud.
    pub async fn with_genesys(genesys: genesys_stand_in::Builder) -> Result<Self, Box<dyn Error>> {
        let aws = LocalAws::start().await?;
        let genesys = genesys.start().await?;
        let mut harness = Self { aws, genesys, settings: BTreeMap::new() };
        let url = harness.genesys.url();
        for (name, value) in [
            ("GENESYS_API_BASE_URL", url.as_str()),
            ("GENESYS_LOGIN_BASE_URL", &url),
            ("GENESYS_CLIENT_ID", "demo-client"),
            ("GENESYS_CLIENT_SECRET", "demo-secret"),
            ("REPLAY_TARGET", &format!("{url}/targets/crm")),
            ("IDEMPOTENCY_TABLE_NAME", &harness.aws.table.clone()),
            ("BACKOFF_BASE_SECONDS", "0"),
        ] {
            harness.set(name, value);
        }
        Ok(harness)
    }

    /// Changes a setting. An empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    pub fn function(&self) -> Result<ReplayFunction, Box<dyn Error>> {
        let settings = Settings::from_lookup(|name| self.settings.get(name).cloned())?;
        Ok(app::build(settings, &self.aws.config())?)
    }

    /// Invokes a new function with records. Returns the ids of the returned messages.
    pub async fn deliver(&self, records: &[Record]) -> Result<Vec<String>, Box<dyn Error>> {
        Ok(invoke(&self.function()?, event(records)).await??)
    }

    /// Returns the key of an event with the configured target.
    pub fn key(&self, event_id: &str) -> String {
        let target = self.settings.get("REPLAY_TARGET").map_or("", String::as_str);
        format!("{event_id}|{target}")
    }

    /// Returns the `Idempotency-Key` of an event's deliveries.
    pub fn idempotency_key(&self, event_id: &str) -> String {
        genesys_replay::ledger::EventKey::stored(&self.key(event_id)).digest()
    }

    /// Returns the status of an event's ledger item, and its failure code if it has one.
    pub async fn state(&self, event_id: &str) -> Result<String, Box<dyn Error>> {
        let key = self.key(event_id);
        let status = self.aws.attribute(&key, "Status").await?;
        let code = self.aws.attribute(&key, "FailureCode").await?;
        let known: Vec<String> = [status, code].into_iter().flatten().collect();
        Ok(known.join(" "))
    }

    /// Returns the marks in order, as `attempt status`.
    pub fn marks(&self) -> Vec<String> {
        self.genesys
            .calls_to("PATCH", "/api/v2/")
            .iter()
            .filter_map(|call| mark(&call.body))
            .collect()
    }

    /// Returns the number of calls to the target.
    pub fn deliveries(&self) -> usize {
        self.genesys.calls_to("POST", "/targets/").len()
    }
}

/// Returns the mark in the body of a PATCH, in either form, as `attempt status`.
pub fn mark(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let flat = &body["attributes"];
    let nested = &flat["system"];
    let attempt = flat["system.retryAttempt"].as_str().map(str::to_owned);
    let attempt = attempt.or_else(|| Some(nested["retryAttempt"].as_u64()?.to_string()))?;
    let status = &flat["system.retryStatus"];
    let status = status.as_str().or_else(|| nested["retryStatus"].as_str())?;
    Some(format!("{attempt} {status}"))
}

/// The real adapters, with another ledger and target.
pub struct Parts<L, T>(PhantomData<(L, T)>);

impl<L: Ledger, T: Target> Ports for Parts<L, T> {
    type Ledger = L;
    type Genesys = GenesysClient;
    type Target = T;
    type Archive = S3Archive;
    type Queue = SqsQueue;
}

/// Returns the function with another ledger and target.
pub fn with_parts<L: Ledger, T: Target>(
    function: ReplayFunction,
    ledger: impl FnOnce(DynamoDbLedger) -> L,
    target: impl FnOnce(Targets) -> T,
) -> Replay<Parts<L, T>> {
    Replay {
        ledger: ledger(function.ledger),
        target: target(function.target),
        retry_state: function.retry_state,
        archive: function.archive,
        queue: function.queue,
        destination: function.destination,
        policy: function.policy,
        circuit_breakers: function.circuit_breakers,
        ledger_latency: function.ledger_latency,
        known_queues: function.known_queues,
        shutdown: function.shutdown,
        meter: function.meter,
        max_concurrency: function.max_concurrency,
        clock: function.clock,
        random: function.random,
    }
}

/// The time of an invocation in tests that are not about the deadline.
pub const AMPLE_TIME: Duration = Duration::from_secs(600);

/// Invokes a function with [`AMPLE_TIME`] before the deadline.
pub async fn invoke<P: Ports>(
    function: &Replay<P>,
    event: Value,
) -> Result<Answer, Box<dyn Error>> {
    invoke_within(function, event, AMPLE_TIME).await
}

/// Invokes a function with this time before the deadline.
pub async fn invoke_within<P: Ports>(
    function: &Replay<P>,
    event: Value,
    time: Duration,
) -> Result<Answer, Box<dyn Error>> {
    invoke_with(function, event, context(time)?).await
}

/// Invokes a function as part of a trace, with this tracing header.
pub async fn invoke_traced<P: Ports>(
    function: &Replay<P>,
    event: Value,
    header: &str,
) -> Result<Answer, Box<dyn Error>> {
    let mut context = context(AMPLE_TIME)?;
    context.xray_trace_id = Some(header.to_owned());
    invoke_with(function, event, context).await
}

/// Returns the context of an invocation with this time before its deadline.
fn context(time: Duration) -> Result<Context, Box<dyn Error>> {
    static INVOCATIONS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = INVOCATIONS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut context = Context::default();
    context.request_id = format!("request-{number}");
    context.deadline =
        u64::try_from((SystemTime::now().duration_since(UNIX_EPOCH)? + time).as_millis())?;
    Ok(context)
}

async fn invoke_with<P: Ports>(
    function: &Replay<P>,
    event: Value,
    context: Context,
) -> Result<Answer, Box<dyn Error>> {
    let event = serde_json::from_value(event)?;
    let metrics = Metrics::new(LogLevel::Info, Box::new(std::io::sink()));
    let answer = lambda::handle(function, &metrics, LambdaEvent::new(event, context)).await;
    Ok(answer.map(|answer| {
        let failures = answer.batch_item_failures.into_iter();
        failures.map(|failure| failure.item_identifier).collect()
    }))
}
