//! Each printed command removes its finding.

use std::error::Error;

use aws_sdk_eventbridge::types::RuleState;
use genesys_test_support::{LocalAws, TestResult};
use mockito::Matcher;
use serde_json::{Value, json};

use super::wired::{ACCOUNT, CRM, REGION, RULE, WiredRule, codes, execute, finding, target};
use crate::support::program::run;

const JSON: [&str; 2] = ["--output", "json"];

/// Checks that the finding is there, runs its command, and checks that it has gone. Returns the other codes.
async fn remove(wired: &WiredRule, code: &str) -> Result<Vec<String>, Box<dyn Error>> {
    remove_with(wired, code, &[&["--queue", &wired.queue], &JSON[..]].concat()).await
}

async fn remove_with(
    wired: &WiredRule,
    code: &str,
    arguments: &[&str],
) -> Result<Vec<String>, Box<dyn Error>> {
    let before = wired.doctor_with(arguments).await?;
    let found = finding(&before, code)?;
    assert_eq!(before.code, Some(i32::from(found["verdict"] == "error")), "{code}: {before:?}");
    assert!(found["terraform"].as_str().is_some_and(|it| !it.is_empty()), "{found}");
    let command = found["command"].as_str().ok_or(format!("{code} has no command"))?;
    execute(command).await.map_err(|error| format!("{command}: {error}"))?;
    let after = wired.doctor_with(arguments).await?;
    let after = codes(&after)?;
    assert!(!after.contains(code), "{code} is still there after {command}");
    Ok(after.into_iter().collect())
}

/// Returns an ARN of a queue in another region.
fn queue_in(region: &str) -> String {
    format!("arn:aws:sqs:{region}:{ACCOUNT}:far")
}

#[tokio::test]
async fn target_gets_the_queue_of_the_function() -> TestResult {
    let wired = WiredRule::good(None).await?;
    assert_eq!(codes(&wired.doctor(&JSON).await?)?.into_iter().collect::<Vec<_>>(), [""; 0]);
    let other = wired.aws.create_queue(false).await?;
    wired.admit(&other).await?;
    let fifo = wired.aws.create_queue(true).await?;
    let missing = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:missing");
    for (code, queue) in [
        ("other_dead_letter_queue", other),
        ("queue_missing", missing),
        ("queue_in_other_region", queue_in("us-east-1")),
        ("fifo_queue", fifo),
    ] {
        wired.put_target(&target(&queue)).await?;
        assert_eq!(remove(&wired, code).await?, [""; 0], "{code}");
        assert_eq!(wired.target().await?, target(&wired.queue), "{code}");
    }
    wired.put_target(&json!({ "Id": "crm", "Arn": CRM })).await?;
    assert_eq!(remove(&wired, "no_dead_letter_queue").await?, [""; 0]);
    assert_eq!(wired.target().await?, target(&wired.queue));
    Ok(())
}

