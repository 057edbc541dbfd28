//! The checks of targets.

use aws_sdk_sqs::types::QueueAttributeName;
use genesys_replay::destination::Arn;

use super::*;

#[tokio::test]
async fn doctor_finds_each_fault_of_the_target() -> TestResult {
    are_found(vec![
        fault(
            "error",
            "does not exist",
            Change::Variable(
                "REPLAY_TARGET",
                "arn:aws:sqs:eu-central-1:000000000000:no-such-queue",
            ),
        ),
        fault(
            "error",
            "does not exist",
            Change::Variable(
                "REPLAY_TARGET",
                "arn:aws:lambda:eu-central-1:000000000000:function:no-such",
            ),
        ),
        fault(
            "error",
            "does not exist",
            Change::Variable("REPLAY_TARGET", "arn:aws:sns:eu-central-1:000000000000:no-such"),
        ),
        fault(
            "error",
            "does not exist",
            Change::Variable(
                "REPLAY_TARGET",
                "arn:aws:states:eu-central-1:000000000000:stateMachine:no-such",
            ),
        ),
        fault(
            "error",
            "does not exist",
            Change::Variable(
                "REPLAY_TARGET",
                "arn:aws:events:eu-central-1:000000000000:event-bus/no-such",
            ),
        ),
        fault(
            "warning",
            "has no enabled rule for events of the source genesys-replay",
            Change::Variable(
                "REPLAY_TARGET",
                "arn:aws:events:us-east-1:000000000000:event-bus/default",
            ),
        ),
        fault(
            "warning",
            "not reached",
            Change::Variable("REPLAY_TARGET", "http://127.0.0.1:1/events"),
        ),
    ])
    .await
}

#[tokio::test]
async fn doctor_describes_each_allowed_target() -> TestResult {
    let mut deployed = Deployed::good().await?;
    let queue = deployed.aws.create_queue(false).await?;
    let events = aws_sdk_eventbridge::Client::new(&deployed.aws.config());
    let destination = deployed.aws.create_api_destination("https://crm.example/events").await?;
    let old = format!("{destination}/5b6c");
    let gone = format!("{queue}-gone");
    let ecs = "arn:aws:ecs:us-east-1:000000000000:cluster/x";
    let pattern = "arn:aws:lambda:*:*:function:crm-*";
    let allowed = [&*queue, &*destination, &*old, &*gone, ecs, pattern].join(",");
    deployed.set("REPLAY_TARGET", "original").await?;
    deployed.set("ALLOWED_TARGETS", &allowed).await?;
    let ran = deployed.examine(&["--output", "json"]).await?;
    let errors = found(&ran, "error")?;
    let is_said = |said: &[String], text: &str| said.iter().any(|it| it.contains(text));
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(is_said(&errors, &format!("{gone} does not exist")), "{errors:?}");
    assert!(is_said(&errors, &format!("its name belongs to {destination}")), "{errors:?}");
    let warnings = found(&ran, "warning")?;
    assert!(is_said(&warnings, "is not a supported target"), "{warnings:?}");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(ran.says(&format!("{queue} exists")) && ran.says(&format!("{destination} exists")));

    let described = Arn::parse_trusted(&destination);
    let connection = described.as_ref().and_then(Arn::api_destination).ok_or("no name")?;
    events.deauthorize_connection().name(connection).send().await?;
    let ran = deployed.examine(&["--output", "json"]).await?;
    let errors = found(&ran, "error")?;
    assert!(is_said(&errors, "is DEAUTHORIZED"), "{errors:?}");
    Ok(())
}

#[tokio::test]
async fn doctor_finds_keys_and_policies_that_stop_deliveries() -> TestResult {
    let mut deployed = Deployed::good().await?;
    let keys = aws_sdk_kms::Client::new(&deployed.aws.config());
    let key = keys.create_key().send().await?.key_metadata.ok_or("no key")?.key_id;
    let (encrypted, denied) =
        (deployed.aws.create_queue(false).await?, deployed.aws.create_queue(false).await?);
    let sqs = aws_sdk_sqs::Client::new(&deployed.aws.config());
    let policy = json!({ "Statement": [
        { "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": denied,
          "Condition": { "Bool": { "aws:SecureTransport": "false" } } },
        { "Effect": "Deny", "Principal": { "AWS": "*" }, "Action": ["sqs:SendMessage"], "Resource": denied },
    ] });
    for (queue, name, value) in [
        (&encrypted, QueueAttributeName::KmsMasterKeyId, key.clone()),
        (&denied, QueueAttributeName::Policy, policy.to_string()),
    ] {
        let set = sqs.set_queue_attributes().queue_url(deployed.aws.queue_url(queue).await?);
        set.attributes(name, value).send().await?;
    }
    deployed.set("REPLAY_TARGET", "original").await?;
    deployed.set("ALLOWED_TARGETS", &encrypted).await?;
    let ran = deployed.examine(&["--output", "json"]).await?;
    assert_eq!(found(&ran, "error")?, [""; 0], "{ran:?}");

    keys.disable_key().key_id(&key).send().await?;
    deployed.set("ALLOWED_TARGETS", &format!("{encrypted},{denied}")).await?;
    let ran = deployed.examine(&["--output", "json"]).await?;
    let errors = found(&ran, "error")?;
    assert_eq!(errors.len(), 2, "{errors:?}");
    let is_said = |text: &str| errors.iter().any(|it| it.contains(text));
    assert!(is_said(&format!("of {encrypted} is Disabled")), "{errors:?}");
    assert!(is_said(&format!("the policy of {denied} denies sqs:SendMessage")), "{errors:?}");
    Ok(())
}
