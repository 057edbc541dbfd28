//! The metrics of a batch: one document for the batch, and one for each category of first failures. They are
//! separate, because a document has one value for each dimension.

use std::time::Duration;

use genesys_replay::clock::{Timestamp, millis};
use genesys_replay::meter::CounterSnapshot;
use genesys_replay::replay::{Counts, RecordReport};
use genesys_replay_telemetry::metrics::{
    EmfDocument, FUNCTION, MAX_VALUES, Metric, Metrics, Stamp, count, genesys,
};
use serde_json::json;

/// The dimension that distinguishes categories of first failures.
pub const CATEGORY: &str = "Category";

/// The figures of one batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchFigures<'b> {
    /// The end of the batch.
    pub at: Timestamp,
    /// The function's name.
    pub function: &'b str,
    /// The invocation's id.
    pub request_id: &'b str,
    /// The trace's id, if there is one.
    pub xray_trace_id: Option<&'b str>,
    /// The number of records.
    pub records: usize,
    /// The reports of the records.
    pub handled: &'b [RecordReport],
    /// The upstream calls of the batch.
    pub usage: CounterSnapshot,
    /// The duration of the batch.
    pub duration: Duration,
}

impl BatchFigures<'_> {
    /// Writes the documents: one for the batch, and one for each category of first failures. If a metric has
    /// more values than one document can hold, more documents follow.
    pub fn write(&self, metrics: &Metrics) {
        let stamp = Stamp {
            at: self.at,
            request_id: Some(self.request_id),
            xray_trace_id: self.xray_trace_id,
        };
        metrics.write(&stamp, documents(self));
    }
}

fn documents<'b>(batch: &BatchFigures<'b>) -> Vec<EmfDocument<'b>> {
    // Records that were not attempted took no time, and would distort the latencies.
    let attempted = batch.handled.iter().filter(|it| it.result.outcome.was_attempted());
    let latencies: Vec<u64> = attempted.map(|it| millis(it.duration)).collect();
    let mut latencies = latencies.chunks(MAX_VALUES);
    let document = |message, dimensions, metrics| EmfDocument { message, dimensions, metrics };
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
        count("InFlightNearLimit", usage.in_flight_near_limit),
        ("BatchDuration", "Milliseconds", millis(batch.duration).into()),
    ]);
    metrics
}
