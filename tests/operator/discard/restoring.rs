//! `restore` takes a discard back.

use aws_sdk_dynamodb::types::AttributeValue;
use genesys_test_support::{Record, TestResult};

use super::{close, item_of, keys, reasons};
use crate::discard::with_archived;
use crate::support::harness::OperatorHarness;

#[tokio::test]
async fn restored_event_is_planned_and_delivered_once() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    let before = keys(&desk, false).await?;
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    desk.world.genesys.clear_calls();
    let planned = close(&desk, "restore", &["--id", "e-1"]).await?;
    assert!(planned.says("nothing was restored"), "{planned:?}");
    planned.with(0)?;
    assert_eq!(keys(&desk, true).await?.len(), 2, "only a plan");
    let ran = desk.run(&["apply", "restore.json", "--yes"]).await?;
    assert!(ran.stdout.contains("1 restored"), "{ran:?}");
    ran.with(0)?;
    let restored: Vec<String> = before.into_iter().filter(|key| key.contains("/e-1-")).collect();
    assert_eq!(keys(&desk, false).await?, restored);
    assert_eq!(keys(&desk, true).await?.len(), 1);
    assert_eq!(desk.world.state("e-1").await?, "ARCHIVED TARGET_REFUSED");
    desk.run(&["plan", "--reason", "again", "--local"]).await?.with(0)?;
    desk.run_beside_function(&["apply", "plan.json", "--yes", "--rate", "1000"]).await?.with(0)?;
    assert_eq!(desk.delivered(), super::super::apply::once(&["e-1"]));
    assert_eq!(desk.world.state("e-1").await?, "COMPLETED");
    assert_eq!(desk.world.state("e-2").await?, "DISCARDED TARGET_REFUSED");
    Ok(())
}

#[tokio::test]
async fn restore_creates_no_item_when_it_has_expired() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    let key = AttributeValue::S(desk.world.key("e-1"));
    let gone = desk.world.aws.dynamodb().delete_item().table_name(&desk.world.aws.table);
    gone.key("EventId", key).send().await?;
    close(&desk, "restore", &["--yes"]).await?.with(0)?;
    assert_eq!(keys(&desk, false).await?.len(), 1);
    assert!(item_of(&desk, &desk.world.key("e-1")).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn restore_forgets_items_of_events_without_a_claim() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let malformed = Record::dead_letter("m-1", "e-1", "c-1").with("ERROR_CODE", "INVALID_JSON");
    desk.world.deliver(&[malformed]).await?;
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    close(&desk, "restore", &["--yes"]).await?.with(0)?;
    assert!(item_of(&desk, &desk.world.key("e-1")).await?.is_empty());
    // As before the discard, a repaired message of the event is delivered.
    let repaired = Record::dead_letter("m-2", "e-1", "c-1");
    assert_eq!(desk.world.deliver(&[repaired]).await?, Vec::<String>::new());
    assert_eq!(desk.world.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn restore_leaves_out_events_that_are_not_discarded() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let key = keys(&desk, false).await?.remove(0);
    // The state of an interrupted discard: a copy, and nothing else.
    let copy = desk.world.aws.s3().copy_object().bucket(&desk.bucket);
    let copy = copy.copy_source(format!("{}/{key}", desk.bucket));
    copy.key(format!("discarded/{key}")).send().await?;
    let ran = close(&desk, "restore", &["--output", "json"]).await?;
    assert_eq!(reasons(&ran)?, ["the ledger does not have the event as discarded"]);
    ran.with(1)?;
    Ok(())
}

#[tokio::test]
async fn restore_finds_discarded_objects_of_another_prefix() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let key = keys(&desk, false).await?.remove(0);
    // As after a change of ARCHIVE_PREFIX.
    let old = key.replace("dlq/archives/", "old/");
    let copy = desk.world.aws.s3().copy_object().bucket(&desk.bucket).key(&old);
    copy.copy_source(format!("{}/{key}", desk.bucket)).send().await?;
    desk.world.aws.s3().delete_object().bucket(&desk.bucket).key(&key).send().await?;
    close(&desk, "discard", &["--prefix", "old/", "--yes"]).await?.with(0)?;
    assert_eq!(keys(&desk, true).await?, [format!("discarded/{old}")]);
    let nothing = close(&desk, "restore", &["--yes"]).await?;
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    for prefix in ["old/", "discarded/old/"] {
        close(&desk, "restore", &["--prefix", prefix]).await?.with(0)?;
    }
    desk.run(&["apply", "restore.json", "--yes"]).await?.with(0)?;
    assert_eq!(keys(&desk, false).await?, [old]);
    assert_eq!(desk.world.state("e-1").await?, "ARCHIVED TARGET_REFUSED");
    Ok(())
}
