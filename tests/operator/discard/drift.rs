//! An event that changes while its plan is applied.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::{SystemClock, Timestamp};
use genesys_replay_cli::app;
use genesys_replay_cli::archive::s3::S3Writer;
use genesys_replay_cli::operator::Silent;
use genesys_replay_cli::operator::apply::{AuditEntry, History, Journal};
use genesys_replay_cli::operator::close::{AuditLog, Close, Copied, Mover, ObjectMover};
use genesys_replay_cli::operator::plan::{ClosingKind, Plan, PlanItem};
use genesys_replay_cli::operator::queue_reading::QueueReadError;
use genesys_test_support::TestResult;
use tokio_util::sync::CancellationToken;

use super::{close, keys};
use crate::discard::with_archived;
use crate::support::harness::OperatorHarness;

/// A mover whose events are delivered by another worker just after their copy was stored.
struct LateMover<'a> {
    mover: ObjectMover<'a, S3Writer>,
    desk: &'a OperatorHarness,
}

impl Mover for LateMover<'_> {
    type Fetched = ();

    async fn next(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<(usize, ())>, QueueReadError> {
        self.mover.next(items, todo, most).await
    }

    async fn copy(
        &self,
        planned: &PlanItem,
        fetched: (),
        first_seen: Option<Timestamp>,
    ) -> Result<Copied, AwsError> {
        let copied = self.mover.copy(planned, fetched, first_seen).await?;
        let failed = |error: String| AwsError {
            operation: error,
            kind: AwsErrorKind::Refused,
            detail: None,
        };
        let aws = &self.desk.world.aws;
        let client = aws.dynamodb();
        let call = client.update_item().table_name(&aws.table);
        let key = aws_sdk_dynamodb::types::AttributeValue::S(planned.key.clone());
        let status = aws_sdk_dynamodb::types::AttributeValue::S("COMPLETED".to_owned());
        call.key("EventId", key)
            .update_expression("SET #s = :s")
            .expression_attribute_names("#s", "Status")
            .expression_attribute_values(":s", status)
            .send()
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(copied)
    }

    async fn remove(&self, item: &PlanItem) -> Result<Result<(), String>, AwsError> {
        self.mover.remove(item).await
    }

    async fn release(&mut self) {
        self.mover.release().await;
    }
}

/// An audit that nobody reads.
struct NoAudit;

impl Journal for NoAudit {
    fn write(&mut self, _: &AuditEntry) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn discard_keeps_an_event_that_is_delivered_meanwhile() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let before = keys(&desk, false).await?;
    close(&desk, "discard", &[]).await?.with(0)?;
    let plan = Plan::read(desk.read("discard.json")?.as_bytes())?;
    let (aws, table) = (desk.world.aws.config(), &desk.world.aws.table);
    let archive = app::archive_writer(&aws, &desk.bucket);
    let mover = ObjectMover { archive: &archive, kind: ClosingKind::Discard };
    let mut journal = NoAudit;
    let run = Close {
        plan: &plan,
        kind: ClosingKind::Discard,
        history: History::default(),
        ledger: &app::ledger(&aws, table),
        writer: &app::ledger_writer(&aws, table, Duration::from_hours(360)),
        mover: LateMover { mover, desk: &desk },
        journal: AuditLog::new(&mut journal),
        by: "marta".to_owned(),
        reason: None,
        to: "the archive".to_owned(),
        clock: &SystemClock,
        stop: &CancellationToken::new(),
        progress: &Silent,
    };
    let summary = run.run().await?;
    assert_eq!((summary.closed, summary.changed.len()), (0, 1), "{summary:?}");
    assert!(!summary.is_well());
    assert_eq!(keys(&desk, false).await?, before);
    assert_eq!(desk.world.state("e-1").await?, "COMPLETED TARGET_REFUSED");
    Ok(())
}