#[tokio::test]
async fn replaced_target_keeps_its_other_parts() -> TestResult {
    let wired = WiredRule::good(None).await?;
    let template = "{\"it's\": \"<a>\", \"b\": \"$HOME `id` \\\\ \u{202e}é🦀\"\n}";
    let mut whole = json!({
        "Id": "crm",
        "Arn": CRM,
        "RoleArn": "arn:aws:iam::000000000000:role/rule",
        "InputTransformer": { "InputPathsMap": { "a": "$.detail['x y']" }, "InputTemplate": template },
        "KinesisParameters": { "PartitionKeyPath": "$.id" },
        "RunCommandParameters": { "RunCommandTargets": [{ "Key": "k", "Values": ["v"] }] },
        "EcsParameters": {
            "TaskDefinitionArn": "arn:aws:ecs:eu-central-1:000000000000:task-definition/t:1",
            "TaskCount": 2,
            "EnableECSManagedTags": true,
            "NetworkConfiguration": { "awsvpcConfiguration": { "Subnets": ["subnet-1"],
                "AssignPublicIp": "DISABLED" } },
            "Tags": [{ "Key": "team", "Value": "it's ours" }],
        },
        "BatchParameters": { "JobDefinition": "d", "JobName": "n", "RetryStrategy": { "Attempts": 3 } },
        "SqsParameters": { "MessageGroupId": "g" },
        "HttpParameters": { "PathParameterValues": ["*"],
            "HeaderParameters": { "X-A": "'b'" }, "QueryStringParameters": { "q": "1&2" } },
        "RedshiftDataParameters": { "Database": "db", "Sql": "select 'x'", "WithEvent": true },
        "SageMakerPipelineParameters": { "PipelineParameterList": [{ "Name": "n", "Value": "v" }] },
        "AppSyncParameters": { "GraphQLOperation": "mutation { a }" },
        "RetryPolicy": { "MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 3600 },
    });
    wired.put_target(&whole).await?;
    let ran = wired.doctor(&JSON).await?;
    // One command for both findings, because a second one would undo the first.
    let command = finding(&ran, "no_dead_letter_queue")?["command"].clone();
    assert_eq!(finding(&ran, "short_retry")?["command"], command);
    assert_eq!(remove(&wired, "no_dead_letter_queue").await?, [""; 0]);
    whole["DeadLetterConfig"] = json!({ "Arn": wired.queue });
    whole["RetryPolicy"]["MaximumRetryAttempts"] = json!(185);
    assert_eq!(wired.target().await?, whole);

    // `Input` and `InputPath` exclude the transformer.
    for (member, value) in [("Input", "\"it's $(id)\""), ("InputPath", "$.detail")] {
        let mut changed = json!({ "Id": "crm", "Arn": CRM });
        changed[member] = json!(value);
        wired.put_target(&changed).await?;
        remove(&wired, "no_dead_letter_queue").await?;
        assert_eq!(wired.target().await?[member], value);
    }
    Ok(())
}

#[tokio::test]
async fn retry_policy_gets_the_default_of_event_bridge() -> TestResult {
    let wired = WiredRule::good(None).await?;
    for (before, after) in [
        (json!({ "MaximumRetryAttempts": 0 }), json!({ "MaximumRetryAttempts": 185 })),
        (json!({ "MaximumEventAgeInSeconds": 60 }), json!({ "MaximumEventAgeInSeconds": 86_400 })),
        (
            json!({ "MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 299 }),
            json!({ "MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 86_400 }),
        ),
    ] {
        let mut changed = target(&wired.queue);
        changed["RetryPolicy"] = before;
        wired.put_target(&changed).await?;
        assert_eq!(remove(&wired, "short_retry").await?, [""; 0]);
        assert_eq!(wired.target().await?["RetryPolicy"], after);
    }
    Ok(())
}

#[tokio::test]
async fn missing_queue_is_created_when_no_other_is_known() -> TestResult {
    let wired = WiredRule::good(None).await?;
    let missing = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", LocalAws::name("created"));
    wired.put_target(&target(&missing)).await?;
    // The new queue has no policy.
    let left = remove_with(&wired, "queue_missing", &JSON).await?;
    assert_eq!(left, ["own_queue_unknown", "policy_refuses"]);
    let left = remove_with(&wired, "policy_refuses", &JSON).await?;
    assert_eq!(left, ["own_queue_unknown"]);
    Ok(())
}

#[tokio::test]
async fn queue_policy_gets_a_statement_and_keeps_the_others() -> TestResult {
    let wired = WiredRule::good(None).await?;
    let other = json!({ "Sid": "it's mine",
        "Effect": "Allow",
        "Principal": { "AWS": "arn:aws:iam::000000000000:root" }, "Action": "sqs:*",
        "Resource": wired.queue });
    let statement = |condition: Value| {
        json!({ "Effect": "Allow",
        "Principal": { "Service": "events.amazonaws.com" }, "Action": "sqs:SendMessage",
        "Resource": wired.queue,
        "Condition": condition })
    };
    let of_other_rule = statement(
        json!({ "ArnEquals": { "aws:SourceArn": "arn:aws:events:eu-central-1:000000000000:rule/other" } }),
    );
    let of_organisation = statement(json!({ "StringEquals": { "aws:SourceOrgID": "o-1" } }));
    for (code, statements) in [
        ("policy_refuses", vec![other.clone()]),
        ("policy_refuses", vec![other.clone(), of_other_rule]),
        ("policy_uncertain", vec![other.clone(), of_organisation]),
    ] {
        let policy = json!({ "Version": "2012-10-17", "Id": "p", "Statement": statements });
        wired.set(&wired.queue, "Policy", &policy.to_string()).await?;
        assert_eq!(remove(&wired, code).await?, [""; 0], "{code}");
        let policy: Value = serde_json::from_str(&wired.attribute("Policy").await?)?;
        let kept = &policy["Statement"].as_array().ok_or("no statements")?[..statements.len()];
        assert_eq!((kept, &policy["Id"]), (&statements[..], &json!("p")));
    }
    Ok(())
}

#[tokio::test]
async fn queue_policy_admits_a_bus_with_a_customer_key() -> TestResult {
    let wired = WiredRule::good(Some("a-key")).await?;
    let rules_only = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
            "Principal": { "Service": "events.amazonaws.com" }, "Action": "sqs:SendMessage",
            "Resource": wired.queue,
        "Condition": { "ArnLike": { "aws:SourceArn": "arn:aws:events:eu-central-1:000000000000:rule/*" } },
    }] });
    wired.set(&wired.queue, "Policy", &rules_only.to_string()).await?;
    let ran = wired.doctor(&JSON).await?;
    let found = finding(&ran, "policy_refuses")?["found"].clone();
    let expected = format!("the policy does not admit event-bus/{}:", wired.bus);
    assert!(found.as_str().is_some_and(|it| it.starts_with(&expected)), "{found}");
    assert_eq!(remove(&wired, "policy_refuses").await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn queue_gets_the_message_size_of_event_bridge() -> TestResult {
    let wired = WiredRule::good(None).await?;
    wired.set(&wired.queue, "MaximumMessageSize", "262144").await?;
    assert_eq!(remove(&wired, "small_messages").await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn queue_leaves_a_key_that_event_bridge_cannot_use() -> TestResult {
    let wired = WiredRule::good(None).await?;
    for (code, key) in [
        ("key_of_aws", "alias/aws/sqs"),
        ("key_of_aws", "arn:aws:kms:eu-central-1:000000000000:alias/aws/sqs"),
        ("key_missing", "00000000-0000-0000-0000-000000000000"),
    ] {
        wired.set(&wired.queue, "KmsMasterKeyId", key).await?;
        assert_eq!(remove(&wired, code).await?, [""; 0], "{code}");
        assert_eq!(wired.attribute("SqsManagedSseEnabled").await?, "true");
    }
    Ok(())
}

#[tokio::test]
async fn customer_key_is_enabled_and_admits_event_bridge() -> TestResult {
    let wired = WiredRule::good(None).await?;
    let kms = wired.kms();
    let own = json!({ "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": { "AWS": "arn:aws:iam::000000000000:root" }, "Action": "kms:*",
        "Resource": "*" });
    let policy = |more: Option<Value>| {
        let statements: Vec<Value> = [own.clone()].into_iter().chain(more).collect();
        json!({ "Version": "2012-10-17", "Id": "key-default-1", "Statement": statements })
            .to_string()
    };
    let created = kms.create_key().policy(policy(None)).send().await?;
    let key = created.key_metadata.ok_or("no key")?.key_id;
    let alias = format!("alias/{}", LocalAws::name("key"));
    kms.create_alias().alias_name(&alias).target_key_id(&key).send().await?;
    wired.set(&wired.queue, "KmsMasterKeyId", &alias).await?;

    assert_eq!(remove(&wired, "key_refuses").await?, [""; 0]);
    let found = kms.get_key_policy().key_id(&key).policy_name("default").send().await?;
    let found: Value = serde_json::from_str(&found.policy.unwrap_or_default())?;
    assert_eq!((&found["Statement"][0], &found["Id"]), (&own, &json!("key-default-1")));

    let with_account = json!({
        "Effect": "Allow",
            "Principal": { "Service": "events.amazonaws.com" }, "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
        "Condition": { "StringEquals": { "aws:SourceAccount": ACCOUNT } },
    });
    let put = kms.put_key_policy().key_id(&key).policy_name("default");
    put.policy(policy(Some(with_account))).send().await?;
    assert_eq!(remove(&wired, "key_uncertain").await?, [""; 0]);

    kms.disable_key().key_id(&key).send().await?;
    assert_eq!(remove(&wired, "key_not_enabled").await?, [""; 0]);
    kms.schedule_key_deletion().key_id(&key).pending_window_in_days(7).send().await?;
    assert_eq!(remove(&wired, "key_not_enabled").await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn disabled_rule_is_named_and_has_no_command() -> TestResult {
    let wired = WiredRule::good(None).await?;
    wired.put_target(&json!({ "Id": "crm", "Arn": CRM })).await?;
    let events = wired.events();
    let put = events.put_rule().event_bus_name(&wired.bus).name(RULE).state(RuleState::Disabled);
    put.event_pattern(r#"{"source":["genesys"]}"#).send().await?;
    let ran = wired.doctor(&JSON).await?;
    assert_eq!(codes(&ran)?.into_iter().collect::<Vec<_>>(), ["disabled_rule"]);
    assert_eq!(finding(&ran, "disabled_rule")?["command"], Value::Null);
    ran.with(0)?;
    Ok(())
}

/// The local AWS has no partner event sources.
#[tokio::test]
async fn partner_event_source_gets_a_bus() -> TestResult {
    const SOURCE: &str = "aws.partner/genesys.com/cloud/o-1/it's";
    let mut server = mockito::Server::new_async().await;
    let answer =
        |operation: &str, answer: Value| (format!("AWSEvents.{operation}"), answer.to_string());
    for state in ["PENDING", "ACTIVE"] {
        server.reset();
        for (operation, answer) in [
            answer("ListEventBuses", json!({ "EventBuses": [] })),
            answer(
                "ListEventSources",
                json!({ "EventSources": [{ "Name": SOURCE, "State": state }] }),
            ),
        ] {
            let mock = server.mock("POST", "/").match_header("x-amz-target", operation.as_str());
            mock.with_body(answer).create_async().await;
        }
        let create = server
            .mock("POST", "/")
            .match_header("x-amz-target", "AWSEvents.CreateEventBus")
            .match_body(Matcher::Json(json!({ "Name": SOURCE, "EventSourceName": SOURCE })))
            .with_body("{}")
            .expect(usize::from(state == "PENDING"))
            .create_async()
            .await;
        let url = server.url();
        let arguments = [
            "doctor",
            "rules",
            "--endpoint-url",
            &url,
            "--queue",
            "arn:aws:sqs:eu-central-1:000000000000:q",
        ];
        let ran = run(&[], &[&arguments, &JSON[..]].concat()).await?;
        let found = finding(&ran, "source_without_bus");
        assert_eq!(found.is_ok(), state == "PENDING", "{ran:?}");
        if let Ok(found) = found {
            execute(found["command"].as_str().unwrap_or_default()).await?;
        }
        create.assert_async().await;
    }
    Ok(())
}
