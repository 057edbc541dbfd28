//! The conditional writes of `discard` and `restore`, on the real table.

use std::error::Error;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::ledger::Status;
use genesys_replay_cli::app;
use genesys_replay_cli::ledger::{ClosingDecision, ExpectedItem, LedgerWriter, UnclaimedItem};
use genesys_test_support::{LocalAws, TestResult};

use crate::items::{item, write};

const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);

const DECISION: ClosingDecision<'_> =
    ClosingDecision { plan: "plan-1", reason: "ticket 4711", by: "marta", now: NOW };

const KEY: &str = "e-1|crm";

fn expected(status: Status) -> ExpectedItem<'static> {
    ExpectedItem { status, attempts: 2, message_id: "m-1" }
}

async fn with_item(members: &[(&str, &str)]) -> Result<LocalAws, Box<dyn Error>> {
    let aws = LocalAws::start().await?;
    write(&aws, vec![item(KEY, members)?]).await?;
    Ok(aws)
}

#[tokio::test]
async fn discard_is_written_only_to_the_planned_item() -> TestResult {
    const PLANNED: [(&str, &str); 3] =
        [("Status", "ARCHIVED"), ("Attempts", "2"), ("MessageId", "m-1")];
    for (change, is_written) in [
        (("Target", "crm"), true),
        (("Step", "CLAIMED"), true),
        (("Step", "REPLAYED"), false),
        (("Status", "DEFERRED"), false),
        (("Attempts", "3"), false),
        (("MessageId", "m-2"), false),
    ] {
        let others = PLANNED.into_iter().filter(|(name, _)| *name != change.0);
        let members: Vec<_> = others.chain([change]).collect();
        let aws = with_item(&members).await?;
        let writer = app::ledger_writer(&aws.config(), &aws.table, Duration::from_secs(60));
        let written = writer.discard(KEY, expected(Status::Archived), &DECISION).await?;
        assert_eq!(written, is_written, "{change:?}");
        let status = aws.attribute(KEY, "Status").await?;
        assert_eq!(status.as_deref() == Some("DISCARDED"), is_written, "{change:?}");
        let expires = aws.attribute(KEY, "ExpiresAt").await?;
        assert_eq!(expires.as_deref(), is_written.then_some("1785000060"), "{change:?}");
        assert_eq!(
            aws.attribute(KEY, change.0).await?.as_deref() == Some(change.1),
            change.0 != "Status" || !is_written
        );
    }
    Ok(())
}

#[tokio::test]
async fn discard_is_not_written_under_a_live_lease() -> TestResult {
    for (lease_until, is_written) in [("1784999999999", true), ("1785000000001", false)] {
        let held = [
            ("Status", "IN_PROGRESS"),
            ("Attempts", "2"),
            ("MessageId", "m-1"),
            ("LeaseUntil", lease_until),
        ];
        let aws = with_item(&held).await?;
        let writer = app::ledger_writer(&aws.config(), &aws.table, Duration::from_secs(60));
        let written = writer.discard(KEY, expected(Status::InProgress), &DECISION).await?;
        assert_eq!(written, is_written, "{lease_until}");
    }
    Ok(())
}

#[tokio::test]
async fn discard_creates_no_item_when_there_is_one() -> TestResult {
    let aws = with_item(&[("Status", "DEFERRED")]).await?;
    let writer = app::ledger_writer(&aws.config(), &aws.table, Duration::from_secs(60));
    let new = UnclaimedItem {
        message_id: "m-1",
        category: "UNKNOWN",
        failure_code: None,
        interaction_id: None,
        target: "crm",
        first_seen: NOW,
    };
    assert!(!writer.create_discarded(KEY, &new, &DECISION).await?);
    assert!(writer.create_discarded("e-2|crm", &new, &DECISION).await?);
    assert_eq!(aws.attribute(KEY, "Status").await?.as_deref(), Some("DEFERRED"));
    assert!(writer.forget_unclaimed("e-2|crm").await?);
    assert!(!writer.forget_unclaimed(KEY).await?);
    Ok(())
}

#[tokio::test]
async fn claimed_item_is_restored_and_not_forgotten() -> TestResult {
    let claimed =
        [("Status", "DISCARDED"), ("Attempts", "2"), ("MessageId", "m-1"), ("Owner", "worker")];
    let aws = with_item(&claimed).await?;
    let writer = app::ledger_writer(&aws.config(), &aws.table, Duration::from_secs(60));
    assert!(!writer.forget_unclaimed(KEY).await?);
    assert!(!writer.restore(KEY, expected(Status::Archived), &DECISION).await?);
    assert!(writer.restore(KEY, expected(Status::Discarded), &DECISION).await?);
    assert_eq!(aws.attribute(KEY, "Status").await?.as_deref(), Some("ARCHIVED"));
    Ok(())
}
