//! The start-up of the real program: refused settings, and warnings.

use std::collections::BTreeSet;
use std::process::Output;

use genesys_test_support::{Function, ReplayHarness, TestResult, are_documented, command, event};
use serde_json::Value;

/// Returns a harness whose settings cause no warning except for plain HTTP.
async fn harness() -> Result<ReplayHarness, Box<dyn std::error::Error>> {
    let mut harness = ReplayHarness::start().await?;
    harness.set("BACKOFF_BASE_SECONDS", "2");
    Ok(harness)
}

/// Starts the program and waits until it ends.
async fn output(harness: &ReplayHarness) -> Result<Output, Box<dyn std::error::Error>> {
    Ok(command(crate::REPLAY, harness.settings(), &harness.aws).output().await?)
}

/// Returns the settings that the start-up warns of.
async fn warned(harness: &ReplayHarness) -> Result<BTreeSet<String>, Box<dyn std::error::Error>> {
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    function.invoke(event(&[])).await?;
    let lines = function.end().await?.lines()?;
    are_documented(&lines)?;
    let before_the_batch = lines.iter().take_while(|line| line["message"] != "batch");
    let warnings = before_the_batch.filter(|line| line["level"] == "WARN");
    let settings = warnings.filter_map(|line| line["setting"].as_str().map(str::to_owned));
    Ok(settings
        .filter(|setting| setting != "REPLAY_TARGET" && !setting.ends_with("_BASE_URL"))
        .collect())
}

#[tokio::test]
async fn startup_refuses_link_local_targets_in_every_form() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    for host in [
        "169.254.169.254",
        "[fd00:ec2::23]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[::ffff:0:a9fe:a9fe]",
        "[2001:db8::5efe:a9fe:a9fe]",
    ] {
        harness.set("REPLAY_TARGET", &format!("http://{host}/latest"));
        let output = output(&harness).await?;
        assert!(!output.status.success(), "{host}");
        let line: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(line["message"], "start-up refused", "{host}");
        let error = line["error"].as_str().unwrap_or_default();
        assert!(error.contains("REPLAY_TARGET is a link-local"), "{host}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn startup_refuses_passwords_in_urls_and_does_not_log_them() -> TestResult {
    for name in ["REPLAY_TARGET", "GENESYS_API_BASE_URL", "GENESYS_LOGIN_BASE_URL"] {
        for user in ["someone:hush-hush@", ":hush-hush@", "hush-hush@"] {
            let mut harness = ReplayHarness::start().await?;
            harness.set(name, &format!("https://{user}crm.example/"));
            let output = output(&harness).await?;
            assert!(!output.status.success(), "{name}");
            let printed = String::from_utf8([output.stdout, output.stderr].concat())?;
            assert!(printed.contains(name) && !printed.contains("hush"), "{printed}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn startup_warns_of_variables_that_are_not_settings() -> TestResult {
    let mut harness = harness().await?;
    assert!(warned(&harness).await?.is_empty());
    let others = ["GENESYS_ENVIRONMENT", "S3_ARCHIVE_BUCKET", "TARGET_API_URL"];
    for name in others {
        harness.set(name, "hush-hush");
    }
    assert_eq!(warned(&harness).await?, others.map(str::to_owned).into());
    Ok(())
}

#[tokio::test]
async fn startup_warns_of_the_legacy_sample_api() -> TestResult {
    let mut harness = harness().await?;
    harness.set("GENESYS_ORG_ID", "acme");
    assert!(warned(&harness).await?.is_empty(), "the API's address is given");
    harness.set("GENESYS_API_BASE_URL", "");
    assert_eq!(warned(&harness).await?, ["GENESYS_ORG_ID".to_owned()].into());
    Ok(())
}

#[tokio::test]
async fn startup_warns_when_no_or_every_target_is_allowed() -> TestResult {
    let mut harness = harness().await?;
    harness.set("REPLAY_TARGET", "original");
    for (allowed, is_risky) in [
        ("", true),
        ("*", true),
        ("*,", true),
        ("arn:aws:sqs:*, **", true),
        ("arn:aws:ecs:*:*:cluster/crm", true),
        ("arn:aws:lambda:*:*:function:crm-*", false),
    ] {
        harness.set("ALLOWED_TARGETS", allowed);
        let expected = is_risky.then(|| "ALLOWED_TARGETS".to_owned());
        assert_eq!(warned(&harness).await?, expected.into_iter().collect(), "{allowed}");
    }
    Ok(())
}
