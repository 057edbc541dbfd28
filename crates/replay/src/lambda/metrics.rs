//! The metrics of a batch: one document, and one for each category of first failures, since a document has one value
//! for each dimension.

use std::time::Duration;

use genesys_replay::clock::{Timestamp, millis};
use genesys_replay::meter::CounterSnapshot;
use genesys_replay::replay::{Counts, RecordReport};
use genesys_replay_telemetry::metrics::{
    Document, FUNCTION, MAX_VALUES, Metric, Metrics, Stamp, count, genesys,
};
use serde_json::json;

/// The dimension by which first failures are told apart.
pub const CATEGORY: &str = "Category";

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
    pub handled: &'b [RecordReport],
    /// What it cost upstream.
    pub usage: CounterSnapshot,
    /// How long it took.
    pub duration: Duration,
}

impl BatchFigures<'_> {
    /// Writes the documents of the batch: one for the batch, one for each category of first failures, and more
    /// where a metric has more values than fit into one document.
    pub fn write(&self, metrics: &Metrics) {
        let stamp = Stamp {
            at: self.at,
            request_id: Some(self.request_id),
            xray_trace_id: self.xray_trace_id,
        };
        metrics.write(&stamp, documents(self));
    }
}

fn documents<'b>(batch: &BatchFigures<'b>) -> Vec<Document<'b>> {
    // What was not attempted took no time, and would hide what the others took.
    let attempted = batch
        .handled
        .iter()
        .filter(|it| it.result.outcome.was_attempted());
    let latencies: Vec<u64> = attempted.map(|it| millis(it.duration)).collect();
    let mut latencies = latencies.chunks(MAX_VALUES);
    let document = |message, dimensions, metrics| Document {
        message,
        dimensions,
        metrics,
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
