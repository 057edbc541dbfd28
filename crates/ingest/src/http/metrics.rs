//! The metrics of ingest.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_replay::clock::{Timestamp, millis};
use genesys_replay::meter::CounterSnapshot;
use genesys_replay_telemetry::metrics::{
    Document, FUNCTION, MAX_VALUES, Metric, Metrics, Stamp, count, genesys,
};
use serde_json::json;

/// When requests are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each for itself: a Lambda function may be frozen after any of them.
    EachRequest,
    /// As many together as one document can hold, or what somebody flushes before.
    Together,
}

/// Counts requests until they are written.
pub struct IngestMetrics {
    metrics: Metrics,
    function: String,
    pace: Pace,
    tally: Mutex<Tally>,
}

/// One request, as metrics tell of it.
#[derive(Clone, Copy, Debug)]
pub struct RequestFigures {
    /// The status of its answer.
    pub status: u16,
    /// Whether it was queued with a mark.
    pub is_malformed: bool,
    /// How long it took.
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
    /// Metrics of the function with this name.
    #[must_use]
    pub fn new(metrics: Metrics, function: String, pace: Pace) -> Self {
        Self {
            metrics,
            function,
            pace,
            tally: Mutex::default(),
        }
    }

    /// Counts a request; `true` when it is time to write.
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

    /// Writes what was counted, if there was anything.
    pub fn flush(&self, at: Timestamp, usage: CounterSnapshot) {
        let tally = std::mem::take(&mut *self.tally());
        if tally.latencies.is_empty() {
            return;
        }
        let stamp = Stamp {
            at,
            request_id: None,
            xray_trace_id: None,
        };
        let documents = tally.documents(usage).into_iter().map(|metrics| Document {
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
    /// The metrics of one document each: requests that end while others are written may be more than fit into one.
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
        std::iter::once(whole)
            .chain(latencies.map(|values| vec![latency(values)]))
            .collect()
    }
}
