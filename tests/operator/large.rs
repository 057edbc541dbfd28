//! A plan of many pages.

use std::time::Duration;

use genesys_fakes::ManualClock;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::destination::{AllowedTargets, Redirects, ReplayTarget};
use genesys_replay::replay::Limits;
use genesys_replay_cli::archive::{ArchiveReader, ArchivedObject, ObjectPage};
use genesys_replay_cli::ledger::{LedgerReader, Record, RecordPage};
use genesys_replay_cli::operator::Silent;
use genesys_replay_cli::operator::plan::{
    Plan, PlanBuilder, PlanContent, PlanContext, PlanKind, PlanSource, Selection,
};
use genesys_test_support::{TestResult, conversation_event};
use serde_json::json;

/// An archive with this many objects. Each is created when it is read, and not stored.
struct Endless {
    objects: usize,
}

impl ArchiveReader for Endless {
    async fn page(&self, prefix: &str, from: Option<&str>) -> Result<ObjectPage, AwsError> {
        let first: usize = from.and_then(|from| from.parse().ok()).unwrap_or(0);
        let end = (first + 1_000).min(self.objects);
        let objects = (first..end).map(|number| ArchivedObject {
            key: format!("{prefix}{number}"),
            size: 2_000,
            etag: String::new(),
        });
        Ok(ObjectPage {
            objects: objects.collect(),
            next: (end < self.objects).then(|| end.to_string()),
        })
    }

    async fn get(&self, key: &str, _: u64) -> Result<Option<(Vec<u8>, String)>, AwsError> {
        let document = json!({
            "event_id": key,
            "message_id": key,
            "category": "ENDPOINT_UNREACHABLE",
            "failure_code": "EXHAUSTED",
            "target": "arn:aws:lambda:eu-central-1:271828182845:function:crm",
            "first_seen_at": "2026-07-25T17:20:00Z",
            "archived_at": "2026-07-25T17:20:00Z",
            "attributes": { "TARGET_ARN": "arn:aws:lambda:eu-central-1:271828182845:function:crm" },
            "body": conversation_event(key, "c-1"),
        });
        Ok(Some((document.to_string().into_bytes(), String::new())))
    }
}

/// An empty ledger.
pub(super) struct Empty;

impl LedgerReader for Empty {
    async fn scan(&self, _: u32, _: u32, _: Option<&str>) -> Result<RecordPage, AwsError> {
        Ok(RecordPage::default())
    }

    async fn find(&self, _: &[&str]) -> Result<Vec<Record>, AwsError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn plan_of_many_pages_has_all_items_and_no_bodies() -> TestResult {
    let target = ReplayTarget::original(AllowedTargets::Any);
    let selection = Selection::default();
    let now = ManualClock::at(Timestamp::from_millis(1_785_000_000_000)).now();
    let about = PlanContext {
        target: &target,
        redirects: &Redirects::NONE,
        queue_arn: "q",
        remember: Duration::from_secs(15 * 86_400),
        rules: Limits::default().rules(true),
    };
    let archive = Endless { objects: 3_500 };
    let mut builder = PlanBuilder::new(&Empty, about, &selection, now);
    builder.collect_from_archive(&archive, "dlq/", &Silent).await?;
    let (items, left_out) = builder.finish().await?;
    assert_eq!((items.len(), left_out.len()), (3_500, 0));
    let plan = Plan::of(PlanContent {
        created_at: now.to_string(),
        created_by: "marta".to_owned(),
        written_by: None,
        reason: "all of them".to_owned(),
        kind: PlanKind::Replay,
        edit_of: None,
        source: PlanSource::Archive { bucket: "b".to_owned(), prefix: "dlq/".to_owned() },
        queue_arn: "q".to_owned(),
        selection,
        items,
        left_out,
    });
    let file = plan.write()?;
    assert_eq!(Plan::read(file.as_bytes())?, plan);
    assert!(!file.contains("tel:+49"));
    Ok(())
}
