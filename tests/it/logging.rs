//! The log lines of the real program, and the texts that they must not contain.

use std::collections::BTreeSet;

use genesys_replay::failure::FailureCode;
use genesys_stand_in::Fault;
use genesys_test_support::{
    Function, Invocation, Record, ReplayHarness, TestResult, are_documented, event, root,
};
use serde_json::{Value, json};

#[tokio::test]
async fn log_has_one_json_line_per_record_and_no_payload_or_secret() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("AWS_LAMBDA_LOG_LEVEL", "TRACE");
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    let records = [
        Record::dead_letter("m-1", "e-1", "c-1").received(3),
        Record::new("m-2", "tel:+4930123456 is not json"),
    ];
    function.invoke(event(&records)).await?;
    let printed = function.end().await?;
    assert_eq!(printed.stderr, "");
    for secret in ["tel:+49", "demo-secret", "stand-in-token", "Basic ", "eventBody"] {
        assert!(!printed.stdout.contains(secret), "{secret} in {}", printed.stdout);
    }
    let lines = printed.lines()?;
    for line in &lines {
        let timestamp = line["timestamp"].as_str().unwrap_or_default();
        assert!(timestamp.contains('T') && timestamp.ends_with('Z'), "{line}");
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    let of = |message_id: &str| {
        lines
            .iter()
            .filter(|line| {
                line["message"] == "dead letter handled" && line["message_id"] == message_id
            })
            .collect::<Vec<_>>()
    };
    let (good, bad) = (of("m-1"), of("m-2"));
    assert_eq!((good.len(), bad.len()), (1, 1));
    for (field, value) in [
        ("outcome", json!("replayed")),
        ("event_id", json!("e-1")),
        ("interaction_id", json!("c-1")),
        ("topic", json!("v2.detail.events.conversation.{id}.customer.end")),
        ("category", json!("ENDPOINT_UNREACHABLE")),
        ("attempt", json!(1)),
        ("receive_count", json!(3)),
        ("target", json!(format!("{}/targets/crm", harness.genesys.url()))),
        ("level", json!("INFO")),
    ] {
        assert_eq!(good[0][field], value, "{field}");
    }
    assert!(good[0]["duration_ms"].is_u64());
    for line in good.iter().chain(&bad) {
        assert_eq!(line["request_id"], "request-1");
        assert_eq!(line["xray_trace_id"], "1-5bef4de7-ad49b0e87f6ef6c87fc2e700");
    }
    assert!(good[0].get("what_to_do").is_none());
    let what_to_do = FailureCode::NotAnEvent.what_to_do();
    assert_eq!(bad[0]["what_to_do"], what_to_do);
    assert_eq!(bad[0]["outcome"], "returned");
    assert_eq!(bad[0]["failure_code"], "NOT_AN_EVENT");
    assert_eq!(bad[0]["level"], "WARN");
    let batch =
        lines.iter().find(|line| line["message"] == "batch handled").ok_or("no batch line")?;
    assert_eq!(
        (&batch["records"], &batch["replayed"], &batch["returned"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let started = lines.iter().find(|line| line["message"] == "started").ok_or("no start line")?;
    assert_eq!(started["version"], genesys_replay_version::VERSION);
    assert!(
        lines.iter().any(|line| line["level"] == "WARN" && line["setting"] == "REPLAY_TARGET"),
        "plain http is warned of"
    );
    Ok(())
}

/// The members of a body that a log line may contain: ids, types and addresses.
const MAY_BE_LOGGED: &[&str] =
    &["id", "detail-type", "conversationId", "interactionId", "callId", "functionArn", "targetArn"];

/// Returns the texts of a body, and of the JSON texts inside it, that no log line may contain.
fn confidential(name: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                confidential(name, value, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                confidential(name, item, found);
            }
        }
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => confidential(name, &inner, found),
            // Shorter texts are common words.
            Ok(_) | Err(_) if text.len() >= 8 && !MAY_BE_LOGGED.contains(&name) => {
                found.insert(text.clone());
            }
            Ok(_) | Err(_) => {}
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[tokio::test]
async fn log_has_no_payload_of_any_sample_event() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("AWS_LAMBDA_LOG_LEVEL", "TRACE");
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    let mut forbidden: BTreeSet<String> =
        ["demo-secret", "stand-in-token", "Basic ", "Bearer "].map(str::to_owned).into();
    let folder = root().join("events");
    let (mut samples, mut records) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let event: Value = serde_json::from_slice(&std::fs::read(entry?.path())?)?;
        if event["Records"].is_null() {
            // A request for ingest.
            continue;
        }
        for record in event["Records"].as_array().into_iter().flatten() {
            let body = &record["body"];
            let body = body.as_str().ok_or("a body is not text")?;
            match serde_json::from_str(body) {
                Ok(json) => confidential("", &json, &mut forbidden),
                Err(_) => {
                    forbidden.insert(body.to_owned());
                }
            }
            records += 1;
        }
        let answer = function.invoke(event).await?;
        assert!(matches!(answer, Invocation::Response(_)), "{answer:?}");
        samples += 1;
    }
    let printed = function.end().await?;
    let lines = printed.lines()?;
    are_documented(&lines)?;
    let handled = lines.iter().filter(|line| line["message"] == "dead letter handled");
    assert_eq!(handled.count(), records, "of {samples} sample events");
    let told: BTreeSet<_> =
        lines.iter().filter_map(|line| line["archived_as"].as_str().map(str::to_owned)).collect();
    let there = harness.aws.objects(&bucket).await?.into_iter();
    let there: BTreeSet<_> = there.map(|(key, _)| format!("s3://{bucket}/{key}")).collect();
    assert_eq!(told, there, "the addresses of archived objects");
    assert!(!told.is_empty());
    assert!(forbidden.len() > 50, "{forbidden:?}");
    for text in forbidden {
        for line in &lines {
            // A line may contain the target and the ids of an event, and the address of a payload in S3.
            let is_pointer = line["failure_code"] == "PAYLOAD_OFFLOADED";
            let address = is_pointer.then_some("reason");
            let said = ["target", "topic", "event_id", "interaction_id"]
                .into_iter()
                .chain(address)
                .any(|field| line[field].as_str().is_some_and(|value| value.contains(&text)));
            assert!(said || !line.to_string().contains(&text), "{text} in {line}");
        }
    }
    assert_eq!(printed.stderr, "");
    Ok(())
}

#[tokio::test]
async fn log_has_the_metrics_of_each_batch() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    for records in [
        vec![
            Record::dead_letter("m-1", "e-1", "c-1"),
            Record::dead_letter("m-2", "e-1", "c-1"),
            Record::new("m-3", "not json"),
        ],
        vec![Record::dead_letter("m-4", "e-4", "c-4")],
    ] {
        function.invoke(event(&records)).await?;
    }
    let lines = function.end().await?.lines()?;
    let documents = |message: &str| -> Vec<&Value> {
        let documents = lines.iter().filter(|line| line.get("_aws").is_some());
        documents.filter(|line| line["message"] == message).collect()
    };
    let batches = documents("batch metrics");
    let counted = |name: &str| -> Vec<Option<u64>> {
        batches.iter().map(|batch| batch[name].as_u64()).collect()
    };
    for (name, values) in [
        ("Records", [3, 1]),
        ("Replayed", [1, 1]),
        ("Duplicates", [1, 0]),
        ("Returned", [1, 0]),
        ("Unaccounted", [0, 0]),
        // A token, then GET and two PATCHes per replay.
        ("GenesysCalls", [4, 3]),
        ("TokenFetches", [1, 0]),
        ("GenesysThrottled", [0, 0]),
    ] {
        assert_eq!(counted(name), values.map(Some), "{name}");
    }
    assert_eq!(batches[0]["FunctionName"], "replay");
    assert_eq!(batches[0]["request_id"], "request-1");
    assert_eq!(batches[0]["RecordLatency"].as_array().map(Vec::len), Some(3));
    let split: Vec<_> = documents("category metrics")
        .iter()
        .map(|it| format!("{} {} {}", it["Category"], it["Replayed"], it["Returned"]))
        .collect();
    assert_eq!(
        split,
        ["\"ENDPOINT_UNREACHABLE\" 1 0", "\"NONE\" 0 1", "\"ENDPOINT_UNREACHABLE\" 1 0",]
    );
    Ok(())
}

