//! The real program between the Runtime API and the local AWS.

use serde_json::{Value, json};

use crate::support::{Function, Invocation, Record, TestResult, World, event};

#[tokio::test]
async fn the_program_answers_with_exactly_what_must_come_back() -> TestResult {
    let world = World::start().await?;
    let mut function = Function::start(world.settings(), &world.aws).await?;
    let records = [
        Record::dead_letter("m-1", "e-1", "c-1"),
        Record::new("m-2", "not json"),
        Record::dead_letter("m-3", "e-3", "c-3"),
    ];
    let answer = function.invoke(event(&records)).await?;
    let expected = json!({ "batchItemFailures": [{ "itemIdentifier": "m-2" }] });
    assert!(
        matches!(&answer, Invocation::Response(response) if *response == expected),
        "{answer:?}"
    );

    let answer = function.invoke(json!({ "Records": [] })).await?;
    let expected = json!({ "batchItemFailures": [] });
    assert!(
        matches!(&answer, Invocation::Response(response) if *response == expected),
        "{answer:?}"
    );
    assert_eq!(world.deliveries(), 2);
    Ok(())
}

#[tokio::test]
async fn it_logs_one_json_line_a_record_and_neither_payload_nor_secret() -> TestResult {
    let mut world = World::start().await?;
    world.set("AWS_LAMBDA_LOG_LEVEL", "TRACE");
    let mut function = Function::start(world.settings(), &world.aws).await?;
    let records = [
        Record::dead_letter("m-1", "e-1", "c-1").received(3),
        Record::new("m-2", "tel:+4930123456 is not json"),
    ];
    function.invoke(event(&records)).await?;
    let printed = function.end().await?;
    assert_eq!(printed.stderr, "");
    for secret in [
        "tel:+49",
        "demo-secret",
        "stand-in-token",
        "Basic ",
        "eventBody",
    ] {
        assert!(
            !printed.stdout.contains(secret),
            "{secret} in {}",
            printed.stdout
        );
    }
    let lines = printed
        .stdout
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Value>, _>>()?;
    for line in &lines {
        let timestamp = line["timestamp"].as_str().unwrap_or_default();
        assert!(
            timestamp.contains('T') && timestamp.ends_with('Z'),
            "{line}"
        );
        assert!(
            line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
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
        (
            "topic",
            json!("v2.detail.events.conversation.{id}.customer.end"),
        ),
        ("category", json!("ENDPOINT_UNREACHABLE")),
        ("attempt", json!(1)),
        ("receive_count", json!(3)),
        (
            "target",
            json!(format!("{}/targets/crm", world.genesys.url())),
        ),
        ("level", json!("INFO")),
    ] {
        assert_eq!(good[0][field], value, "{field}");
    }
    assert!(good[0]["duration_ms"].is_u64());
    assert_eq!(good[0]["span"]["request_id"], "request-1");
    assert_eq!(
        good[0]["span"]["xray_trace_id"],
        "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700"
    );
    assert_eq!(bad[0]["outcome"], "returned");
    assert_eq!(bad[0]["failure_code"], "NOT_AN_EVENT");
    assert_eq!(bad[0]["level"], "WARN");
    let batch = lines
        .iter()
        .find(|line| line["message"] == "batch handled")
        .ok_or("no batch line")?;
    assert_eq!(
        (&batch["records"], &batch["replayed"], &batch["returned"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let started = lines
        .iter()
        .find(|line| line["message"] == "started")
        .ok_or("no start line")?;
    assert_eq!(started["version"], env!("CARGO_PKG_VERSION"));
    assert!(
        lines
            .iter()
            .any(|line| line["level"] == "WARN" && line["setting"] == "REPLAY_TARGET"),
        "plain http is warned of"
    );
    Ok(())
}

#[tokio::test]
async fn wrong_settings_stop_the_start_with_all_of_them_named() -> TestResult {
    let mut world = World::start().await?;
    world.set("MAX_ATTEMPTS", "lots");
    world.set("REPLAY_TARGET", "nowhere");
    world.set("GENESYS_CLIENT_ID", "");
    let function = Function::start(world.settings(), &world.aws).await?;
    let (success, printed) = function.ended().await?;
    assert!(!success);
    for name in ["MAX_ATTEMPTS", "REPLAY_TARGET", "GENESYS_CLIENT_ID"] {
        assert!(
            printed.stdout.contains(name),
            "{name} in {}",
            printed.stdout
        );
    }
    assert_eq!(
        printed.stdout.lines().count(),
        1,
        "one message: {}",
        printed.stdout
    );
    Ok(())
}

#[tokio::test]
async fn a_record_without_id_is_an_error_that_says_so() -> TestResult {
    let world = World::start().await?;
    let mut function = Function::start(world.settings(), &world.aws).await?;
    let mut nameless = Record::dead_letter("x", "e-1", "c-1");
    nameless.0["messageId"] = json!(null);
    let answer = function.invoke(event(&[nameless])).await?;
    let Invocation::Error(error) = answer else {
        return Err(format!("{answer:?}").into());
    };
    assert!(
        error["errorMessage"]
            .as_str()
            .is_some_and(|text| text.contains("no messageId")),
        "{error}"
    );
    assert!(world.genesys.calls().is_empty());
    // The next batch is served.
    let answer = function
        .invoke(event(&[Record::dead_letter("m-1", "e-1", "c-1")]))
        .await?;
    assert!(matches!(answer, Invocation::Response(_)), "{answer:?}");
    Ok(())
}
