//! Credentials that only the AWS CLI can read.

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use genesys_test_support::{LocalAws, TestResult};
use tempfile::TempDir;

use crate::support::program::{Ran, program, run};

/// A profile with SSO.
const CONFIG: &str = "[profile night]
sso_session = staff
sso_account_id = 271828182845
sso_role_name = operator
region = eu-central-1

[sso-session staff]
sso_start_url = https://staff.example/start
sso_region = eu-central-1
";

/// Runs `report` with the profile, and with this `aws` as the only program on the path.
async fn report(folder: &Path, aws: &LocalAws) -> Result<Ran, Box<dyn Error>> {
    let config = folder.join("config");
    std::fs::write(&config, CONFIG)?;
    let endpoint = aws.endpoint();
    let arguments = ["report", "--profile", "night", "--endpoint-url", &endpoint];
    let output = program(&arguments)
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("PATH", format!("{}:/usr/bin:/bin", folder.join("bin").display()))
        .env("HOME", folder)
        .env("AWS_CONFIG_FILE", &config)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("IDEMPOTENCY_TABLE_NAME", &aws.table)
        .output()
        .await?;
    Ran::of(output)
}

fn install(folder: &TempDir, script: &str) -> TestResult {
    let bin = folder.path().join("bin");
    std::fs::create_dir_all(&bin)?;
    let aws = bin.join("aws");
    std::fs::write(&aws, format!("#!/bin/sh\n{script}\n"))?;
    std::fs::set_permissions(&aws, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[tokio::test]
async fn credentials_come_from_aws_command_when_profile_has_sso() -> TestResult {
    let aws = LocalAws::start().await?;
    let folder = tempfile::tempdir()?;
    let script = r#"echo "$@" > "$HOME/asked"
echo '{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"hush","SessionToken":"token"}'"#;
    install(&folder, script)?;
    let ran = report(folder.path(), &aws).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let asked = std::fs::read_to_string(folder.path().join("asked"))?;
    assert_eq!(asked.trim(), "configure export-credentials --format process --profile night");
    Ok(())
}

#[tokio::test]
async fn credentials_error_suggests_sso_login_when_session_expired() -> TestResult {
    let aws = LocalAws::start().await?;
    let folder = tempfile::tempdir()?;
    install(&folder, "echo 'the SSO session has expired' >&2; exit 255")?;
    let ran = report(folder.path(), &aws).await?;
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(ran.stderr.contains("aws sso login"), "{}", ran.stderr);
    Ok(())
}

#[tokio::test]
async fn wrong_clock_is_named_with_its_remedy() -> TestResult {
    let mut aws = mockito::Server::new_async().await;
    let refusal = r#"{"__type":"com.amazon.coral.service#InvalidSignatureException","message":"Signature expired: 20261201T010000Z is now earlier than 20261201T014500Z"}"#;
    let answer = aws.mock("POST", "/").with_status(400).with_body(refusal);
    answer.with_header("content-type", "application/x-amz-json-1.0").create_async().await;
    let ran = run(&[], &["report", "--endpoint-url", &aws.url()]).await?;
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("does not accept the time of this computer"), "{ran:?}");
    assert!(ran.stderr.contains("hint: set the clock"), "{ran:?}");
    Ok(())
}
