//! The metrics of ingest.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_replay::clock::{Timestamp, millis};
use genesys_replay::meter::CounterSnapshot;
use genesys_replay_telemetry::metrics::{
    EmfDocument, FUNCTION, MAX_VALUES, Metric, Metrics, Stamp, count, genesys,
};
use serde_json::json;

/// The time at which the metrics of requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// After each request, because a Lambda function may be frozen after any request.
    EachRequest,
    /// After as many requests as one document can hold, or at an earlier flush.
    Together,
}

/// Counts requests until they are written.
pub struct IngestMetrics {
    metrics: Metrics,
    function: String,
    pace: Pace,
    tally: Mutex<Tally>,
}

/// The figures of one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestFigures {
    /// The status of the answer.
    pub status: u16,
    /// True if the event was queued and flagged as malformed.
    pub is_malformed: bool,
    /// The time that the request took.
    pub duration: Duration,
}

#[derive(Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    unauthenticated: u64,
    unavailable: u64,
    malformed_kept: u64,
    latencies: Vec<u64>,
}

impl IngestMetrics {
    /// Creates the metrics of the function with this name.
    #[must_use]
    pub fn new(metrics: Metrics, function: String, pace: Pace) -> Self {
        Self { metrics, function, pace, tally: Mutex::default() }
    }

    /// Counts a request; returns true if the metrics must be written now.
    #[must_use]
    pub fn count(&self, request: &RequestFigures) -> bool {
        let mut tally = self.tally();
        match request.status {
            0..400 => tally.accepted += 1,
            401 => tally.unauthenticated += 1,
            400..500 => tally.refused += 1,
            500.. => tally.unavailable += 1,
        }
        tally.malformed_kept += u64::from(request.is_malformed);
        tally.latencies.push(millis(request.duration));
        self.pace == Pace::EachRequest || tally.latencies.len() >= MAX_VALUES
    }

    /// Writes the counted requests, if there are any.
    pub fn flush(&self, at: Timestamp, usage: CounterSnapshot) {
        let tally = std::mem::take(&mut *self.tally());
        if tally.latencies.is_empty() {
            return;
        }
        let stamp = Stamp { at, request_id: None, xray_trace_id: None };
        let documents = tally.documents(usage).into_iter().map(|metrics| EmfDocument {
            message: "request metrics",
            dimensions: vec![(FUNCTION, self.function.as_str())],
            metrics,
        });
        self.metrics.write(&stamp, documents);
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// Returns the metrics, one list per document. Requests that end during a write may exceed the limit of one
    /// document.
    fn documents(&self, usage: CounterSnapshot) -> Vec<Vec<Metric>> {
        let mut latencies = self.latencies.chunks(MAX_VALUES);
        let latency = |values: &[u64]| ("RequestLatency", "Milliseconds", json!(values));
        let mut whole = vec![
            count("Requests", self.latencies.len()),
            count("Accepted", self.accepted),
            count("Refused", self.refused),
            count("Unauthenticated", self.unauthenticated),
            count("Unavailable", self.unavailable),
            count("MalformedKept", self.malformed_kept),
        ];
        whole.extend(genesys(usage));
        whole.extend(latencies.next().map(latency));
        std::iter::once(whole).chain(latencies.map(|values| vec![latency(values)])).collect()
    }
}
