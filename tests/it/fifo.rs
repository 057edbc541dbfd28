//! FIFO queues: the order of each group.

use genesys_stand_in::Fault;
use genesys_test_support::{Record, ReplayHarness, TestResult};

const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:replays.fifo";

fn record(number: u32, group: &str) -> Record {
    let id = format!("{number}");
    Record::dead_letter(&format!("m-{id}"), &format!("e-{id}"), &format!("c-{id}"))
        .in_queue(QUEUE, "receipt")
        .in_group(group)
}

/// Returns the conversations of the delivered events in order.
fn delivered(harness: &ReplayHarness) -> Vec<String> {
    harness
        .genesys
        .calls_to("POST", "/targets/")
        .iter()
        .filter_map(|call| {
            let key = call.headers.get("idempotency-key")?;
            let mut ids = (1..=9).map(|number| format!("e-{number}"));
            ids.find(|id| harness.idempotency_key(id) == *key)
        })
        .collect()
}

#[tokio::test]
async fn fifo_group_is_delivered_in_order() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let records: Vec<_> = (1..=6).map(|number| record(number, "a")).collect();
    assert!(harness.deliver(&records).await?.is_empty());
    assert_eq!(delivered(&harness), ["e-1", "e-2", "e-3", "e-4", "e-5", "e-6"]);
    Ok(())
}

#[tokio::test]
async fn fifo_group_stops_at_its_first_failure_and_others_continue() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("GET", "/conversations/c-3").status(404));
    let records = [
        record(1, "a"),
        record(2, "b"),
        record(3, "a"),
        record(4, "b"),
        record(5, "a"),
        record(6, "a"),
    ];
    assert_eq!(harness.deliver(&records).await?, ["m-3", "m-5", "m-6"]);
    let mut delivered = delivered(&harness);
    delivered.sort();
    assert_eq!(delivered, ["e-1", "e-2", "e-4"]);
    assert!(harness.aws.item(&harness.key("e-5")).await?.is_empty(), "not begun");
    Ok(())
}

#[tokio::test]
async fn fifo_group_stops_at_malformed_message_without_an_archive() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let bad = Record::new("m-1", "<html>").in_queue(QUEUE, "receipt").in_group("a");
    assert_eq!(harness.deliver(&[bad, record(2, "a"), record(3, "b")]).await?, ["m-1", "m-2"]);
    assert_eq!(delivered(&harness), ["e-3"]);
    Ok(())
}

#[tokio::test]
async fn fifo_group_delivers_a_duplicate_event_once() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let duplicate =
        Record::dead_letter("m-2", "e-1", "c-1").in_queue(QUEUE, "receipt").in_group("a");
    assert!(harness.deliver(&[record(1, "a"), duplicate]).await?.is_empty());
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}
