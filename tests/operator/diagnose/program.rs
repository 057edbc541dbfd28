//! The program on a real queue: its output, its exit codes, and the messages afterwards.

use std::error::Error;

use aws_sdk_dynamodb::types::AttributeValue;
use genesys_stand_in::Fault;
use genesys_test_support::{Record, TestResult, conversation_event, eventually};
use serde_json::Value;
use tokio::process::Command;

use super::run::OperatorHarness;

#[tokio::test]
async fn diagnose_lists_dead_letters_and_makes_them_visible_again() -> TestResult {
    let desk = OperatorHarness::new().await?;
    for number in 0..23 {
        let record = Record::dead_letter("m", &format!("e-{number}"), "c-1");
        desk.put(&record).await?;
    }
    desk.put(&Record::new("m", "no event at all")).await?;
    let done = desk.diagnose(&[]).await?;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    for text in [
        "dead letters: 24, groups: 2",
        "ENDPOINT_UNREACHABLE",
        "NOT_AN_EVENT",
        "v2.detail.events.conversation.{id}.customer.end",
        "/targets/crm",
        "check that it works again",
    ] {
        assert!(done.stdout.contains(text), "{text}: {}", done.stdout);
    }
    let records = desk.records()?;
    assert_eq!(records["totalFailures"], 24);
    let members: Vec<&String> = records.as_object().ok_or("no object")?.keys().collect();
    assert_eq!(members.len(), 3);
    let list = records["records"].as_array().ok_or("no list")?;
    assert_eq!(list.len(), 24);
    let endpoint = format!("{}/targets/crm", desk.genesys.url());
    for number in 0..23 {
        let id = format!("e-{number}");
        let record = list.iter().find(|it| it["eventId"] == id).ok_or("lost")?;
        assert_eq!(record["replayPayload"], conversation_event(&id, "c-1"));
        assert_eq!(record["replayEndpoint"], endpoint);
        assert_eq!(record["receiveCount"], 1);
    }
    assert_eq!(desk.shown().await?, ["2"; 24], "one receive of each was taken");
    Ok(())
}

#[tokio::test]
async fn diagnose_file_has_its_members_in_the_documented_order() -> TestResult {
    let desk = OperatorHarness::new().await?;
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    desk.diagnose(&["--out", "other.json"]).await?;
    let text = std::fs::read_to_string(desk.path("other.json"))?;
    let mut from = 0;
    for member in [
        "generatedAt",
        "totalFailures",
        "records",
        "timestamp",
        "interactionId",
        "eventType",
        "failureCategory",
        "replayPayload",
        "interactionInfo",
        "replayEndpoint",
        "messageId",
    ] {
        let found = text[from..].find(&format!("\"{member}\":"));
        from += found.ok_or_else(|| format!("{member} after {from}: {text}"))?;
    }
    assert_eq!(desk.files()?, ["other.json"]);
    Ok(())
}

#[tokio::test]
async fn diagnose_of_an_empty_queue_succeeds() -> TestResult {
    let desk = OperatorHarness::new().await?;
    let done = desk.diagnose(&[]).await?;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("no dead letters"), "{}", done.stdout);
    assert_eq!(desk.records()?["records"], Value::Array(Vec::new()));
    Ok(())
}

#[tokio::test]
async fn diagnose_json_has_the_groups_and_no_payload() -> TestResult {
    let desk = OperatorHarness::new().await?;
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    let item = [
        ("EventId", format!("e-1|{}/targets/crm", desk.genesys.url())),
        ("Status", "FAILED".to_owned()),
        ("FailureCode", "TARGET_REFUSED".to_owned()),
    ];
    let item = item.map(|(name, value)| (name.to_owned(), AttributeValue::S(value)));
    desk.aws
        .dynamodb()
        .put_item()
        .table_name(&desk.aws.table)
        .set_item(Some(item.into()))
        .send()
        .await?;
    let done = desk.diagnose(&["--output", "json"]).await?;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let summary: Value = serde_json::from_str(&done.stdout)?;
    assert_eq!(summary["total_failures"], 1);
    assert_eq!(summary["complete"], true);
    let group = &summary["groups"][0];
    assert_eq!(group["category"], "ENDPOINT_UNREACHABLE");
    assert_eq!(group["failure_code"], "TARGET_REFUSED");
    assert_eq!(group["count"], 1);
    assert_eq!(group["first"], "2026-07-25T17:20:00Z");
    assert_eq!(group["example"]["event_id"], "e-1");
    assert_eq!(summary["next_steps"]["RETURN"], 1);
    assert!(!done.stdout.contains("+4930123456"), "{}", done.stdout);
    assert_eq!(desk.records()?["records"][0]["ledgerStatus"], "FAILED");
    Ok(())
}