#[tokio::test]
async fn log_has_no_text_of_upstream_responses() -> TestResult {
    const CONFIDENTIAL: &str = "tel:+4915112345";
    let quoting = format!(r#"{{"message":"{CONFIDENTIAL}","error_description":"{CONFIDENTIAL}"}}"#);
    for (method, path, status) in [
        ("POST", "/targets/", 500),
        ("POST", "/targets/", 403),
        ("POST", "/targets/", 422),
        ("POST", "/oauth/token", 400),
        ("GET", "/api/v2/", 200),
        ("GET", "/api/v2/", 400),
        ("GET", "/api/v2/", 403),
        ("PATCH", "/api/v2/", 429),
        ("PATCH", "/api/v2/", 500),
    ] {
        let mut harness = ReplayHarness::start().await?;
        harness.set("AWS_LAMBDA_LOG_LEVEL", "TRACE");
        let fault = Fault::on(method, path).status(status).body(&quoting);
        harness.genesys.fault(fault);
        let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
        let record = Record::dead_letter("m-1", "e-1", "c-1");
        let record = record.with("ERROR_MESSAGE", &format!("400 with payload: {quoting}"));
        function.invoke(event(&[record])).await?;
        let printed = function.end().await?;
        assert!(printed.stdout.contains("dead letter handled"));
        assert!(
            !printed.stdout.contains(CONFIDENTIAL) && !printed.stderr.contains(CONFIDENTIAL),
            "{method} {path} {status}: {}",
            printed.stdout
        );
    }
    Ok(())
}

#[tokio::test]
async fn log_has_a_line_per_retried_attempt() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let fault = Fault::on("POST", "/targets/").status(503).times(1);
    harness.genesys.fault(fault);
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    let records = [Record::dead_letter("m-1", "e-1", "c-1")];
    function.invoke(event(&records)).await?;
    let lines = function.end().await?.lines()?;
    let line = lines
        .iter()
        .find(|line| line["message"] == "attempt failed, retry follows")
        .ok_or("no line")?;
    for (field, value) in [
        ("message_id", json!("m-1")),
        ("event_id", json!("e-1")),
        ("failure_code", json!("TARGET_UNAVAILABLE")),
        ("attempt", json!(1)),
        ("delay_ms", json!(0)),
    ] {
        assert_eq!(line[field], value, "{field} in {line}");
    }
    Ok(())
}

