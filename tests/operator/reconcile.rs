//! `reconcile`, on the local AWS.

use std::error::Error;

use aws_sdk_dynamodb::types::AttributeValue;
use genesys_stand_in::Fault;
use genesys_test_support::{Record, ReplayHarness, TestResult};
use serde_json::{Value, json};

use super::items::{item, write};
use crate::support::program::{Ran, run};

/// A harness with an archive, its queue, and the program's settings.
async fn world() -> Result<(ReplayHarness, String, String), Box<dyn Error>> {
    let mut world = ReplayHarness::start().await?;
    let bucket = world.aws.create_bucket().await?;
    world.set("ARCHIVE_BUCKET", &bucket);
    let queue = world.aws.create_queue(false).await?;
    Ok((world, bucket, queue))
}

async fn reconcile(world: &ReplayHarness, queue: &str) -> Result<Ran, Box<dyn Error>> {
    let endpoint = world.aws.endpoint();
    let arguments =
        ["reconcile", "--output", "json", "--queue", queue, "--endpoint-url", &endpoint];
    let settings = world.settings().iter();
    let variables: Vec<(&str, &str)> =
        settings.map(|(name, it)| (name.as_str(), it.as_str())).collect();
    run(&variables, &arguments).await
}

fn count(sum: &Value, finding: &str) -> u64 {
    sum["findings"][finding]["count"].as_u64().unwrap_or(0)
}

fn malformed(message: &str, event: &str) -> Record {
    Record::dead_letter(message, event, "conversation-1").with("ERROR_CODE", "INVALID_JSON")
}

#[tokio::test]
async fn reconcile_is_consistent_after_the_function_ran() -> TestResult {
    let (world, _, queue) = world().await?;
    let records = [
        Record::dead_letter("m-1", "e-1", "conversation-1"),
        malformed("m-2", "e-2"),
        Record::new("m-3", "no event at all"),
    ];
    world.deliver(&records).await?;
    let url = world.aws.queue_url(&queue).await?;
    let sqs = aws_sdk_sqs::Client::new(&world.aws.config());
    sqs.send_message().queue_url(url).message_body("waits").send().await?;
    let ran = reconcile(&world, &queue).await?;
    let sum = ran.json()?;
    assert_eq!(ran.code, Some(0), "{sum} {}", ran.stderr);
    assert_eq!(sum["adds_up"], json!(true));
    for (member, expected) in
        [("received", 4), ("replayed", 1), ("archived", 2), ("still_queued", 1), ("unaccounted", 0)]
    {
        assert_eq!(sum[member], json!(expected), "{member}: {sum}");
    }
    Ok(())
}

#[tokio::test]
async fn reconcile_names_archived_events_without_an_object() -> TestResult {
    let (world, _, queue) = world().await?;
    let key = world.key("e-1");
    let archived = [("Status", "ARCHIVED"), ("FailureCode", "TARGET_REFUSED")];
    let echo = [("Status", "ARCHIVED"), ("FailureCode", "OWN_ECHO")];
    write(&world.aws, vec![item(&key, &archived)?, item("echo|none", &echo)?]).await?;
    let ran = reconcile(&world, &queue).await?;
    let sum = ran.json()?;
    assert_eq!(ran.code, Some(1), "{sum}");
    assert_eq!(sum["findings"]["archived_without_object"]["examples"], json!([key]));
    assert_eq!(sum["unaccounted"], json!(1));
    Ok(())
}

#[tokio::test]
async fn reconcile_names_open_events_missing_from_the_queue() -> TestResult {
    let (world, _, queue) = world().await?;
    let items = vec![
        item("a|crm", &[("Status", "FAILED")])?,
        item("b|crm", &[("Status", "DEFERRED")])?,
        item("c|crm", &[("Status", "IN_PROGRESS"), ("LeaseUntil", "1000")])?,
        item("d|crm", &[("Status", "PONDERED")])?,
    ];
    write(&world.aws, items).await?;
    let ran = reconcile(&world, &queue).await?;
    let sum = ran.json()?;
    assert_eq!(ran.code, Some(1), "{sum}");
    assert_eq!(count(&sum, "open_not_queued"), 3, "{sum}");
    assert_eq!(sum["findings"]["died_over"]["examples"], json!(["c|crm"]));
    assert_eq!(sum["findings"]["failed"]["examples"], json!(["a|crm"]));
    assert_eq!(sum["findings"]["unknown_status"]["examples"], json!(["d|crm"]));
    assert_eq!(sum["unaccounted"], json!(4));
    Ok(())
}

/// Lets the function archive an event that the target refuses, which leaves an item and an object.
async fn refused(world: &ReplayHarness) -> TestResult {
    world.genesys.fault(Fault::on("POST", "/targets/").status(422));
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert!(world.deliver(&[record]).await?.is_empty());
    assert_eq!(world.state("e-1").await?, "ARCHIVED TARGET_REFUSED");
    Ok(())
}

#[tokio::test]
async fn reconcile_accepts_archived_events_that_were_delivered_later() -> TestResult {
    let (world, _, queue) = world().await?;
    refused(&world).await?;
    let sum = reconcile(&world, &queue).await?.json()?;
    assert_eq!((&sum["received"], &sum["findings"]), (&json!(1), &json!({})), "{sum}");
    let delivered = [("Status", "COMPLETED")];
    write(&world.aws, vec![item(&world.key("e-1"), &delivered)?]).await?;
    let ran = reconcile(&world, &queue).await?;
    let sum = ran.json()?;
    assert_eq!(ran.code, Some(0), "{sum}");
    assert_eq!(count(&sum, "archived_then_delivered"), 1, "{sum}");
    assert_eq!((&sum["replayed"], &sum["duplicate"]), (&json!(1), &json!(1)));
    Ok(())
}

