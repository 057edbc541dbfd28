//! Forged dead letters: their content never determines the target.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::QueueAttributeName;
use genesys_test_support::{Function, Invocation, Record, ReplayHarness, TestResult, event};
use serde_json::json;

const ALLOWED: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm-sync,\
    arn:aws:sqs:eu-central-1:271828182845:crm-*";

/// The region of the local AWS.
const REGION: &str = "eu-central-1";

/// Returns a harness whose events go to their original target if it is allowed.
async fn harness() -> Result<ReplayHarness, Box<dyn std::error::Error>> {
    let mut harness = ReplayHarness::start().await?;
    harness.set("REPLAY_TARGET", "original");
    harness.set("ALLOWED_TARGETS", ALLOWED);
    Ok(harness)
}

#[tokio::test]
async fn target_is_never_called_when_not_in_the_list() -> TestResult {
    let harness = harness().await?;
    let own_queue = "arn:aws:sqs:eu-central-1:271828182845:dead-letters";
    let forged = [
        // Another function, another account, another region, another service.
        "arn:aws:lambda:eu-central-1:271828182845:function:payroll",
        "arn:aws:lambda:eu-central-1:666666666666:function:crm-sync",
        "arn:aws:lambda:us-east-1:271828182845:function:crm-sync",
        "arn:aws:sns:eu-central-1:271828182845:crm-events",
        // Similar to the allowed one.
        "arn:aws:lambda:eu-central-1:271828182845:function:crm-sync-evil",
        "arn:aws:lambda:eu-central-1:271828182845:function:CRM-SYNC",
        " arn:aws:lambda:eu-central-1:271828182845:function:crm-sync",
        "arn:aws:lambda:eu-central-1:271828182845:function:crm-sync\n",
        "x-arn:aws:sqs:eu-central-1:271828182845:crm-events",
        // Not an ARN.
        "https://attacker.example/collect",
        "http://169.254.169.254/latest/meta-data/",
        "*",
        // The source queue.
        own_queue,
    ];
    let records: Vec<_> = forged
        .iter()
        .enumerate()
        .map(|(number, target)| {
            let (message, event) = (format!("m-{number}"), format!("e-{number}"));
            Record::dead_letter(&message, &event, "c-1").with("TARGET_ARN", target)
        })
        .collect();
    assert_eq!(harness.deliver(&records).await?.len(), forged.len());
    for (number, target) in forged.iter().enumerate() {
        let key = format!("e-{number}|{target}");
        let code = harness.aws.attribute(&key, "FailureCode").await?;
        let refused = ["TARGET_NOT_ALLOWED", "TARGET_UNSUPPORTED"];
        assert!(
            code.as_deref().is_some_and(|code| refused.contains(&code)),
            "{target:?}: {code:?}"
        );
    }
    let reached = harness.genesys.calls();
    let delivered =
        reached.iter().filter(|call| call.method == "POST" && call.path != "/oauth/token");
    assert_eq!(delivered.count(), 0);
    Ok(())
}

#[tokio::test]
async fn payload_cannot_choose_the_target_or_an_api_path() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let paths =
        ["../../users/me", "c-1/participants/x", "c-1?expand=all", "c-1#x", "%2e%2e%2fusers"];
    let body = |number: usize, conversation: &str| {
        serde_json::json!({
            "id": format!("e-{number}"),
            "detail-type": "v2.detail.events.conversation.{id}.customer.end",
            "source": "aws.partner/genesys.com/cloud/org/bus",
            "TARGET_ARN": "https://attacker.example",
            "detail": {
                "topicName": "v2.detail.events.conversation.x.customer.end",
                "eventBody": { "conversationId": conversation, "target": "https://attacker.example" },
            },
        })
    };
    let record = |number: usize, conversation: &str| {
        let body = body(number, conversation).to_string();
        Record::new(&format!("m-{number}"), &body).with("REPLAY_TARGET", "https://attacker.example")
    };
    let forged = paths.iter().enumerate();
    let forged: Vec<_> = forged.map(|(number, id)| record(number, id)).collect();
    assert!(harness.deliver(&forged).await?.is_empty());
    // An invalid id is not looked up. The event is delivered to the configured target.
    let paths_called: BTreeSet<_> =
        harness.genesys.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths_called, BTreeSet::from(["/targets/crm".to_owned()]));
    assert_eq!(harness.deliveries(), paths.len());

    let harmless = record(9, "c-1:2_3.4");
    assert!(harness.deliver(&[harmless]).await?.is_empty());
    assert_eq!(harness.deliveries(), paths.len() + 1);
    let called = harness.genesys.calls_to("GET", "/api/v2/conversations/c-1");
    assert_eq!(called.len(), 1);
    Ok(())
}

#[tokio::test]
async fn function_does_not_invoke_itself() -> TestResult {
    let mut harness = harness().await?;
    harness.set("ALLOWED_TARGETS", "*");
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    let itself = "arn:aws:lambda:eu-central-1:271828182845:function:replay";
    for (number, qualifier) in ["", ":live", ":$LATEST"].iter().enumerate() {
        let target = format!("{itself}{qualifier}");
        let (message, name) = (format!("m-{number}"), format!("e-{number}"));
        let record = Record::dead_letter(&message, &name, "c-1").with("TARGET_ARN", &target);
        function.invoke(event(&[record])).await?;
        let key = format!("{name}|{}", target.trim_end_matches(":$LATEST"));
        let code = harness.aws.attribute(&key, "FailureCode").await?;
        assert_eq!(code.as_deref(), Some("TARGET_NOT_ALLOWED"), "{target}");
    }
    Ok(())
}

