//! Parts that cannot be read: each missing permission is a finding of its own, and the other checks are made.

use genesys_test_support::TestResult;
use mockito::{Matcher, ServerGuard};
use serde_json::{Value, json};

use super::wired::{finding, findings};
use crate::support::program::{Ran, run};

const ACCOUNT: &str = "arn:aws:sqs:eu-central-1:271828182845";

async fn answer(server: &mut ServerGuard, operation: &str, request: Value, answer: Value) {
    let mock = server
        .mock("POST", Matcher::Any)
        .match_header("x-amz-target", operation)
        .match_body(Matcher::PartialJson(request))
        .with_body(answer.to_string());
    mock.create_async().await;
}

/// Returns a stand-in of AWS that denies every call without another answer.
async fn denying() -> ServerGuard {
    let mut server = mockito::Server::new_async().await;
    for method in ["GET", "POST"] {
        let mock = server
            .mock(method, Matcher::Any)
            .with_status(400)
            .with_header("x-amzn-errortype", "AccessDeniedException")
            .with_body(json!({ "__type": "AccessDeniedException" }).to_string());
        mock.create_async().await;
    }
    server
}

async fn doctor(server: &ServerGuard, more: &[&str]) -> Result<Ran, Box<dyn std::error::Error>> {
    let url = server.url();
    let arguments = ["doctor", "rules", "--output", "json", "--endpoint-url", &url];
    run(&[], &[&arguments, more].concat()).await
}

/// Returns the actions that the findings name.
fn actions(ran: &Ran) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let named = findings(ran)?.into_iter().filter_map(|finding| {
        let found = finding["found"].as_str()?.to_owned();
        let (_, rest) = found.split_once('(')?;
        Some(rest.split_once(')')?.0.to_owned())
    });
    let mut named: Vec<String> = named.filter(|name| name.contains(':')).collect();
    named.sort();
    Ok(named)
}

#[tokio::test]
async fn every_missing_permission_is_named_and_others_are_checked() -> TestResult {
    let mut server = denying().await;
    let of_rules = |resource: &str| format!("arn:aws:events:eu-central-1:271828182845:{resource}");
    let queue = |name: &str| format!("{ACCOUNT}:{name}");
    let bus = json!({ "Name": "b", "Arn": of_rules("event-bus/b") });
    answer(&mut server, "AWSEvents.ListEventBuses", json!({}), json!({ "EventBuses": [bus] }))
        .await;
    let names = ["denied", "none", "closed", "unknown-key", "key-without-policy"];
    let rules = names.map(|name| {
        json!({ "Name": name,
        "Arn": of_rules(&format!("rule/b/{name}")),
        "State": "ENABLED", "EventBusName": "b" })
    });
    answer(&mut server, "AWSEvents.ListRules", json!({}), json!({ "Rules": rules })).await;
    for name in &names[1..] {
        let mut target =
            json!({ "Id": "t", "Arn": "arn:aws:lambda:eu-central-1:271828182845:function:f" });
        if *name != "none" {
            target["DeadLetterConfig"] = json!({ "Arn": queue(name) });
        }
        answer(
            &mut server,
            "AWSEvents.ListTargetsByRule",
            json!({ "Rule": name }),
            json!({ "Targets": [target] }),
        )
        .await;
        let url = format!("{}/271828182845/{name}", server.url());
        answer(
            &mut server,
            "AmazonSQS.GetQueueUrl",
            json!({ "QueueName": name }),
            json!({ "QueueUrl": url }),
        )
        .await;
    }
    for (name, key) in [("unknown-key", "key-1"), ("key-without-policy", "key-2")] {
        let url = format!("{}/271828182845/{name}", server.url());
        let attributes = json!({ "Attributes": { "QueueArn": queue(name),
            "KmsMasterKeyId": key, "MaximumMessageSize": "1048576" } });
        answer(&mut server, "AmazonSQS.GetQueueAttributes", json!({ "QueueUrl": url }), attributes)
            .await;
    }
    let key = json!({ "KeyMetadata": { "KeyId": "key-2",
        "Arn": "arn:aws:kms:eu-central-1:271828182845:key/key-2",
        "KeyState": "Enabled" } });
    answer(&mut server, "TrentService.DescribeKey", json!({ "KeyId": "key-2" }), key).await;

    let queue_url = format!("{}/271828182845/denied", server.url());
    let ran = doctor(&server, &["--function", "f", "--queue", &queue_url]).await?;
    assert_eq!(
        actions(&ran)?,
        [
            "cloudwatch:GetMetricData",
            "events:DescribeEventBus",
            "events:ListEventSources",
            "events:ListTargetsByRule",
            "kms:DescribeKey",
            "kms:GetKeyPolicy",
            "lambda:GetFunctionConfiguration",
            "sqs:GetQueueAttributes",
            "sqs:GetQueueAttributes",
        ],
        "{ran:?}"
    );
    assert_eq!(finding(&ran, "no_metrics")?["verdict"], "skipped");
    // The other checks are made.
    finding(&ran, "no_dead_letter_queue")?;
    finding(&ran, "policy_refuses")?;
    ran.with(1)?;
    Ok(())
}

#[tokio::test]
async fn default_bus_is_checked_when_buses_cannot_be_listed() -> TestResult {
    let mut server = denying().await;
    let rule = json!({ "Name": "r", "Arn": "arn:aws:events:eu-central-1:271828182845:rule/r" });
    let rules = json!({ "Rules": [rule] });
    answer(&mut server, "AWSEvents.ListRules", json!({ "EventBusName": "default" }), rules).await;
    let ran = doctor(&server, &[]).await?;
    let named = actions(&ran)?;
    assert!(named.contains(&"events:ListEventBuses".to_owned()), "{named:?}");
    assert!(named.contains(&"events:ListTargetsByRule".to_owned()), "{named:?}");
    Ok(())
}

#[tokio::test]
async fn rejected_credentials_end_the_command() -> TestResult {
    let mut server = mockito::Server::new_async().await;
    let mock = server
        .mock("POST", Matcher::Any)
        .with_status(400)
        .with_header("x-amzn-errortype", "ExpiredTokenException")
        .with_body("{}");
    mock.create_async().await;
    let ran = doctor(&server, &[]).await?;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), ""), "{ran:?}");
    assert!(ran.stderr.contains("hint: renew your AWS credentials"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn queue_of_another_account_is_skipped_and_named() -> TestResult {
    let wired = super::wired::WiredRule::good(None).await?;
    let foreign = "arn:aws:sqs:eu-central-1:314159265358:theirs";
    wired.put_target(&super::wired::target(foreign)).await?;
    let ran = wired.doctor(&["--output", "json"]).await?;
    let found = finding(&ran, "queue_in_other_account")?;
    assert_eq!((&found["verdict"], &found["command"]), (&json!("skipped"), &Value::Null));
    assert!(found["found"].as_str().is_some_and(|it| it.contains(foreign)), "{found}");
    ran.with(0)?;
    Ok(())
}
