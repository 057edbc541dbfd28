//! `report`, on the local AWS.

use std::error::Error;

use genesys_replay::clock::{Clock, SystemClock};
use genesys_test_support::{LocalAws, Record, ReplayHarness, TestResult};
use serde_json::{Value, json};

use super::items::{item, write};
use crate::support::program::run;

const SEEN: (&str, &str) = ("FirstSeenAt", "2026-07-25T17:20:00Z");

/// Returns the report as JSON, of a run without an error.
async fn report(aws: &LocalAws) -> Result<Value, Box<dyn Error>> {
    let endpoint = aws.endpoint();
    let arguments = ["report", "--output", "json", "--endpoint-url", &endpoint];
    let ran = run(&[("IDEMPOTENCY_TABLE_NAME", &aws.table)], &arguments).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.json()
}

#[tokio::test]
async fn report_of_an_empty_table_has_all_members() -> TestResult {
    let aws = LocalAws::start().await?;
    let report = report(&aws).await?;
    assert_eq!(report["total_tracked"], json!(0));
    assert_eq!(report["success_rate"], json!(0.0));
    assert_eq!(report["status_distribution"], json!({}));
    assert_eq!(report["category_distribution"], json!({}));
    assert!(report["generated_at"].is_string());
    Ok(())
}

/// A page of a scan ends after 1 MB: these items are 1,000 times 2.2 kB in each of four segments.
#[tokio::test]
async fn report_counts_exactly_over_pages_and_segments() -> TestResult {
    let aws = LocalAws::start().await?;
    let filler = "x".repeat(2_200);
    let mut items = Vec::new();
    for number in 0..4_000_u32 {
        let status = ["COMPLETED", "COMPLETED", "COMPLETED", "ARCHIVED", "DEFERRED"];
        let status = status.get(usize::try_from(number % 5)?).ok_or("no status")?;
        let members = [
            ("Status", *status),
            ("Category", ["ENDPOINT_UNREACHABLE", "UNKNOWN"][usize::from(number % 4 == 0)]),
            ("Target", "arn:aws:lambda:eu-central-1:271828182845:function:crm"),
            ("Attempts", if number % 2 == 0 { "1" } else { "3" }),
            ("InteractionId", &filler),
            SEEN,
        ];
        items.push(item(&format!("event-{number}|crm"), &members)?);
    }
    write(&aws, items).await?;
    let page = aws.dynamodb().scan().table_name(&aws.table).segment(0).total_segments(4);
    let page = page.send().await?;
    assert!(page.last_evaluated_key().is_some(), "one page holds a segment");
    let report = report(&aws).await?;
    let statuses = json!({ "COMPLETED": 2_400, "ARCHIVED": 800, "DEFERRED": 800 });
    assert_eq!(report["total_tracked"], json!(4_000));
    assert_eq!(report["status_distribution"], statuses);
    assert_eq!(
        report["category_distribution"],
        json!({ "ENDPOINT_UNREACHABLE": 3_000, "UNKNOWN": 1_000 })
    );
    assert_eq!(report["success_rate"], json!(60.0));
    assert_eq!(report["attempts_histogram"], json!({ "1": 2_000, "3": 2_000 }));
    Ok(())
}

#[tokio::test]
async fn report_names_findings_and_exits_with_1() -> TestResult {
    for (members, named) in [
        (vec![("Status", "FAILED"), SEEN], "1 FAILED"),
        (
            vec![("Status", "IN_PROGRESS"), ("LeaseUntil", "1000"), SEEN],
            "because their worker died",
        ),
        (vec![("Status", "PONDERED"), SEEN], "does not support"),
    ] {
        let aws = LocalAws::start().await?;
        write(&aws, vec![item("event-1|crm", &members)?]).await?;
        let arguments = ["report", "--endpoint-url", &aws.endpoint()];
        let ran = run(&[("IDEMPOTENCY_TABLE_NAME", &aws.table)], &arguments).await?;
        assert_eq!(ran.code, Some(1), "{} {}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(named), "{}", ran.stdout);
    }
    Ok(())
}

#[tokio::test]
async fn report_names_the_oldest_open_event_and_filters_by_age() -> TestResult {
    let aws = LocalAws::start().await?;
    let items = vec![
        item("old|crm", &[("Status", "DEFERRED"), ("FirstSeenAt", "2026-07-01T00:00:00Z")])?,
        item("young|crm", &[("Status", "DEFERRED"), ("FirstSeenAt", "2026-07-20T00:00:00Z")])?,
        item(
            "done|crm",
            &[
                ("Status", "COMPLETED"),
                ("FirstSeenAt", "2026-06-01T00:00:00Z"),
                ("ProcessedAt", "2026-07-21T00:00:00Z"),
            ],
        )?,
    ];
    write(&aws, items).await?;
    let variables = [("IDEMPOTENCY_TABLE_NAME", aws.table.as_str())];
    let endpoint = aws.endpoint();
    let all = ["report", "--output", "json", "--endpoint-url", &endpoint];
    let report = run(&variables, &all).await?.json()?;
    assert_eq!(report["oldest_open"]["key"], json!("old|crm"));
    let since = [
        "report",
        "--output",
        "json",
        "--since",
        "2026-07-15T00:00:00Z",
        "--endpoint-url",
        &endpoint,
    ];
    let report = run(&variables, &since).await?.json()?;
    assert_eq!(report["oldest_open"]["key"], json!("young|crm"));
    assert_eq!(report["total_tracked"], json!(2));
    assert_eq!(report["left_out_as_older"], json!(1));
    let wrong = ["report", "--since", "soon", "--endpoint-url", &endpoint];
    let ran = run(&variables, &wrong).await?;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("an age (6h"), "{}", ran.stderr);
    Ok(())
}

