//! `plan` after a change of the target, and `plan --redirect`.

use aws_sdk_dynamodb::types::AttributeValue;
use genesys_test_support::{Record, TestResult, conversation_event, event, replay_harness::invoke};

use super::apply::APPLY;
use super::plan::{plan, with_archived};
use crate::support::harness::OperatorHarness;

const OLD: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";

/// Returns a harness whose archive has the events of the old target, and the new target, a queue.
async fn moved(ids: &[&str]) -> Result<(OperatorHarness, String), Box<dyn std::error::Error>> {
    let mut desk = OperatorHarness::open().await?;
    let new = desk.world.aws.create_queue(false).await?;
    desk.world.set("REPLAY_TARGET", "original");
    desk.world.set("ALLOWED_TARGETS", &new);
    let records: Vec<Record> =
        ids.iter().map(|id| Record::dead_letter(&format!("m-{id}"), id, "c-1")).collect();
    // The old target is not allowed any more, so its events are archived.
    let answer = invoke(&desk.world.function()?, event(&records)).await??;
    assert_eq!(answer, Vec::<String>::new());
    Ok((desk, new))
}

/// Completes an event at the old target, as another worker.
async fn complete_at_old_target(desk: &OperatorHarness, id: &str) -> TestResult {
    let table = desk.world.settings().get("IDEMPOTENCY_TABLE_NAME").cloned();
    let update = desk.world.aws.dynamodb().update_item().set_table_name(table);
    update
        .key("EventId", AttributeValue::S(format!("{id}|{OLD}")))
        .update_expression("SET #s = :s")
        .expression_attribute_names("#s", "Status")
        .expression_attribute_values(":s", AttributeValue::S("COMPLETED".to_owned()))
        .send()
        .await?;
    Ok(())
}

#[tokio::test]
async fn plan_redirects_events_and_leaves_out_those_of_the_old_target() -> TestResult {
    let (desk, new) = moved(&["e-1", "e-2"]).await?;
    let redirect = format!("{OLD}={new}");
    let made = plan(&desk, &["--redirect", &redirect, "--target", &new]).await?;
    let items = made["content"]["items"].as_array().ok_or("no items")?;
    assert_eq!(items.len(), 2, "{made}");
    for item in items {
        assert_eq!(item["target"], new.as_str());
        assert_eq!(item["redirected_from"], OLD);
    }
    complete_at_old_target(&desk, "e-2").await?;
    let made = plan(&desk, &["--redirect", &redirect]).await?;
    let content = &made["content"];
    assert_eq!(content["items"].as_array().map(Vec::len), Some(1), "{made}");
    let left_out = &content["left_out"][0];
    assert_eq!(left_out["examples"][0], "e-2");
    let reason = "the old target has the event, or an operator discarded it";
    assert_eq!(left_out["reason"], reason);
    desk.run_beside_function(&APPLY).await?.with(0)?;
    let arrived = desk.world.aws.receive(&new, 0).await?;
    let ids: Vec<bool> = arrived
        .iter()
        .map(|message| message.body().is_some_and(|body| body.contains("\"id\":\"e-1\"")))
        .collect();
    assert_eq!(ids, [true]);
    let status = desk.world.aws.attribute(&format!("e-1|{new}"), "Status").await?;
    assert_eq!(status.as_deref(), Some("COMPLETED"));
    Ok(())
}

#[tokio::test]
async fn apply_refuses_a_redirect_when_the_old_target_has_an_event_by_now() -> TestResult {
    let (desk, new) = moved(&["e-1", "e-2"]).await?;
    plan(&desk, &["--redirect", &format!("{OLD}={new}")]).await?;
    complete_at_old_target(&desk, "e-2").await?;
    let refused = desk.run(&APPLY).await?;
    let expected = format!("e-2|{OLD}: closed at the old target, COMPLETED after 1 attempts");
    assert!(refused.stderr.contains("1 of 2 dead letters"), "{refused:?}");
    assert!(refused.stderr.contains(&expected), "{refused:?}");
    refused.with(3)?;
    Ok(())
}

