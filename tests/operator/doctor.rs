//! The checks of the deployment around the function.

pub(crate) mod deployed;
mod rules;
mod targets;

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use genesys_test_support::TestResult;
use serde_json::{Value, json};

use crate::support::program::{Ran, run};
use deployed::{Deployed, Genesys, SECRET};

/// Returns the checks of a run with this verdict, as `name: found`.
fn found(ran: &Ran, verdict: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let document = ran.json()?;
    let checks = document["checks"].as_array().cloned().unwrap_or_default();
    Ok(checks
        .iter()
        .filter(|check| check["verdict"] == verdict)
        .map(|check| format!("{}: {}", text(&check["name"]), text(&check["found"])))
        .collect())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Checks the rules of every run: every problem has a remedy, and no secret is printed.
fn is_well_said(ran: &Ran) -> TestResult {
    for check in ran.json()?["checks"].as_array().into_iter().flatten() {
        let has_remedy = !text(&check["remedy"]).trim().is_empty();
        assert_eq!(has_remedy, check["verdict"] != "ok", "{check}");
        assert!(!text(&check["found"]).is_empty(), "{check}");
    }
    assert!(!ran.says(SECRET) && !ran.says("a-token"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn doctor_reports_no_errors_for_a_good_deployment() -> TestResult {
    let mut deployed = Deployed::good().await?;
    let ran = deployed.examine(&["--output", "json"]).await?;
    is_well_said(&ran)?;
    assert_eq!(found(&ran, "error")?, [""; 0]);
    assert_eq!(found(&ran, "warning")?, [""; 0]);
    // The permission to write marks cannot be verified.
    assert_eq!(found(&ran, "skipped")?.len(), 1, "{ran:?}");
    assert_eq!(ran.code, Some(0));
    let names: BTreeMap<String, usize> = ran.json()?["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .fold(BTreeMap::new(), |mut names, check| {
            *names.entry(text(&check["name"]).to_owned()).or_default() += 1;
            names
        });
    let expected = [
        "Genesys hosts",
        "Genesys token",
        "archive",
        "event source",
        "function",
        "ledger expiry",
        "ledger table",
        "may mark interactions",
        "may read interactions",
        "may search conversations",
        "message size",
        "parking queue",
        "queue",
        "redrive policy",
        "settings",
        "target",
        "version",
        "visibility timeout",
    ];
    assert_eq!(names.keys().collect::<Vec<_>>(), expected);
    assert!(names.values().all(|count| *count == 1), "{names:?}");

    let ran = deployed.examine(&[]).await?;
    assert!(ran.stdout.contains("ok: 17, warnings: 0, errors: 0, skipped: 1"));
    assert!(!ran.stdout.contains('\u{1b}'), "no colours in a pipe");
    deployed.genesys.assert_nothing_was_written();
    Ok(())
}

/// A change of a good deployment, and the expected finding of doctor.
struct Fault {
    verdict: &'static str,
    found: &'static str,
    change: Change,
}

enum Change {
    /// A variable of the function; an empty value removes the variable.
    Variable(&'static str, &'static str),
    /// An attribute of the queue.
    Queue(&'static str, &'static str),
    /// An attribute of the parking queue.
    Parking(&'static str, &'static str),
    /// The event source mapping.
    Source(Value),
    /// The function's timeout, in seconds.
    Timeout(i32),
    /// The table's time to live is off.
    Forgetful,
    /// The queue has no redrive policy.
    Loose,
    /// Another Genesys Cloud.
    Genesys(Genesys),
}

const fn fault(verdict: &'static str, found: &'static str, change: Change) -> Fault {
    Fault { verdict, found, change }
}

/// Checks each change in its own deployment. Several run concurrently, because a deployment waits seconds for its function.
async fn are_found(faults: Vec<Fault>) -> TestResult {
    let faults = stream::iter(faults).map(is_found);
    faults.buffer_unordered(4).try_collect().await
}

async fn is_found(fault: Fault) -> TestResult {
    let Fault { verdict, found: expected, change } = fault;
    let mut deployed = Deployed::good().await?;
    match change {
        Change::Variable(name, value) => deployed.set(name, value).await?,
        Change::Queue(name, value) => deployed.queue_attribute(name, value).await?,
        Change::Parking(name, value) => deployed.parking_attribute(name, value).await?,
        Change::Source(change) => deployed.change_source(&change).await?,
        Change::Timeout(seconds) => deployed.timeout(seconds).await?,
        Change::Forgetful => deployed.forget_nothing().await?,
        Change::Loose => deployed.queue_attribute("RedrivePolicy", "").await?,
        Change::Genesys(genesys) => deployed.genesys.become_like(genesys).await,
    }
    let ran = deployed.examine(&["--output", "json"]).await?;
    is_well_said(&ran)?;
    let said = found(&ran, verdict)?;
    assert_eq!(said.len(), 1, "{expected}: {ran:?}");
    assert!(said.iter().all(|it| it.contains(expected)), "{expected}: {said:?}");
    let other = if verdict == "error" { "warning" } else { "error" };
    assert_eq!(found(&ran, other)?, [""; 0], "{expected}");
    let code = i32::from(verdict == "error");
    assert_eq!(ran.code, Some(code), "{expected}");
    Ok(())
}

#[tokio::test]
async fn doctor_finds_each_fault_of_the_queues() -> TestResult {
    are_found(vec![
        fault("warning", "less than six times", Change::Queue("VisibilityTimeout", "180")),
        fault("error", "received again while", Change::Queue("VisibilityTimeout", "30")),
        fault("warning", "less than six times", Change::Timeout(120)),
        fault("error", "is received until SQS deletes it", Change::Loose),
        fault("warning", "as the queue does", Change::Parking("MessageRetentionPeriod", "864000")),
        fault("error", "deleted at once", Change::Parking("MessageRetentionPeriod", "345600")),
        fault(
            "warning",
            "maxReceiveCount is 203, MAX_RECEIVES is 202",
            Change::Variable("MAX_RECEIVES", "202"),
        ),
        fault(
            "warning",
            "5 receives may last only 15 s, and RETRY_FOR_HOURS requires 72 h",
            Change::Variable("MAX_RECEIVES", "5"),
        ),
    ])
    .await
}

#[tokio::test]
async fn doctor_finds_each_fault_of_the_function() -> TestResult {
    are_found(vec![
        fault(
            "error",
            "ReportBatchItemFailures",
            Change::Source(json!({ "FunctionResponseTypes": [] })),
        ),
        fault(
            "error",
            "deletes messages that no filter matches",
            Change::Source(json!({ "FilterCriteria": { "Filters": [{ "Pattern": "{}" }] } })),
        ),
        fault("warning", "the mapping is disabled", Change::Source(json!({ "Enabled": false }))),
        fault(
            "warning",
            "up to 20 messages",
            Change::Source(json!({ "BatchSize": 20, "MaximumBatchingWindowInSeconds": 1 })),
        ),
        fault(
            "error",
            "does not exist in this account and region",
            Change::Variable("IDEMPOTENCY_TABLE_NAME", "no-such-table"),
        ),
        fault("warning", "never deleted", Change::Forgetful),
        fault(
            "error",
            "bucket no-such-bucket does not exist",
            Change::Variable("ARCHIVE_BUCKET", "no-such-bucket"),
        ),
        fault("warning", "ARCHIVE_BUCKET is not set", Change::Variable("ARCHIVE_BUCKET", "")),
        fault("error", "MAX_ATTEMPTS", Change::Variable("MAX_ATTEMPTS", "many")),
        fault("warning", "can choose the target", Change::Variable("REPLAY_TARGET", "original")),
    ])
    .await
}

#[tokio::test]
async fn doctor_warns_when_the_variables_are_nearly_too_long() -> TestResult {
    let mut deployed = Deployed::good().await?;
    let pattern = format!("arn:aws:lambda:*:*:function:{}", "x".repeat(3_600));
    deployed.set("ALLOWED_TARGETS", &pattern).await?;
    let ran = deployed.examine(&["--output", "json"]).await?;
    let warnings = found(&ran, "warning")?;
    assert!(warnings.iter().any(|it| it.contains("Lambda allows 4096")), "{warnings:?}");
    Ok(())
}

#[tokio::test]
async fn doctor_finds_each_fault_of_genesys_cloud() -> TestResult {
    are_found(vec![
        fault("error", "Genesys token: ", Change::Genesys(Genesys::UnknownClient)),
        fault("error", "may read interactions: ", Change::Genesys(Genesys::MayNotRead)),
        fault("error", "may mark interactions: ", Change::Genesys(Genesys::MayNotMark)),
        fault("warning", "may search conversations: ", Change::Genesys(Genesys::MayNotSearch)),
    ])
    .await
}

#[tokio::test]
async fn doctor_finds_settings_of_the_legacy_sample_api() -> TestResult {
    are_found(vec![
        fault(
            "warning",
            "OAUTH_CLIENT_ID is not a setting",
            Change::Variable("OAUTH_CLIENT_ID", SECRET),
        ),
        fault(
            "warning",
            "S3_ARCHIVE_BUCKET is not a setting",
            Change::Variable("S3_ARCHIVE_BUCKET", "b"),
        ),
        fault(
            "warning",
            "names eventbridge:endpoint:read",
            Change::Variable("OAUTH_SCOPES", "eventbridge:endpoint:read"),
        ),
        fault(
            "error",
            "requests tokens at api.mypurecloud.com",
            Change::Variable("ENDPOINT", "https://api.mypurecloud.com/oauth/token"),
        ),
        fault(
            "warning",
            "GENESYS_REGOIN is not read",
            Change::Variable("GENESYS_REGOIN", "eu-central-1"),
        ),
    ])
    .await
}

#[tokio::test]
async fn doctor_stops_with_a_hint_when_credentials_expired() -> TestResult {
    let mut aws = mockito::Server::new_async().await;
    let expired = r#"{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token included in the request is expired"}"#;
    let app = format!(" app/{}", genesys_replay_version::AWS_APP_NAME);
    let user_agent = mockito::Matcher::Regex(app.replace('.', "[.]"));
    aws.mock("POST", mockito::Matcher::Any)
        .match_header("user-agent", user_agent.clone())
        .with_status(400)
        .with_header("content-type", "application/x-amz-json-1.0")
        .with_header("x-amzn-errortype", "ExpiredTokenException")
        .with_body(expired)
        .create_async()
        .await;
    aws.mock("GET", mockito::Matcher::Any)
        .match_header("user-agent", user_agent)
        .with_status(403)
        .with_header("x-amzn-errortype", "ExpiredTokenException")
        .with_body(expired)
        .create_async()
        .await;
    let url = aws.url();
    let variables = [("RETRY_STATE", "off"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    for arguments in [
        &["doctor", "--endpoint-url", &url, "--function", "replay"][..],
        &["doctor", "--endpoint-url", &url, "--queue", "dead-letters"],
    ] {
        let ran = run(&variables, arguments).await?;
        assert_eq!(ran.code, Some(4), "{ran:?}");
        assert!(ran.stderr.contains("does not accept the credentials"), "{ran:?}");
        assert!(ran.stderr.contains("hint: renew your AWS credentials"), "{ran:?}");
        assert!(!ran.says(SECRET), "{ran:?}");
    }
    Ok(())
}

#[tokio::test]
async fn doctor_continues_when_one_check_fails() -> TestResult {
    let mut deployed = Deployed::good().await?;
    let ran = deployed.examine(&["--output", "json", "--queue", "no-such-queue"]).await?;
    is_well_said(&ran)?;
    let said = found(&ran, "error")?;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said.iter().all(|it| it.starts_with("queue: ")), "{said:?}");
    assert!(found(&ran, "ok")?.iter().any(|it| it.starts_with("target: ")));

    let endpoint = deployed.aws.endpoint();
    let arguments =
        ["doctor", "--endpoint-url", &endpoint, "--function", "no-such", "--output", "json"];
    let ran = run(&[], &arguments).await?;
    // Without the function there is nothing to check.
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{ran:?}");
    let error = "error: the function no-such does not exist in eu-central-1";
    assert!(ran.stderr.starts_with(error), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn doctor_without_settings_reports_missing_and_skips_genesys() -> TestResult {
    let aws = genesys_test_support::LocalAws::start().await?;
    let endpoint = aws.endpoint();
    let arguments = ["doctor", "--endpoint-url", &endpoint, "--output", "json"];
    let ran = run(&[("IDEMPOTENCY_TABLE_NAME", &aws.table)], &arguments).await?;
    is_well_said(&ran)?;
    assert_eq!(ran.code, Some(1));
    let said = found(&ran, "error")?;
    for name in ["GENESYS_REGION", "GENESYS_CLIENT_ID", "GENESYS_CLIENT_SECRET"] {
        assert!(said.iter().any(|it| it.contains(name)), "{name}: {said:?}");
    }
    let skipped = found(&ran, "skipped")?;
    assert!(
        skipped.contains(&"Genesys token: the settings cannot be used".to_owned()),
        "{skipped:?}"
    );
    assert!(found(&ran, "ok")?.iter().any(|it| it.starts_with("ledger table: ")));
    Ok(())
}

#[tokio::test]
async fn doctor_checks_the_settings_and_the_queue_of_ingest() -> TestResult {
    let mut deployed = Deployed::good().await?;
    let (queue, genesys) = (
        deployed.queue().to_owned(),
        [("GENESYS_REGION", "eu-central-1"), ("GENESYS_SECRET_ID", "genesys/client")],
    );
    let missing = format!("{queue}-missing");
    for (settings, verdict, expected) in [
        (
            &[("REPLAY_QUEUE_URL", queue.as_str()), ("INGEST_SECRET_ID", "s")][..],
            "ok",
            "settings: ingest starts with these settings",
        ),
        (
            &[("REPLAY_QUEUE_URL", &missing), ("INGEST_AUTH", "iam")],
            "error",
            "queue: the queue of REPLAY_QUEUE_URL does not exist",
        ),
        (
            &[("REPLAY_QUEUE_URL", &queue), ("INGEST_AUTH", "none")],
            "warning",
            "authentication: INGEST_AUTH=none",
        ),
        (&[("INGEST_AUTH", "iam")], "error", "settings: REPLAY_QUEUE_URL is missing"),
        (
            &[("INGEST_AUTH", "iam"), ("SQS_DLQ_URL", SECRET)],
            "warning",
            "settings: SQS_DLQ_URL is not a setting",
        ),
    ] {
        deployed.replace_variables(&[settings, &genesys].concat()).await?;
        let ran = deployed.examine(&["--output", "json"]).await?;
        is_well_said(&ran)?;
        let found = found(&ran, verdict)?;
        assert!(found.iter().any(|it| it.starts_with(expected)), "{expected}: {ran:?}");
    }
    Ok(())
}
