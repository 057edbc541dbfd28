//! Metrics in `CloudWatch`'s Embedded Metric Format: JSON lines on stdout that `CloudWatch Logs`
//! turns into metrics, without a call.
//!
//! Of the replay function one document a batch, and one for each category of first failures in it: a document has one
//! value for each dimension. Written by hand: it is one JSON object, and the crates for it bring a
//! recorder for the whole process or some sixty crates of their own.

mod ingest;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::meter::Usage;
use crate::replay::{Counts, Handled};

use super::{LogLevel, millis};

pub use ingest::{IngestMetrics, Pace, RequestFigures};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "GenesysReplay";

/// The dimension by which functions are told apart.
pub const FUNCTION: &str = "FunctionName";

/// The dimension by which first failures are told apart.
pub const CATEGORY: &str = "Category";

/// The most values that a metric may have in one document.
const MOST_VALUES: usize = 100;

/// Writes metrics.
pub struct Metrics {
    /// Lambda drops lines below the configured level, so documents carry that level.
    level: LogLevel,
    out: Mutex<Box<dyn Write + Send>>,
}

/// One batch, as metrics tell of it.
#[derive(Clone, Copy, Debug)]
pub struct BatchFigures<'b> {
    /// When it ended.
    pub at: Timestamp,
    /// The function's name.
    pub function: &'b str,
    /// The invocation's id.
    pub request_id: &'b str,
    /// The trace's id, if there is one.
    pub xray_trace_id: Option<&'b str>,
    /// How many records it had.
    pub records: usize,
    /// What became of them.
    pub handled: &'b [Handled],
    /// What it cost upstream.
    pub usage: Usage,
    /// How long it took.
    pub duration: Duration,
}

impl Metrics {
    /// Metrics that go to `out`, with lines of the least severe level that is logged.
    #[must_use]
    pub fn new(level: LogLevel, out: Box<dyn Write + Send>) -> Self {
        Self {
            level,
            out: Mutex::new(out),
        }
    }

    /// Writes the documents of a batch.
    pub fn record(&self, batch: &BatchFigures<'_>) {
        self.write(&documents(batch, self.level));
    }

    fn write(&self, documents: &[Value]) {
        let mut lines = String::new();
        for document in documents {
            lines.push_str(&document.to_string());
            lines.push('\n');
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody is left to tell when stdout is closed.
        let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    }
}

fn documents(batch: &BatchFigures<'_>, level: LogLevel) -> Vec<Value> {
    // What was not attempted took no time, and would hide what the others took.
    let attempted = batch
        .handled
        .iter()
        .filter(|it| it.verdict.outcome.was_begun());
    let latencies: Vec<u64> = attempted.map(|it| millis(it.duration)).collect();
    let mut latencies = latencies.chunks(MOST_VALUES);
    let stamp = Stamp {
        at: batch.at,
        request_id: Some(batch.request_id),
        xray_trace_id: batch.xray_trace_id,
    };
    let document = |message, dimensions, metrics| {
        let document = Document {
            message,
            dimensions,
            metrics,
        };
        document.written(&stamp, level)
    };
    let function = || vec![(FUNCTION, batch.function)];
    let mut whole = totals(batch);
    whole.extend(latencies.next().map(latency));
    let mut documents = vec![document("batch metrics", function(), whole)];
    for (category, counts) in Counts::by_category(batch.handled) {
        let mut dimensions = function();
        dimensions.push((CATEGORY, category));
        documents.push(document("category metrics", dimensions, outcomes(&counts)));
    }
    for more in latencies {
        documents.push(document("more latencies", function(), vec![latency(more)]));
    }
    documents
}

type Metric = (&'static str, &'static str, Value);

fn count(name: &'static str, value: impl Into<Value>) -> Metric {
    (name, "Count", value.into())
}

fn latency(values: &[u64]) -> Metric {
    ("RecordLatency", "Milliseconds", json!(values))
}

fn outcomes(counts: &Counts) -> Vec<Metric> {
    vec![
        count("Replayed", counts.replayed),
        count("Duplicates", counts.duplicates),
        count("Archived", counts.archived),
        count("Deferred", counts.deferred),
        count("Returned", counts.returned),
        count("NotAttempted", counts.not_attempted),
    ]
}

fn totals(batch: &BatchFigures<'_>) -> Vec<Metric> {
    let counts = Counts::of(batch.handled);
    let usage = batch.usage;
    let mut metrics = outcomes(&counts);
    metrics.extend([
        count("Records", batch.records),
        count("PossibleDuplicates", counts.possible_duplicates),
        count("Unrecorded", counts.unrecorded),
        count("Expiring", counts.expiring),
        count("NeedsOperator", counts.needs_operator),
        count("GivenUp", counts.given_up),
        count("Unaccounted", counts.unaccounted(batch.records)),
    ]);
    metrics.extend(genesys(usage));
    metrics.extend([
        count("BreakersOpened", usage.breakers_opened),
        (
            "BatchDuration",
            "Milliseconds",
            millis(batch.duration).into(),
        ),
    ]);
    metrics
}

/// What was asked of Genesys Cloud.
fn genesys(usage: Usage) -> [Metric; 5] {
    [
        count("GenesysCalls", usage.genesys_calls),
        count("GenesysThrottled", usage.genesys_throttled),
        count("GenesysHeldBack", usage.genesys_held_back),
        count("TokenFetches", usage.token_fetches),
        count("TokensThrottled", usage.tokens_throttled),
    ]
}

/// When and where a document was made.
#[derive(Clone, Copy)]
struct Stamp<'b> {
    at: Timestamp,
    request_id: Option<&'b str>,
    xray_trace_id: Option<&'b str>,
}

/// What differs between documents.
struct Document<'b> {
    message: &'static str,
    dimensions: Vec<(&'static str, &'b str)>,
    metrics: Vec<Metric>,
}

impl Document<'_> {
    fn written(self, stamp: &Stamp<'_>, level: LogLevel) -> Value {
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

#[cfg(test)]
mod tests;