#[tokio::test]
async fn apply_ends_when_the_old_target_got_the_event_after_it_was_sent() -> TestResult {
    let (desk, new) = moved(&["e-1"]).await?;
    plan(&desk, &["--redirect", &format!("{OLD}={new}")]).await?;
    let stuck = desk.run(&[&APPLY[..], &["--wait", "1ms"]].concat()).await?;
    assert_eq!(stuck.code, Some(5), "{stuck:?}");
    complete_at_old_target(&desk, "e-1").await?;
    let resume = [&APPLY[..], &["--resume"]].concat();
    let resumed = desk.run_beside_function(&resume).await?;
    assert!(resumed.stdout.contains("delivered before"), "{resumed:?}");
    resumed.with(0)?;
    assert!(desk.world.aws.receive(&new, 0).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn plan_from_the_ledger_redirects_events_of_the_old_target() -> TestResult {
    let (desk, new) = moved(&["e-1", "e-2"]).await?;
    let redirect = format!("{OLD}={new}");
    let made = plan(&desk, &["--from", "ledger", "--redirect", &redirect]).await?;
    let items = made["content"]["items"].as_array().ok_or("no items")?;
    assert_eq!(items.len(), 2, "{made}");
    assert!(items.iter().all(|item| item["redirected_from"] == OLD), "{made}");
    Ok(())
}

#[tokio::test]
async fn plan_leaves_out_events_of_a_former_target() -> TestResult {
    let mut desk = with_archived(&["e-1", "e-2", "e-3"]).await?;
    // The operator delivers two of them to the old target.
    plan(&desk, &["--id", "e-1", "--id", "e-2"]).await?;
    desk.run_beside_function(&APPLY).await?.with(0)?;
    std::fs::remove_file(desk.file("plan.audit.jsonl"))?;
    let old = desk.world.settings().get("REPLAY_TARGET").cloned().unwrap_or_default();
    let new = desk.world.aws.create_queue(false).await?;
    desk.world.set("REPLAY_TARGET", &new);
    let made = plan(&desk, &[]).await?;
    let content = &made["content"];
    assert_eq!(content["items"][0]["key"], format!("e-3|{new}"));
    assert_eq!(content["items"].as_array().map(Vec::len), Some(1), "{made}");
    let left_out = &content["left_out"][0];
    let reason = left_out["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(&format!("was delivered to {old}")), "{made}");
    assert!(reason.contains("--deliver-again-to-new-target"), "{made}");
    assert_eq!(left_out["count"], 2);
    let made = plan(&desk, &["--deliver-again-to-new-target"]).await?;
    assert_eq!(made["content"]["items"].as_array().map(Vec::len), Some(3), "{made}");
    // A redirect from the target of the dead letters does not hide the delivery to the former fixed target.
    desk.world.set("REPLAY_TARGET", "original");
    desk.world.set("ALLOWED_TARGETS", &new);
    let made = plan(&desk, &["--redirect", &format!("{OLD}={new}")]).await?;
    assert_eq!(made["content"]["items"][0]["key"], format!("e-3|{new}"), "{made}");
    assert_eq!(made["content"]["items"].as_array().map(Vec::len), Some(1), "{made}");
    Ok(())
}

#[tokio::test]
async fn plan_leaves_out_redirected_messages_without_a_target_attribute() -> TestResult {
    let (desk, new) = moved(&[]).await?;
    let body = format!(
        r#"{{"version":"1.0","requestContext":{{"requestId":"r-1","functionArn":"{OLD}:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":3}},"requestPayload":{},"responseContext":{{"statusCode":200}},"responsePayload":{{}}}}"#,
        conversation_event("e-1", "c-1")
    );
    let answer = invoke(&desk.world.function()?, event(&[Record::new("m-1", &body)])).await??;
    assert_eq!(answer, Vec::<String>::new());
    let made = plan(&desk, &["--redirect", &format!("{OLD}={new}")]).await?;
    let reason = made["content"]["left_out"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("set TARGET_REDIRECTS in the function"), "{made}");
    Ok(())
}

#[tokio::test]
async fn plan_refuses_a_redirect_that_the_function_would_not_follow() -> TestResult {
    let (mut desk, new) = moved(&[]).await?;
    for (redirect, error, hint) in [
        (format!("{OLD}={OLD}-2"), "may not deliver to", "AllowedTargets"),
        (OLD.to_owned(), "is not one", "--redirect <old ARN>=<new ARN>"),
        (format!("{OLD}=crm"), "pair 1 is not one", "--redirect <old ARN>=<new ARN>"),
    ] {
        let refused = desk.run(&["plan", "--reason", "x", "--redirect", &redirect]).await?;
        assert!(refused.stderr.contains(error), "{refused:?}");
        assert!(refused.stderr.contains(hint), "{refused:?}");
        refused.with(3)?;
    }
    desk.world.set("REPLAY_TARGET", &new);
    let redirect = format!("{OLD}={new}");
    let refused = desk.run(&["plan", "--reason", "x", "--redirect", &redirect]).await?;
    assert!(refused.stderr.contains("--redirect has no effect"), "{refused:?}");
    refused.with(3)?;
    Ok(())
}

#[tokio::test]
async fn plan_leaves_out_closed_events_after_another_change_of_target() -> TestResult {
    for (close, reason) in [
        (&["apply", "plan.json", "--yes", "--to", "target"][..], "was delivered to"),
        (&["discard", "--reason", "x", "--yes"], "discarded the event for"),
    ] {
        let mut desk = with_archived(&["e-1"]).await?;
        let url = format!("{}/targets/crm", desk.world.genesys.url());
        desk.world.set("REPLAY_TARGET", &format!("{url}?token=old"));
        plan(&desk, &["--deliver-again-to-new-target"]).await?;
        desk.run(close).await?.with(0)?;
        // Only the query has changed, which is not shown to people.
        desk.world.set("REPLAY_TARGET", &format!("{url}?token=new"));
        if reason.starts_with("discarded") {
            let parking = desk.park(&desk.queue, 10).await?;
            desk.put(&parking, &conversation_event("e-1", "c-e-1"), &[]).await?;
        }
        let from = if reason.starts_with("discarded") { "parking" } else { "archive" };
        let made = plan(&desk, &["--from", from]).await?;
        assert_eq!(made["content"]["items"], serde_json::json!([]), "{made}");
        assert!(made["content"]["left_out"].to_string().contains(reason), "{made}");
    }
    Ok(())
}
