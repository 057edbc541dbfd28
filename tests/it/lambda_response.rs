//! The real program between the Runtime API and the local AWS.

use genesys_test_support::{Function, Invocation, Record, ReplayHarness, TestResult, event};
use serde_json::json;

#[tokio::test]
async fn response_names_exactly_the_messages_that_return() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
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
    assert_eq!(harness.deliveries(), 2);
    Ok(())
}

#[tokio::test]
async fn start_up_stops_and_names_all_wrong_settings() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("MAX_ATTEMPTS", "lots");
    harness.set("REPLAY_TARGET", "nowhere");
    harness.set("GENESYS_CLIENT_ID", "");
    let function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    let (success, printed) = function.ended().await?;
    assert!(!success);
    for name in ["MAX_ATTEMPTS", "REPLAY_TARGET", "GENESYS_CLIENT_ID"] {
        assert!(printed.stdout.contains(name), "{name} in {}", printed.stdout);
    }
    assert_eq!(printed.stdout.lines().count(), 1, "one message: {}", printed.stdout);
    Ok(())
}

#[tokio::test]
async fn record_without_id_fails_the_invocation_with_a_reason() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    let mut nameless = Record::dead_letter("x", "e-1", "c-1");
    nameless.0["messageId"] = json!(null);
    let answer = function.invoke(event(&[nameless])).await?;
    let Invocation::Error(error) = answer else {
        return Err(format!("{answer:?}").into());
    };
    assert!(
        error["errorMessage"].as_str().is_some_and(|text| text.contains("no messageId")),
        "{error}"
    );
    assert!(harness.genesys.calls().is_empty());
    // The next batch is handled.
    let answer = function.invoke(event(&[Record::dead_letter("m-1", "e-1", "c-1")])).await?;
    assert!(matches!(answer, Invocation::Response(_)), "{answer:?}");
    Ok(())
}
