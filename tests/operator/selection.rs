//! The selection: `plan`, `diagnose` and `report` select by the same conditions.

use std::error::Error;

use genesys_test_support::{TestResult, conversation_event};
use serde_json::Value;

use crate::plan::with_archived;
use crate::support::harness::OperatorHarness;

const LAMBDA: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";

/// Conditions that select the event `e-1` of the conversation `c-e-1`, or not. A function with a fixed target has handled
/// the event.
const CONDITIONS: [(&[&str], bool); 18] = [
    (&["--original-target", LAMBDA], true),
    (&["--original-target", "arn:aws:lambda:*"], true),
    (&["--original-target", "http*"], false),
    (&["--target", "http*"], true),
    (&["--event-type", "*.customer.end"], true),
    (&["--event-type", "*.agent.*"], false),
    (&["--where", "/detail/eventBody/conversationId=c-e-1"], true),
    (&["--where", "/detail/eventBody/conversationId=c-e"], false),
    (&["--where", "$..participantId=caller-1"], true),
    (&["--where", "$..participantId=caller-1", "--where", "$.id=e-2"], false),
    (&["--where", "$.id=e-1", "--id", "e-1", "--category", "ENDPOINT_UNREACHABLE"], true),
    (&["--since", "yesterday"], true),
    (&["--since", "today", "--until", "2999-01-01"], true),
    (&["--until", "2026-01-01"], false),
    (&["--since", "2026-01-01 08:00"], true),
    (&["--until", "yesterday"], false),
    (&["--interaction", "c-e-1", "--interaction", "c-e-9"], true),
    (&["--category", "UNKNOWN"], false),
];

/// Runs a command with conditions and returns its JSON.
async fn run(
    desk: &OperatorHarness,
    command: &[&str],
    conditions: &[&str],
) -> Result<Value, Box<dyn Error>> {
    let all = [&["--output", "json"], command, conditions].concat();
    desk.run(&all).await?.json()
}

#[tokio::test]
async fn plan_and_report_select_by_the_same_conditions() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    for (conditions, is_selected) in CONDITIONS {
        let _ = std::fs::remove_file(desk.file("plan.json"));
        let expected = u64::from(is_selected);
        let plan = run(&desk, &["plan", "--local", "--reason", "x"], conditions).await?;
        assert_eq!(plan["items"].as_u64().unwrap_or_default(), expected, "{conditions:?}: {plan}");
        let report = run(&desk, &["report"], conditions).await?;
        assert_eq!(report["total_tracked"], expected, "{conditions:?}: {report}");
    }
    Ok(())
}

#[tokio::test]
async fn diagnose_shows_only_selected_messages() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let attributes = [("ERROR_CODE", "TIMEOUT"), ("TARGET_ARN", LAMBDA)];
    desk.put(&desk.queue, &conversation_event("e-1", "c-e-1"), &attributes).await?;
    desk.put(&desk.queue, "no event", &[]).await?;
    // The later conditions also select the other message.
    for (conditions, is_selected) in &CONDITIONS[..10] {
        let found = run(&desk, &["diagnose", "--out", "found.json"], conditions).await?;
        let expected = u64::from(*is_selected);
        assert_eq!(found["total_failures"], expected, "{conditions:?}: {found}");
        assert_eq!(found["not_selected"], 2 - expected, "{conditions:?}");
        assert_eq!(found["complete"], true, "{conditions:?}");
        let records = desk.document("found.json")?;
        assert_eq!(records["totalFailures"], expected, "{conditions:?}");
    }
    let shown = desk.run(&["diagnose", "--id", "e-1"]).await?.with(1)?;
    assert!(shown.contains("dead letters: 1 of 2 received"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn plan_names_the_place_when_nothing_matches() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    let plan = [
        "plan",
        "--local",
        "--reason",
        "x",
        "--code",
        "EXHAUSTED",
        "--since",
        "2026-01-01T00:00:00Z",
    ];
    let ran = desk.run(&plan).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = format!(
        "2 dead letters were read below s3://{}/dlq/archives/, 0 selected and left out; selected: since 2026-01-01",
        desk.bucket
    );
    assert!(ran.stderr.contains(&said), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn condition_is_refused_when_it_cannot_match() -> TestResult {
    let desk = OperatorHarness::open().await?;
    for (arguments, code, says) in [
        (["--where", "detail.id=7", "--id", "e"], 2, "must be a JSON pointer"),
        (["--where", "/detail/id", "--id", "e"], 2, "has no value"),
        (["--since", "soon", "--id", "e"], 2, "yesterday"),
        (["--since", "today", "--until", "yesterday"], 3, "is not before --until"),
    ] {
        let ran = desk.run(&[&["report"], &arguments[..]].concat()).await?;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(says), "{ran:?}");
    }
    Ok(())
}

#[tokio::test]
async fn report_selects_discarded_events_by_their_content() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    desk.run(&["discard", "--reason", "x", "--id", "e-1", "--yes"]).await?.with(0)?;
    let conditions = ["--where", "/detail/eventBody/conversationId=c-e-1"];
    let report = run(&desk, &["report"], &conditions).await?;
    assert_eq!(report["status_distribution"], serde_json::json!({ "DISCARDED": 1 }));
    Ok(())
}
