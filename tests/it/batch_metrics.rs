//! The metrics of a batch.

use std::io;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::message::{Message, MessageId};
use genesys_replay::meter::CounterSnapshot;
use genesys_replay::replay::{Outcome, RecordReport, RecordResult};
use genesys_replay_lambda::lambda::metrics::BatchFigures;
use genesys_replay_telemetry::LogLevel;
use genesys_replay_telemetry::metrics::Metrics;
use genesys_test_support::Page;
use serde_json::{Value, json};

fn handled(number: usize, outcome: Outcome) -> Option<RecordReport> {
    let id = MessageId::new(format!("m-{number}"))?;
    let message = Message::new(id, String::new());
    Some(RecordReport {
        message_id: message.id,
        receive_count: 1,
        event: None,
        result: RecordResult::from(outcome),
        duration: Duration::from_millis(number as u64),
    })
}

fn printed(records: usize, handled: &[RecordReport], level: LogLevel) -> io::Result<Vec<Value>> {
    let page = Page::default();
    let metrics = Metrics::new(level, Box::new(page.clone()));
    let figures = BatchFigures {
        at: Timestamp::from_millis(1_785_000_000_123),
        function: "replay-function",
        request_id: "request-1",
        xray_trace_id: None,
        records,
        handled,
        usage: CounterSnapshot {
            genesys_calls: 7,
            genesys_throttled: 2,
            genesys_held_back: 3,
            token_fetches: 1,
            tokens_throttled: 1,
            breakers_opened: 1,
            in_flight_near_limit: 1,
        },
        duration: Duration::from_millis(250),
    };
    figures.write(&metrics);
    let text = page.text();
    assert!(text.ends_with('\n'));
    page.lines()
}

#[test]
fn batch_metrics_have_the_format_of_cloudwatch() -> io::Result<()> {
    let batch: Vec<_> =
        handled(3, Outcome::Replayed).into_iter().chain(handled(4, Outcome::Duplicate)).collect();
    let documents = printed(3, &batch, LogLevel::Info)?;
    assert_eq!(documents.len(), 2);
    let (batch, category) = (&documents[0], &documents[1]);
    let header = &batch["_aws"];
    assert_eq!(header["Timestamp"], 1_785_000_000_123_u64);
    let directive = &header["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "GenesysReplay");
    assert_eq!(directive["Dimensions"], json!([["FunctionName"]]));
    assert_eq!(batch["FunctionName"], "replay-function");
    assert_eq!(batch["timestamp"], "2026-07-25T17:20:00.123Z");
    assert_eq!(batch["request_id"], "request-1");
    let defined = directive["Metrics"].as_array().cloned().unwrap_or_default();
    let values: Vec<_> = defined
        .iter()
        .map(|metric| {
            let name = metric["Name"].as_str().unwrap_or_default();
            format!("{name} {} {}", batch[name], metric["Unit"])
        })
        .collect();
    assert_eq!(
        values,
        [
            "Replayed 1 \"Count\"",
            "Duplicates 1 \"Count\"",
            "Archived 0 \"Count\"",
            "Deferred 0 \"Count\"",
            "Returned 0 \"Count\"",
            "NotAttempted 0 \"Count\"",
            "Records 3 \"Count\"",
            "PossibleDuplicates 0 \"Count\"",
            "Unrecorded 0 \"Count\"",
            "Expiring 0 \"Count\"",
            "NeedsOperator 0 \"Count\"",
            "GivenUp 0 \"Count\"",
            "Unaccounted 1 \"Count\"",
            "GenesysCalls 7 \"Count\"",
            "GenesysThrottled 2 \"Count\"",
            "GenesysHeldBack 3 \"Count\"",
            "TokenFetches 1 \"Count\"",
            "TokensThrottled 1 \"Count\"",
            "BreakersOpened 1 \"Count\"",
            "InFlightNearLimit 1 \"Count\"",
            "BatchDuration 250 \"Milliseconds\"",
            "RecordLatency [3,4] \"Milliseconds\"",
        ]
    );
    let directive = &category["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Dimensions"], json!([["FunctionName", "Category"]]));
    assert_eq!((&category["Category"], &category["Replayed"]), (&json!("NONE"), &json!(1)));
    assert!(category.get("Records").is_none());
    Ok(())
}

#[test]
fn metrics_level_is_the_configured_log_level() -> io::Result<()> {
    for level in LogLevel::ALL {
        let documents = printed(0, &[], level)?;
        assert_eq!(documents[0]["level"], level.as_str());
    }
    Ok(())
}

#[test]
fn metrics_document_has_at_most_100_values() -> io::Result<()> {
    let batch: Vec<_> = (0..250).filter_map(|number| handled(number, Outcome::Replayed)).collect();
    let documents = printed(250, &batch, LogLevel::Info)?;
    let latencies: Vec<&Vec<Value>> =
        documents.iter().filter_map(|document| document["RecordLatency"].as_array()).collect();
    let lengths: Vec<_> = latencies.iter().map(|values| values.len()).collect();
    assert_eq!(lengths, [100, 100, 50]);
    let all: Vec<_> = latencies.into_iter().flatten().filter_map(Value::as_u64).collect();
    assert_eq!(all, (0..250).collect::<Vec<u64>>());
    Ok(())
}
