//! The metrics of ingest.

use std::io;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::meter::CounterSnapshot;
use genesys_replay_ingest::http::metrics::{IngestMetrics, Pace, RequestFigures};
use genesys_replay_telemetry::LogLevel;
use genesys_replay_telemetry::metrics::Metrics;
use genesys_test_support::Page;
use serde_json::Value;

fn requests(metrics: &IngestMetrics, statuses: &[u16]) -> Vec<bool> {
    let request = |status: &u16| RequestFigures {
        status: *status,
        is_malformed: false,
        duration: Duration::from_millis((*status).into()),
    };
    statuses.iter().map(|status| metrics.count(&request(status))).collect()
}

fn metrics(kept: Pace) -> (IngestMetrics, Page) {
    let page = Page::default();
    let metrics = Metrics::new(LogLevel::Warn, Box::new(page.clone()));
    (IngestMetrics::new(metrics, "ingest-1".to_owned(), kept), page)
}

const AT: Timestamp = Timestamp::from_millis(1_785_000_000_123);

#[test]
fn request_metrics_count_by_response_status() -> Result<(), io::Error> {
    let (metrics, page) = metrics(Pace::Together);
    let due = requests(&metrics, &[200, 200, 401, 400, 404, 422, 500, 503]);
    assert_eq!(due, [false; 8]);
    let malformed =
        RequestFigures { status: 200, is_malformed: true, duration: Duration::from_millis(1) };
    assert!(!metrics.count(&malformed));
    let usage = CounterSnapshot { genesys_calls: 7, ..CounterSnapshot::default() };
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
fn metrics_are_written_per_request_in_lambda_else_per_document() -> Result<(), io::Error> {
    let (each, _) = metrics(Pace::EachRequest);
    assert_eq!(requests(&each, &[200, 401]), [true; 2]);
    let (together, page) = metrics(Pace::Together);
    let due = requests(&together, &[200; 100]);
    assert_eq!(due.iter().position(|due| *due), Some(99));
    // More requests may come before the metrics are written.
    requests(&together, &[200; 30]);
    together.flush(AT, CounterSnapshot::default());
    let lines = page.lines()?;
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["Requests"], 130);
    let latencies = |line: &Value| line["RequestLatency"].as_array().map_or(0, Vec::len);
    assert_eq!((latencies(&lines[0]), latencies(&lines[1])), (100, 30));
    assert!(lines[1].get("Requests").is_none());
    Ok(())
}
