//! `report` and `reconcile` know discarded events.

use std::error::Error;

use genesys_test_support::{Record, TestResult};
use serde_json::{Value, json};

use super::super::items::{item, write};
use super::{close, keys};
use crate::discard::with_archived;
use crate::support::harness::OperatorHarness;

async fn reconcile(desk: &OperatorHarness, code: i32) -> Result<Value, Box<dyn Error>> {
    let ran = desk.run(&["reconcile", "--output", "json"]).await?;
    assert_eq!(ran.code, Some(code), "{ran:?}");
    ran.json()
}

/// Copies an object within the bucket.
async fn copy(desk: &OperatorHarness, from: &str, to: &str) -> TestResult {
    let copy = desk.world.aws.s3().copy_object().bucket(&desk.bucket).key(to);
    copy.copy_source(format!("{}/{from}", desk.bucket)).send().await?;
    Ok(())
}

#[tokio::test]
async fn sums_contain_discarded_events() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    desk.world.deliver(&[Record::new("m-9", "no event at all")]).await?;
    let first = ["--id", "e-1", "--yes"];
    close(&desk, "discard", &first).await?.with(0)?;
    close(&desk, "discard", &["--code", "NOT_AN_EVENT", "--yes"]).await?.with(0)?;
    let sum = reconcile(&desk, 0).await?;
    for (member, expected) in
        [("received", 3), ("archived", 1), ("discarded", 2), ("discarded_objects", 2)]
    {
        assert_eq!(sum[member], json!(expected), "{member}: {sum}");
    }
    assert_eq!((&sum["findings"], &sum["duplicate"]), (&json!({}), &json!(0)), "{sum}");
    let text = desk.run(&["reconcile"]).await?;
    assert!(text.says("replayed 0 + archived 1 + discarded 2 + still queued 0"), "{text:?}");
    let report = desk.run(&["report", "--output", "json"]).await?.json()?;
    assert_eq!(report["status_distribution"], json!({ "ARCHIVED": 1, "DISCARDED": 2 }));
    assert_eq!(report["archived_without_ledger_item"], json!({}));
    Ok(())
}

#[tokio::test]
async fn reconcile_names_interrupted_discards() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let key = keys(&desk, false).await?.remove(0);
    copy(&desk, &key, &format!("discarded/{key}")).await?;
    let sum = reconcile(&desk, 0).await?;
    let found = &sum["findings"]["interrupted_discard"];
    assert_eq!((&found["count"], &found["wrong"]), (&json!(1), &json!(false)), "{sum}");
    assert_eq!((&sum["received"], &sum["archived"]), (&json!(1), &json!(1)), "{sum}");
    write(&desk.world.aws, vec![item(&desk.world.key("e-1"), &[("Status", "DISCARDED")])?]).await?;
    let sum = reconcile(&desk, 0).await?;
    assert_eq!(sum["findings"]["interrupted_discard"]["count"], json!(1), "{sum}");
    assert_eq!((&sum["received"], &sum["discarded"]), (&json!(1), &json!(1)), "{sum}");
    // A new discard finishes it too.
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    assert_eq!(reconcile(&desk, 0).await?["findings"], json!({}));
    Ok(())
}

#[tokio::test]
async fn reconcile_names_discarded_objects_without_their_item() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let key = keys(&desk, false).await?.remove(0);
    copy(&desk, &key, &format!("discarded/{key}")).await?;
    let delete = desk.world.aws.s3().delete_object().bucket(&desk.bucket);
    delete.key(&key).send().await?;
    let sum = reconcile(&desk, 1).await?;
    let found = &sum["findings"]["discarded_not_in_ledger"];
    assert_eq!((&found["count"], &found["wrong"]), (&json!(1), &json!(true)), "{sum}");
    Ok(())
}

#[tokio::test]
async fn reconcile_names_archived_objects_of_discarded_events() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    // The message of the event was discarded from a queue.
    write(&desk.world.aws, vec![item(&desk.world.key("e-1"), &[("Status", "DISCARDED")])?]).await?;
    let sum = reconcile(&desk, 0).await?;
    let found = &sum["findings"]["object_of_discarded_event"];
    assert_eq!((&found["count"], &found["wrong"]), (&json!(1), &json!(false)), "{sum}");
    assert_eq!(sum["findings"]["interrupted_discard"], json!(null), "{sum}");
    // The remedy that the finding names.
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    assert_eq!(reconcile(&desk, 0).await?["findings"], json!({}));
    Ok(())
}