/// Gives a queue a parking queue and returns its ARN.
async fn parking_queue(
    harness: &ReplayHarness,
    queue: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let parking = harness.aws.create_queue(false).await?;
    let policy = json!({ "deadLetterTargetArn": parking, "maxReceiveCount": 9 });
    let sqs = aws_sdk_sqs::Client::new(&harness.aws.config());
    sqs.set_queue_attributes()
        .queue_url(harness.aws.queue_url(queue).await?)
        .attributes(QueueAttributeName::RedrivePolicy, policy.to_string())
        .send()
        .await?;
    Ok(parking)
}

#[tokio::test]
async fn own_queues_and_function_are_no_targets_in_any_form() -> TestResult {
    let mut harness = harness().await?;
    harness.set("ALLOWED_TARGETS", "*");
    let queue = harness.aws.create_queue(false).await?;
    let parking = parking_queue(&harness, &queue).await?;
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    let own_function = "arn:aws-us-gov:lambda:us-gov-west-1:271828182845:function:replay";
    let refused = [
        queue.clone(),
        queue.replace("arn:aws:", "arn:aws-cn:"),
        queue.replace(REGION, "eu-west-3"),
        parking.clone(),
        parking.replace("arn:aws:", "arn:aws-iso:"),
        own_function.to_owned(),
        format!("{own_function}:live"),
    ];
    let not_an_arn = [
        queue.replace("arn:aws:", "arn::"),
        queue.replace("arn:aws:", "arn:AWS:"),
        queue.replace(REGION, "EU-CENTRAL-1"),
        queue.replace(REGION, "eu-central-01"),
    ];
    let all = refused.iter().map(|target| (target, "TARGET_NOT_ALLOWED"));
    let all = all.chain(not_an_arn.iter().map(|target| (target, "TARGET_UNSUPPORTED")));
    for (number, (target, expected)) in all.enumerate() {
        let (message, name) = (format!("m-{number}"), format!("e-{number}"));
        let record = Record::dead_letter(&message, &name, "c-1")
            .with("TARGET_ARN", target)
            .in_queue(&queue, "receipt");
        function.invoke(event(&[record])).await?;
        let code = harness.aws.attribute(&format!("{name}|{target}"), "FailureCode").await?;
        assert_eq!(code.as_deref(), Some(expected), "{target}");
    }
    for queue in [&queue, &parking] {
        assert!(harness.aws.receive(queue, 0).await?.is_empty(), "{queue}");
    }
    Ok(())
}

#[tokio::test]
async fn fixed_target_that_loops_defers_events_and_archives_none() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let queue = harness.aws.create_queue(false).await?;
    let parking = parking_queue(&harness, &queue).await?;
    for target in [&queue, &parking] {
        harness.set("REPLAY_TARGET", target);
        let record = Record::dead_letter("m-1", "e-1", "c-1").in_queue(&queue, "receipt");
        assert_eq!(harness.deliver(&[record]).await?, ["m-1"]);
        assert_eq!(harness.state("e-1").await?, "DEFERRED TARGET_NOT_ALLOWED");
        assert!(harness.aws.receive(target, 0).await?.is_empty());
    }
    Ok(())
}

/// Returns a name of a region that AWS does not have, in the form of AWS.
fn made_up_region(number: u32) -> String {
    let letter =
        |place: u32| char::from(b'a' + u8::try_from(number / 26_u32.pow(place) % 26).unwrap_or(0));
    format!("eu-{}{}{}-1", letter(0), letter(1), letter(2))
}

#[tokio::test]
async fn made_up_regions_cost_no_lasting_memory() -> TestResult {
    const REGIONS: u32 = 1_000;
    const MAX_GROWTH_KIB: u64 = 32 * 1024;
    let mut harness = ReplayHarness::start().await?;
    harness.set("REPLAY_TARGET", "original");
    harness.set("ALLOWED_TARGETS", "arn:aws:sqs:*:*:crm-*,arn:aws:sqs:eu-central-1:*");
    harness.set("MAX_ATTEMPTS", "1");
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    let mut after_the_first = None;
    for batch in 0..REGIONS / 100 {
        let records: Vec<_> = (0..100)
            .map(|number| {
                let region = made_up_region(batch * 100 + number);
                let target = format!("arn:aws:sqs:{region}:271828182845:crm-{batch}");
                let (message, event) = (format!("m-{number}"), format!("e-{batch}-{number}"));
                Record::new(
                    &message,
                    &format!(r#"{{"id":"{event}","detail-type":"t","source":"s","detail":{{}}}}"#),
                )
                .with("TARGET_ARN", &target)
            })
            .collect();
        let answer = function.invoke(event(&records)).await?;
        assert!(matches!(answer, Invocation::Response(_)), "{answer:?}");
        after_the_first.get_or_insert(function.resident_kib()?);
    }
    let growth = function.resident_kib()?.saturating_sub(after_the_first.unwrap_or_default());
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
    let target = harness.aws.create_queue(false).await?;
    let record = Record::dead_letter("m-1", "e-1", "c-1").with("TARGET_ARN", &target);
    function.invoke(event(&[record])).await?;
    assert_eq!(harness.aws.receive(&target, 0).await?.len(), 1, "a good event is delivered");
    Ok(())
}