#[tokio::test]
async fn reconcile_reports_objects_without_a_ledger_item() -> TestResult {
    let (world, _, queue) = world().await?;
    refused(&world).await?;
    let key = AttributeValue::S(world.key("e-1"));
    let gone = world.aws.dynamodb().delete_item().table_name(&world.aws.table);
    gone.key("EventId", key).send().await?;
    let ran = reconcile(&world, &queue).await?;
    let sum = ran.json()?;
    assert_eq!(ran.code, Some(1), "{sum}");
    assert_eq!(count(&sum, "object_without_item"), 1, "{sum}");
    assert_eq!(sum["archived"], json!(1));
    Ok(())
}

#[tokio::test]
async fn reconcile_matches_by_event_id_when_the_target_changed() -> TestResult {
    let (mut world, _, queue) = world().await?;
    refused(&world).await?;
    world.set("REPLAY_TARGET", "https://elsewhere.example/");
    let ran = reconcile(&world, &queue).await?;
    let sum = ran.json()?;
    assert_eq!(ran.code, Some(0), "{sum}");
    assert_eq!((&sum["received"], &sum["archived"]), (&json!(1), &json!(1)), "{sum}");
    Ok(())
}

#[tokio::test]
async fn reconcile_counts_each_event_once_when_the_token_changed() -> TestResult {
    let (mut world, _, queue) = world().await?;
    let crm = world.settings()["REPLAY_TARGET"].clone();
    world.set("REPLAY_TARGET", &format!("{crm}?token=first"));
    refused(&world).await?;
    world.set("REPLAY_TARGET", &format!("{crm}?token=second"));
    let ran = reconcile(&world, &queue).await?;
    let sum = ran.json()?;
    assert_eq!(ran.code, Some(0), "{sum}");
    assert_eq!(
        [&sum["received"], &sum["archived"], &sum["findings"]],
        [&json!(1), &json!(1), &json!({})],
        "{sum}"
    );

    // With the new token, the resent event is another event in the ledger; the old item still has its object.
    let key = world.key("e-1");
    let shown = ("Target", crm.as_str());
    let delivered = item(&key, &[("Status", "COMPLETED"), shown])?;
    write(&world.aws, vec![delivered]).await?;
    for token in ["second", "third"] {
        world.set("REPLAY_TARGET", &format!("{crm}?token={token}"));
        let ran = reconcile(&world, &queue).await?;
        let sum = ran.json()?;
        assert_eq!(ran.code, Some(0), "{token}: {sum}");
        assert_eq!(count(&sum, "archived_then_delivered"), 1, "{token}: {sum}");
        let named = sum["findings"]["archived_then_delivered"]["examples"][0].as_str();
        assert!(named.is_some_and(|it| it.contains("/e-1-")), "{token}: {sum}");
        assert_eq!(
            [&sum["received"], &sum["replayed"], &sum["duplicate"]],
            [&json!(2), &json!(1), &json!(1)],
            "{token}: {sum}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn reconcile_counts_an_archived_then_delivered_event_once() -> TestResult {
    let (world, _, queue) = world().await?;
    world.deliver(&[malformed("m-1", "e-1")]).await?;
    let repaired = Record::dead_letter("m-2", "e-1", "conversation-1");
    world.deliver(&[repaired]).await?;
    assert_eq!(world.state("e-1").await?, "COMPLETED");
    let ran = reconcile(&world, &queue).await?;
    let sum = ran.json()?;
    assert_eq!(ran.code, Some(0), "{sum}");
    assert_eq!(
        [&sum["received"], &sum["replayed"], &sum["duplicate"]],
        [&json!(1), &json!(1), &json!(1)],
        "{sum}"
    );
    assert_eq!(count(&sum, "archived_then_delivered"), 1, "{sum}");
    Ok(())
}

#[tokio::test]
async fn reconcile_does_not_match_objects_of_another_target() -> TestResult {
    let (mut world, _, queue) = world().await?;
    refused(&world).await?;
    let elsewhere = "https://elsewhere.invalid/events";
    world.set("REPLAY_TARGET", elsewhere);
    let lost = item(&world.key("e-1"), &[("Status", "ARCHIVED"), ("Target", elsewhere)])?;
    write(&world.aws, vec![lost]).await?;
    let ran = reconcile(&world, &queue).await?;
    let sum = ran.json()?;
    assert_eq!(ran.code, Some(1), "{sum}");
    assert_eq!(sum["findings"]["archived_without_object"]["examples"], json!([world.key("e-1")]));
    Ok(())
}

#[tokio::test]
async fn reconcile_names_foreign_objects_and_continues() -> TestResult {
    let (world, bucket, queue) = world().await?;
    for (key, content) in [
        ("dlq/archives/notes.txt", &b"hello"[..]),
        ("dlq/archives/x.json", b"{}"),
        ("dlq/archives/\u{e9}", b"\xff\xfe"),
    ] {
        let put = world.aws.s3().put_object().bucket(&bucket).key(key);
        put.body(content.to_vec().into()).send().await?;
    }
    refused(&world).await?;
    let ran = reconcile(&world, &queue).await?;
    let sum = ran.json()?;
    assert_eq!(ran.code, Some(0), "{sum}");
    assert_eq!(count(&sum, "foreign_object"), 3, "{sum}");
    assert_eq!(sum["archive_objects"], json!(1));
    Ok(())
}
