//! A wrong name of the function.

use genesys_replay::destination::Arn;
use genesys_test_support::{LocalAws, TestResult};

use crate::support::program::run;

#[tokio::test]
async fn unknown_function_gets_suggestions_in_every_command() -> TestResult {
    let aws = LocalAws::start().await?;
    let arn = aws.create_function("http://127.0.0.1:1").await?;
    let name = Arn::parse(&arn).ok_or("no ARN")?.resource().replace("function:", "");
    let (endpoint, wrong) = (aws.endpoint(), name.to_uppercase() + "x");
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out.json");
    let out = out.to_str().ok_or("no path")?;
    for command in [
        &["doctor"][..],
        &["status"],
        &["pause", "--reason", "any"],
        &["resume"],
        &["diagnose", "--out", out],
        &["plan", "--reason", "any", "--out", out],
        &["report"],
        &["reconcile"],
        &["import", "--file", "-"],
    ] {
        let common = ["--endpoint-url", &endpoint, "--function", &wrong];
        let ran = run(&[], &[command, &common].concat()).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{command:?}: {ran:?}");
        let error = format!("error: the function {wrong} does not exist in eu-central-1");
        assert!(ran.stderr.starts_with(&error), "{command:?}: {ran:?}");
        let hint = ran.stderr.lines().find(|line| line.contains("hint: similar names: "));
        assert!(hint.is_some_and(|hint| hint.contains(&name)), "{command:?}: {ran:?}");
    }
    let ran = run(&[], &["report", "--endpoint-url", &endpoint, "--function", "zzz"]).await?;
    assert!(ran.stderr.contains("hint: check --function, --region and --profile"), "{ran:?}");
    Ok(())
}
