//! A run that ended at any step is resumed, and nothing is lost.

use std::error::Error;

use genesys_test_support::TestResult;
use serde_json::Value;

use super::super::items::{item, write};
use super::{close, keys};
use crate::discard::with_archived;
use crate::support::harness::OperatorHarness;

/// Cuts an audit after its first lines, as if the program had died there.
fn cut(desk: &OperatorHarness, audit: &str, lines: usize) -> TestResult {
    let text = desk.read(audit)?;
    let kept: String = text.split_inclusive('\n').take(lines).collect();
    std::fs::write(desk.file(audit), kept)?;
    Ok(())
}

async fn copy(desk: &OperatorHarness, from: &str, to: &str) -> TestResult {
    let copy = desk.world.aws.s3().copy_object().bucket(&desk.bucket).key(to);
    copy.copy_source(format!("{}/{from}", desk.bucket)).send().await?;
    Ok(())
}

async fn delete(desk: &OperatorHarness, key: &str) -> TestResult {
    desk.world.aws.s3().delete_object().bucket(&desk.bucket).key(key).send().await?;
    Ok(())
}

/// Gives the item of e-1 the attributes that it had.
async fn put_back(desk: &OperatorHarness, old: &[(String, String)]) -> TestResult {
    let members: Vec<(&str, &str)> = old
        .iter()
        .filter(|(name, _)| ["Status", "FailureCode", "Attempts", "MessageId"].contains(&&**name))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    write(&desk.world.aws, vec![item(&desk.world.key("e-1"), &members)?])
        .await
        .map_err(|error: Box<dyn Error>| error)
}

/// Runs a plan to its end, then restores the state after the first `done` of its three steps, and resumes it.
async fn resumed(desk: &OperatorHarness, command: &str, done: usize) -> TestResult {
    let key = desk.world.key("e-1");
    let is_discard = command == "discard";
    let before = desk.world.aws.item(&key).await?;
    let original = keys(desk, !is_discard).await?.remove(0);
    close(desk, command, &[]).await?.with(0)?;
    let file = format!("{command}.json");
    desk.run(&["apply", &file, "--yes"]).await?.with(0)?;
    let moved = keys(desk, is_discard).await?.remove(0);
    // Each step has two lines, and a crash leaves the line that begins a step.
    cut(desk, &format!("{command}.audit.jsonl"), 2 + 2 * done.min(2))?;
    if done < 3 {
        copy(desk, &moved, &original).await?;
    }
    if done < 2 {
        put_back(desk, &before).await?;
    }
    if done < 1 {
        delete(desk, &moved).await?;
    }
    let ran = desk.run(&["apply", &file, "--yes", "--resume", "--output", "json"]).await?;
    let summary: Value = ran.json()?;
    assert_eq!((ran.code, &summary["closed"]), (Some(0), &Value::from(1)), "{done}: {ran:?}");
    assert_eq!(keys(desk, is_discard).await?, [moved], "{done}");
    assert_eq!(keys(desk, !is_discard).await?, Vec::<String>::new(), "{done}");
    let status = if is_discard { "DISCARDED" } else { "ARCHIVED" };
    assert_eq!(desk.world.state("e-1").await?, format!("{status} TARGET_REFUSED"), "{done}");
    Ok(())
}

#[tokio::test]
async fn discard_and_restore_resume_after_a_crash_at_each_step() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    for done in 0..=3 {
        resumed(&desk, "discard", done).await?;
        resumed(&desk, "restore", done).await?;
    }
    Ok(())
}

#[tokio::test]
async fn discard_is_not_begun_again_without_resume() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    let again = desk.run(&["apply", "discard.json", "--yes"]).await?;
    assert_eq!(again.code, Some(3), "{again:?}");
    assert!(again.says("add --resume to resume it"), "{again:?}");
    let resumed = desk.run(&["apply", "discard.json", "--yes", "--resume"]).await?;
    assert!(resumed.says("2 discarded"), "{resumed:?}");
    resumed.with(0)?;
    Ok(())
}

#[tokio::test]
async fn discard_changes_nothing_when_an_event_changed_before_resume() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    // As after a crash before the first step.
    for key in keys(&desk, true).await? {
        copy(&desk, &key, key.trim_start_matches("discarded/")).await?;
        delete(&desk, &key).await?;
    }
    cut(&desk, "discard.audit.jsonl", 1)?;
    write(&desk.world.aws, vec![item(&desk.world.key("e-1"), &[("Status", "COMPLETED")])?]).await?;
    let ran = desk.run(&["apply", "discard.json", "--yes", "--resume"]).await?;
    assert!(ran.says("1 not changed, because") && ran.says("1 discarded"), "{ran:?}");
    assert_eq!(ran.code, Some(1));
    assert_eq!(desk.world.state("e-1").await?, "COMPLETED");
    assert!(keys(&desk, false).await?[0].contains("/e-1-"));
    assert_eq!(keys(&desk, true).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn discard_keeps_the_object_when_the_copy_has_another_content() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let key = keys(&desk, false).await?.remove(0);
    let put = desk.world.aws.s3().put_object().bucket(&desk.bucket);
    put.key(format!("discarded/{key}")).body(b"{}".to_vec().into()).send().await?;
    let ran = close(&desk, "discard", &["--yes"]).await?;
    assert!(ran.says("another object has the key discarded/"), "{ran:?}");
    assert_eq!(ran.code, Some(1));
    assert_eq!(keys(&desk, false).await?, [key]);
    assert_eq!(desk.world.state("e-1").await?, "ARCHIVED TARGET_REFUSED");
    Ok(())
}