#[tokio::test]
async fn log_has_metrics_and_errors_at_every_level() -> TestResult {
    for level in ["WARN", "ERROR"] {
        let mut harness = ReplayHarness::start().await?;
        harness.set("AWS_LAMBDA_LOG_LEVEL", level);
        let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
        function.invoke(event(&[])).await?;
        let mut nameless = Record::dead_letter("x", "e-1", "c-1");
        nameless.0["messageId"] = json!(null);
        function.invoke(event(&[nameless])).await?;
        let lines = function.end().await?.lines()?;
        let refused: Vec<_> = lines
            .iter()
            .filter(|line| line["message"] == "batch refused")
            .map(|line| (&line["level"], &line["request_id"]))
            .collect();
        assert_eq!(refused, [(&json!("ERROR"), &json!("request-1"))]);
        let metrics: Vec<_> = lines
            .iter()
            .filter(|line| line.get("_aws").is_some())
            .map(|line| &line["level"])
            .collect();
        assert_eq!(metrics, [level]);
    }
    Ok(())
}

#[tokio::test]
async fn batch_is_answered_when_nobody_reads_the_log() -> TestResult {
    const RECORDS: usize = 300;
    let mut harness = ReplayHarness::start().await?;
    harness.set("RETRY_STATE", "off");
    let mut function =
        Function::start_unread(crate::REPLAY, harness.settings(), &harness.aws).await?;
    let records: Vec<_> = (0..RECORDS)
        .map(|number| Record::dead_letter(&format!("m-{number}"), &format!("e-{number}"), "c-1"))
        .collect();
    // The lines of a batch are longer than the pipe.
    for _ in 0..2 {
        let answer = function.invoke(event(&records)).await?;
        assert!(matches!(answer, Invocation::Response(_)), "{answer:?}");
    }
    function.read_output();
    function.invoke(event(&[Record::dead_letter("m-x", "e-x", "c-1")])).await?;
    function.terminate()?;
    let (_, printed) = function.ended().await?;
    let lines = printed.lines()?;
    are_documented(&lines)?;
    let dropped = lines.iter().filter(|line| line["message"] == "log lines dropped");
    let dropped: u64 = dropped.filter_map(|line| line["lines"].as_u64()).sum();
    assert!(dropped > 0);
    let records = lines.iter().filter(|line| line["message"] == "record");
    assert!(records.count() < 2 * RECORDS + 1, "dropped lines are not written later");
    Ok(())
}
