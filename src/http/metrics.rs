//! The metrics of ingest.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::clock::{Timestamp, millis};
use crate::meter::Usage;
use crate::telemetry::metrics::{
    Document, FUNCTION, MOST_VALUES, Metric, Metrics, Stamp, count, genesys,
};

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
        self.pace == Pace::EachRequest || tally.latencies.len() >= MOST_VALUES
    }

    /// Writes what was counted, if there was anything.
    pub fn flush(&self, at: Timestamp, usage: Usage) {
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
    fn documents(&self, usage: Usage) -> Vec<Vec<Metric>> {
        let mut latencies = self.latencies.chunks(MOST_VALUES);
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

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::Value;

    use super::*;
    use crate::lambda::metrics::tests::Page;
    use crate::telemetry::LogLevel;

    fn requests(metrics: &IngestMetrics, statuses: &[u16]) -> Vec<bool> {
        let request = |status: &u16| RequestFigures {
            status: *status,
            is_malformed: false,
            duration: Duration::from_millis((*status).into()),
        };
        statuses
            .iter()
            .map(|status| metrics.count(&request(status)))
            .collect()
    }

    fn metrics(kept: Pace) -> (IngestMetrics, Page) {
        let page = Page::default();
        let metrics = Metrics::new(LogLevel::Warn, Box::new(page.clone()));
        (
            IngestMetrics::new(metrics, "ingest-1".to_owned(), kept),
            page,
        )
    }

    const AT: Timestamp = Timestamp::from_millis(1_785_000_000_123);

    #[test]
    fn requests_are_counted_by_what_their_senders_were_told() -> Result<(), io::Error> {
        let (metrics, page) = metrics(Pace::Together);
        let due = requests(&metrics, &[200, 200, 401, 400, 404, 422, 500, 503]);
        assert_eq!(due, [false; 8]);
        let malformed = RequestFigures {
            status: 200,
            is_malformed: true,
            duration: Duration::from_millis(1),
        };
        assert!(!metrics.count(&malformed));
        let usage = Usage {
            genesys_calls: 7,
            ..Usage::default()
        };
        metrics.flush(AT, usage);
        metrics.flush(AT, usage);
        let lines = page.lines()?;
        assert_eq!(lines.len(), 1, "nothing happened since");
        let line = &lines[0];
        for (name, value) in [
            ("Requests", 9),
            ("Accepted", 3),
            ("Unauthenticated", 1),
            ("Refused", 3),
            ("Unavailable", 2),
            ("MalformedKept", 1),
            ("GenesysCalls", 7),
            ("TokenFetches", 0),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        assert_eq!(line["FunctionName"], "ingest-1");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["RequestLatency"].as_array().map(Vec::len), Some(9));
        assert!(line.get("request_id").is_none());
        Ok(())
    }

    #[test]
    fn a_function_writes_each_request_and_a_server_what_fits_into_a_document()
    -> Result<(), io::Error> {
        let (each, _) = metrics(Pace::EachRequest);
        assert_eq!(requests(&each, &[200, 401]), [true; 2]);
        let (together, page) = metrics(Pace::Together);
        let due = requests(&together, &[200; 100]);
        assert_eq!(due.iter().position(|due| *due), Some(99));
        // More may have come before somebody writes.
        requests(&together, &[200; 30]);
        together.flush(AT, Usage::default());
        let lines = page.lines()?;
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["Requests"], 130);
        let latencies = |line: &Value| line["RequestLatency"].as_array().map_or(0, Vec::len);
        assert_eq!((latencies(&lines[0]), latencies(&lines[1])), (100, 30));
        assert!(lines[1].get("Requests").is_none());
        Ok(())
    }
}