#[tokio::test]
async fn report_writes_a_complete_html_page() -> TestResult {
    let aws = LocalAws::start().await?;
    write(&aws, vec![item("a|crm", &[("Status", "COMPLETED"), SEEN])?]).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.html");
    let file = file.to_str().ok_or("no path")?;
    let arguments = ["report", "--html", file, "--endpoint-url", &aws.endpoint()];
    let ran = run(&[("IDEMPOTENCY_TABLE_NAME", &aws.table)], &arguments).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let page = std::fs::read_to_string(file)?;
    assert!(page.contains("COMPLETED") && page.ends_with("</html>\n"));
    Ok(())
}

/// Returns the report of a function's ledger and archive, of a run without an error, and its messages to stderr.
async fn report_of(harness: &ReplayHarness) -> Result<(Value, String), Box<dyn Error>> {
    let endpoint = harness.aws.endpoint();
    let settings = harness.settings().iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let arguments = ["report", "--output", "json", "--endpoint-url", &endpoint];
    let ran = run(&settings.collect::<Vec<_>>(), &arguments).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    Ok((ran.json()?, ran.stderr))
}

#[tokio::test]
async fn report_counts_archived_events_without_a_ledger_item() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    let sent_now = |mut record: Record| {
        let now = SystemClock.now().as_millis().to_string();
        record.0["attributes"]["SentTimestamp"] = json!(now);
        record
    };
    let malformed = |number: u32| {
        let id = number.to_string();
        sent_now(Record::dead_letter(&format!("m-{id}"), &format!("e-{id}"), "c-1"))
            .with("ERROR_CODE", "INVALID_JSON")
    };
    let records = [
        malformed(1),
        malformed(2),
        sent_now(Record::new("m-3", "<html>")),
        Record::dead_letter("m-4", "e-4", "c-1"),
        // Archived before the retention of the ledger, as far as its key shows.
        Record::new("m-5", "<html>"),
    ];
    assert!(harness.deliver(&records).await?.is_empty());
    let (report, _) = report_of(&harness).await?;
    assert_eq!((&report["total_tracked"], &report["total_events"]), (&json!(1), &json!(4)));
    assert_eq!(report["success_rate"], json!(25.0));
    let by_code = json!({ "PAYLOAD_MALFORMED": 2, "NOT_AN_EVENT": 1 });
    assert_eq!(report["archived_without_ledger_item"], by_code);

    // An operator replay claims the event, which then counts once.
    assert!(harness.deliver(&[malformed(2).with("ReplayPlan", "p-1")]).await?.is_empty());
    let (report, _) = report_of(&harness).await?;
    assert_eq!((&report["total_tracked"], &report["total_events"]), (&json!(2), &json!(4)));
    assert_eq!(report["success_rate"], json!(50.0));
    Ok(())
}

#[tokio::test]
async fn report_says_its_basis_when_the_archive_cannot_be_read() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("ARCHIVE_BUCKET", "no-such-bucket");
    let (report, said) = report_of(&harness).await?;
    assert_eq!(report["success_rate_of"], json!("ledger items"));
    assert_eq!(report["archived_without_ledger_item"], json!(null));
    assert!(said.contains("warning: counting without the archive: "), "{said}");
    Ok(())
}
