//! Forged dead letters: their content never determines the target.

use std::collections::BTreeSet;

use genesys_test_support::{Function, Record, ReplayHarness, TestResult, event};

const ALLOWED: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm-sync,\
    arn:aws:sqs:eu-central-1:271828182845:crm-*";

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
