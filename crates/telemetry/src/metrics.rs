//! Metrics in `CloudWatch`'s Embedded Metric Format: JSON lines on stdout that `CloudWatch Logs` turns into
//! metrics, without a call.
//!
//! The format is one JSON object, so it is written by hand. The crates for it bring a process-wide recorder
//! or some sixty crates of their own.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use genesys_replay::clock::Timestamp;
use genesys_replay::meter::CounterSnapshot;
use serde_json::{Map, Value, json};

use super::LogLevel;

/// The namespace of all metrics.
pub const NAMESPACE: &str = "GenesysReplay";

/// The dimension that distinguishes functions.
pub const FUNCTION: &str = "FunctionName";

/// The maximum number of values of one metric in one document.
pub const MAX_VALUES: usize = 100;

/// The writer of metrics.
pub struct Metrics {
    /// Lambda drops lines below the configured level, so documents carry that level.
    level: LogLevel,
    out: Mutex<Box<dyn Write + Send>>,
}

impl Metrics {
    /// Creates a writer to `out`. Documents carry `level`, the least severe level that is logged.
    #[must_use]
    pub fn new(level: LogLevel, out: Box<dyn Write + Send>) -> Self {
        Self { level, out: Mutex::new(out) }
    }

    /// Writes documents, one line each. An error of `out` is ignored: stdout is then closed.
    pub fn write<'b>(
        &self,
        stamp: &Stamp<'b>,
        documents: impl IntoIterator<Item = EmfDocument<'b>>,
    ) {
        let mut lines = String::new();
        for document in documents {
            lines.push_str(&document.json(stamp, self.level).to_string());
            lines.push('\n');
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    }
}

/// A metric: name, unit and value (a number, or an array of at most [`MAX_VALUES`] numbers).
pub type Metric = (&'static str, &'static str, Value);

/// Returns a metric in the unit `Count`.
pub fn count(name: &'static str, value: impl Into<Value>) -> Metric {
    (name, "Count", value.into())
}

/// Returns the metrics of the calls to Genesys Cloud.
#[must_use]
pub fn genesys(usage: CounterSnapshot) -> [Metric; 5] {
    [
        count("GenesysCalls", usage.genesys_calls),
        count("GenesysThrottled", usage.genesys_throttled),
        count("GenesysHeldBack", usage.genesys_held_back),
        count("TokenFetches", usage.token_fetches),
        count("TokensThrottled", usage.tokens_throttled),
    ]
}

/// The time and the origin of documents.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'b> {
    /// The time of the metrics.
    pub at: Timestamp,
    /// The id of the invocation, if one invocation caused the document.
    pub request_id: Option<&'b str>,
    /// The id of the trace, if there is one.
    pub xray_trace_id: Option<&'b str>,
}

/// One document: metrics with the same dimensions.
#[derive(Clone, Debug)]
pub struct EmfDocument<'b> {
    /// The member `message`, which identifies the document among log lines.
    pub message: &'static str,
    /// The names and values of the dimensions.
    pub dimensions: Vec<(&'static str, &'b str)>,
    /// The metrics.
    pub metrics: Vec<Metric>,
}

impl EmfDocument<'_> {
    fn json(self, stamp: &Stamp<'_>, level: LogLevel) -> Value {
        let names: Vec<_> = self.dimensions.iter().map(|(name, _)| *name).collect();
        let definitions: Vec<_> = self
            .metrics
            .iter()
            .map(|(name, unit, _)| json!({ "Name": name, "Unit": unit }))
            .collect();
        let directive =
            json!({ "Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions });
        let header = json!({ "Timestamp": stamp.at.as_millis(), "CloudWatchMetrics": [directive] });
        let line = BTreeMap::from([
            ("_aws", header),
            ("timestamp", stamp.at.to_string().into()),
            ("level", level.as_str().into()),
            ("message", self.message.into()),
        ]);
        let request = stamp.request_id.map(|id| ("request_id", id.into()));
        let trace = stamp.xray_trace_id.map(|id| ("xray_trace_id", id.into()));
        let dimensions = self.dimensions.into_iter();
        let metrics = self.metrics.into_iter();
        let members: Map<String, Value> = line
            .into_iter()
            .chain(request)
            .chain(trace)
            .chain(dimensions.map(|(name, value)| (name, value.into())))
            .chain(metrics.map(|(name, _, value)| (name, value)))
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        members.into()
    }
}
