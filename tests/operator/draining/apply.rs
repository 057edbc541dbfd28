//! `apply` and `diagnose` beside an event source mapping that is enabled or not.

use genesys_test_support::TestResult;

use super::deployed::DrainedQueue;
use crate::apply::APPLY;
use crate::plan::{plan, with_archived};
use crate::support::harness::OperatorHarness;

#[tokio::test]
async fn apply_is_refused_at_once_when_the_mapping_is_off() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    let drained = DrainedQueue::of(desk, false).await?;
    let ran = drained.run(&APPLY).await?;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains(&format!("{} is Disabled", drained.mapping)), "{ran:?}");
    assert!(ran.stderr.contains("hint: genesys-replay resume"), "{ran:?}");
    assert!(ran.stderr.contains("--to target"), "{ran:?}");
    assert_eq!(drained.desk.depth(&drained.desk.queue).await?, 0);
    assert!(!drained.desk.file("plan.audit.jsonl").exists());

    let preview = drained.run(&APPLY[..2]).await?;
    assert_eq!(preview.code, Some(0), "{preview:?}");
    assert!(preview.stderr.contains("is Disabled"), "{preview:?}");
    let direct = drained.run(&[&APPLY[..], &["--to", "target"]].concat()).await?;
    assert_eq!(direct.code, Some(0), "{direct:?}");
    assert!(direct.stdout.contains("1 delivered"), "{direct:?}");
    Ok(())
}

#[tokio::test]
async fn diagnose_warns_of_the_function_only_when_it_receives() -> TestResult {
    let drained = DrainedQueue::of(OperatorHarness::open().await?, false).await?;
    let receives = "also receives messages from the queue";
    let ran = drained.run(&["diagnose"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains(receives), "{ran:?}");
    drained.run(&["resume", "--yes"]).await?.with(0)?;
    let ran = drained.run(&["diagnose"]).await?;
    assert!(ran.stderr.contains("the event source mapping is Enabled"), "{ran:?}");
    assert!(ran.stderr.contains(receives), "{ran:?}");
    let ran = drained.desk.run(&["diagnose"]).await?;
    assert!(ran.stderr.contains("unless its event source mapping is disabled"), "{ran:?}");
    Ok(())
}
