//! The output of `doctor rules` for people and programs.

use genesys_test_support::TestResult;
use serde_json::{Value, json};

use super::wired::{CRM, WiredRule, execute, finding};
use crate::draining::cloudwatch::CloudWatch;
use crate::support::program::run;

#[tokio::test]
async fn text_has_each_command_once_and_as_a_line_of_its_own() -> TestResult {
    let wired = WiredRule::good(None).await?;
    let retries = json!({ "MaximumRetryAttempts": 0 });
    wired.put_target(&json!({ "Id": "crm", "Arn": CRM, "RetryPolicy": retries })).await?;
    let text = wired.doctor(&[]).await?.with(1)?;
    assert!(text.starts_with("ok: 1, warnings: 0, errors: 1, skipped: 1\n\n"), "{text}");
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("aws ")).collect();
    let [command] = commands.as_slice() else { return Err(text.into()) };
    assert!(command.contains(" --region eu-central-1 --endpoint-url http"), "{command}");
    for line in [
        "error: no dead-letter queue: events",
        "warning: a short outage",
        "hint: give the target the queue",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    execute(command).await?;
    let text = wired.doctor(&[]).await?.with(0)?;
    assert!(text.starts_with("ok: 2, warnings: 0, errors: 0, skipped: 1\n\n"), "{text}");
    Ok(())
}

#[tokio::test]
async fn terraform_takes_the_place_of_the_command() -> TestResult {
    let wired = WiredRule::good(None).await?;
    wired.put_target(&json!({ "Id": "crm", "Arn": CRM })).await?;
    let text = wired.doctor(&["--terraform"]).await?.with(1)?;
    let block = format!("dead_letter_config {{\n  arn = \"{}\"\n}}\n", wired.queue);
    assert!(text.contains(&block) && !text.contains("aws events"), "{text}");
    Ok(())
}

#[tokio::test]
async fn lost_events_are_counted_from_the_metrics() -> TestResult {
    let wired = WiredRule::good(None).await?;
    wired.put_target(&json!({ "Id": "crm", "Arn": CRM })).await?;
    let metrics: [(&str, &[f64]); 2] = [("not_sent_0", &[2.0, 3.0]), ("failed_0", &[7.0])];
    let cloudwatch = CloudWatch::with_metrics(&metrics).await?;
    let (name, url) = cloudwatch.endpoint();
    let endpoint = wired.aws.endpoint();
    let variables =
        [(name, url.as_str()), ("REPLAY_QUEUE_URL", &wired.queue), ("AWS_ENDPOINT_URL", &endpoint)];
    let arguments = ["doctor", "rules", "--output", "json", "--bus", &wired.bus];
    let ran = run(&variables, &arguments).await?;
    for (code, found) in [
        (
            "lost_before_queue",
            "5 events of the last 14 days, 5 of the last 24 h, were lost before the dead-letter queue",
        ),
        (
            "lost_without_queue",
            "7 events of the last 14 days, 7 of the last 24 h, failed, and a target has no dead-letter queue",
        ),
    ] {
        let finding = finding(&ran, code)?;
        assert_eq!(
            (&finding["found"], &finding["verdict"], &finding["command"]),
            (&json!(found), &json!("error"), &Value::Null)
        );
    }
    ran.with(1)?;
    Ok(())
}

#[tokio::test]
async fn unsupported_target_and_missing_queue_name_the_next_step() -> TestResult {
    let wired = WiredRule::good(None).await?;
    let mut target = super::wired::target(&wired.queue);
    target["Arn"] = json!("arn:aws:ecs:eu-central-1:000000000000:cluster/c");
    wired.put_target(&target).await?;
    let ran = wired.doctor_with(&["--output", "json"]).await?;
    let hint = finding(&ran, "unsupported_target")?["hint"].clone();
    assert_eq!(hint, "genesys-replay explain TARGET_UNSUPPORTED");
    let hint = finding(&ran, "own_queue_unknown")?["hint"].clone();
    assert!(hint.as_str().is_some_and(|it| it.contains("--function")), "{hint}");
    Ok(())
}
