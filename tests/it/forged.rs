//! Dead letters that somebody made up: what they name is data, never an order.

use genesys_stand_in::StandIn;

use crate::support::{Record, TestResult, World};

const ALLOWED: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm-sync,\
    arn:aws:sqs:eu-central-1:271828182845:crm-*";

/// A world in which every AWS call that is no part of the function's own work would be seen.
async fn world() -> Result<World, Box<dyn std::error::Error>> {
    let mut world = World::start().await?;
    world.set("REPLAY_TARGET", "original");
    world.set("ALLOWED_TARGETS", ALLOWED);
    Ok(world)
}

#[tokio::test]
async fn a_target_outside_the_list_is_never_called() -> TestResult {
    let world = world().await?;
    let own_queue = "arn:aws:sqs:eu-central-1:271828182845:dead-letters";
    let forged = [
        // Another function, another account, another region, another service.
        "arn:aws:lambda:eu-central-1:271828182845:function:payroll",
        "arn:aws:lambda:eu-central-1:666666666666:function:crm-sync",
        "arn:aws:lambda:us-east-1:271828182845:function:crm-sync",
        "arn:aws:sns:eu-central-1:271828182845:crm-events",
        // Nearly the allowed one.
        "arn:aws:lambda:eu-central-1:271828182845:function:crm-sync-evil",
        "arn:aws:lambda:eu-central-1:271828182845:function:crm-sync:live",
        "arn:aws:lambda:eu-central-1:271828182845:function:CRM-SYNC",
        " arn:aws:lambda:eu-central-1:271828182845:function:crm-sync",
        "arn:aws:lambda:eu-central-1:271828182845:function:crm-sync\n",
        "x-arn:aws:sqs:eu-central-1:271828182845:crm-events",
        // No ARN at all.
        "https://attacker.example/collect",
        "http://169.254.169.254/latest/meta-data/",
        "*",
        // Where it came from.
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
    assert_eq!(world.deliver(&records).await?.len(), forged.len());
    for (number, target) in forged.iter().enumerate() {
        let key = format!("e-{number}|{target}");
        let code = world.aws.attribute(&key, "FailureCode").await?;
        let refused = ["TARGET_NOT_ALLOWED", "TARGET_UNSUPPORTED"];
        assert!(
            code.as_deref().is_some_and(|code| refused.contains(&code)),
            "{target:?}: {code:?}"
        );
    }
    let reached = world.genesys.calls();
    let delivered = reached
        .iter()
        .filter(|call| call.method == "POST" && call.path != "/oauth/token");
    assert_eq!(delivered.count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_payload_cannot_choose_the_target_or_reach_another_path_of_the_api() -> TestResult {
    let world = World::around(StandIn::builder()).await?;
    let paths = [
        "../../users/me",
        "c-1/participants/x",
        "c-1?expand=all",
        "c-1#x",
        "%2e%2e%2fusers",
    ];
    let records: Vec<_> = paths
        .iter()
        .enumerate()
        .map(|(number, conversation)| {
            let (message, event) = (format!("m-{number}"), format!("e-{number}"));
            Record::dead_letter(&message, &event, conversation)
                .with("REPLAY_TARGET", "https://attacker.example")
        })
        .collect();
    world.deliver(&records).await?;
    for call in world.genesys.calls() {
        let path = call.path.as_str();
        let below = path.strip_prefix("/api/v2/conversations/");
        let one_conversation = below.is_some_and(|rest| {
            let parts: Vec<_> = rest.split('/').collect();
            matches!(parts.as_slice(), [_] | [_, "participants", _, "attributes"])
        });
        let expected = path == "/oauth/token" || path == "/targets/crm" || one_conversation;
        assert!(expected, "{} {path}", call.method);
    }
    Ok(())
}