#[tokio::test]
async fn diagnose_writes_no_file_when_refused() -> TestResult {
    let desk = OperatorHarness::new().await?;
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    desk.park_after(2).await?;
    let done = desk.diagnose(&["--save", "saved", "--html", "page.html"]).await?;
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("--force"), "{}", done.stderr);
    assert_eq!(desk.files()?, Vec::<String>::new());
    assert_eq!(desk.shown().await?, ["1"], "it was not received");
    Ok(())
}

/// A queue that allows four receives, with a message after three receives.
async fn with_a_message_of_one_receive() -> Result<OperatorHarness, Box<dyn Error>> {
    let desk = OperatorHarness::new().await?;
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    desk.park_after(4).await?;
    for _ in 0..3 {
        for message in desk.aws.receive(&desk.queue, 30).await? {
            let handle = message.receipt_handle.ok_or("no handle")?;
            desk.aws.show_again(&desk.queue, &handle).await?;
        }
    }
    Ok(desk)
}

#[tokio::test]
async fn diagnose_refuses_a_message_at_its_last_receive() -> TestResult {
    let desk = with_a_message_of_one_receive().await?;
    let done = desk.diagnose(&[]).await?;
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    for text in ["move 1 of the 1 messages", "4 receives are used up", "--parking"] {
        assert!(done.stderr.contains(text), "{text}: {}", done.stderr);
    }
    assert_eq!(desk.files()?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn diagnose_with_force_reads_a_message_at_its_last_receive() -> TestResult {
    let desk = with_a_message_of_one_receive().await?;
    let done = desk.diagnose(&["--force"]).await?;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stdout.contains("At their last receive: 1."), "{}", done.stdout);
    assert_eq!(desk.records()?["records"][0]["receiveCount"], 4);
    Ok(())
}

#[tokio::test]
async fn diagnose_reads_the_parking_queue_with_the_option() -> TestResult {
    let desk = OperatorHarness::new().await?;
    let done = desk.diagnose(&["--parking"]).await?;
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("no parking queue"), "{}", done.stderr);
    let parking = desk.park_after(5).await?;
    desk.put_on(&parking, &Record::dead_letter("m", "e-parked", "c-1")).await?;
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    let done = desk.diagnose(&["--parking"]).await?;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let records = desk.records()?;
    assert_eq!(records["totalFailures"], 1);
    assert_eq!(records["records"][0]["eventId"], "e-parked");
    assert_eq!(desk.shown().await?, ["1"], "the queue itself was not changed");
    Ok(())
}

#[tokio::test]
async fn diagnose_releases_all_messages_on_ctrl_c() -> TestResult {
    let desk = OperatorHarness::new().await?;
    for number in 0..15 {
        desk.put(&Record::dead_letter("m", &format!("e-{number}"), "c-1")).await?;
    }
    desk.genesys.fault(Fault::on("POST", "/analytics/").hang());
    let folder = ["--correlate", "--html", "page.html", "--save", "saved"];
    let program = desk.begin(&folder)?;
    // The diagnosis is running: messages are held, and analytics does not answer.
    eventually("analytics is called", async || {
        let calls = desk.genesys.calls_to("POST", "/analytics/");
        Ok((!calls.is_empty()).then_some(()))
    })
    .await?;
    let pid = program.id().ok_or("it has ended")?.to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status().await?;
    assert!(killed.success());
    let done = crate::support::program::Ran::of(program.wait_with_output().await?)?;
    assert_eq!(done.code, Some(130), "{}", done.stderr);
    assert!(
        done.stderr.contains("were made visible again, nothing was written"),
        "{}",
        done.stderr
    );
    assert_eq!(done.stdout, "");
    assert_eq!(desk.files()?, Vec::<String>::new());
    assert_eq!(desk.shown().await?, ["2"; 15]);
    Ok(())
}

#[tokio::test]
async fn diagnose_of_a_missing_queue_fails_with_a_hint() -> TestResult {
    let mut desk = OperatorHarness::new().await?;
    desk.queue.push_str("-gone");
    let done = desk.diagnose(&[]).await?;
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("the resource does not exist"), "{}", done.stderr);
    assert_eq!(desk.files()?, Vec::<String>::new());
    Ok(())
}
