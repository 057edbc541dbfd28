use genesys_replay::destination::{AllowedTargets, Destination, ReplayTarget};
use serde_json::{Value, json};

use super::*;
use crate::deployment::rule_metrics::EventSums;

const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:dead-letters";
const BUS: &str = "aws.partner/genesys.com/cloud/o-1/s-1";
const CRM: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";

fn arn(resource: &str) -> String {
    format!("arn:aws:events:eu-central-1:271828182845:{resource}")
}

fn bus() -> BusFacts {
    BusFacts {
        name: BUS.to_owned(),
        arn: arn(&format!("event-bus/{BUS}")),
        key: Ok(None),
        is_partner: true,
        managed_by: None,
    }
}

fn target(definition: Value) -> Result<RuleTargetFacts, AwsError> {
    RuleTargetFacts::of(definition).ok_or_else(|| AwsError::incomplete("a target", "id"))
}

fn rule(targets: Result<Vec<RuleTargetFacts>, AwsError>) -> RuleFacts {
    RuleFacts {
        name: "crm".to_owned(),
        arn: arn(&format!("rule/{BUS}/crm")),
        bus: BUS.to_owned(),
        is_enabled: true,
        managed_by: None,
        pattern: None,
        targets,
    }
}

/// Returns a rule with a target that is as it should be.
fn good_rule() -> Result<RuleFacts, AwsError> {
    let definition = json!({ "Id": "t", "Arn": CRM, "DeadLetterConfig": { "Arn": QUEUE } });
    Ok(rule(Ok(vec![target(definition)?])))
}

/// Returns a queue whose policy admits the rules of the account only.
fn queue() -> DeadLetterQueueFacts {
    let policy = json!({ "Statement": {
        "Effect": "Allow",
        "Principal": { "Service": "events.amazonaws.com" },
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": { "ArnLike": { "aws:SourceArn": arn("rule/*") } },
    } });
    DeadLetterQueueFacts {
        url: "https://sqs.eu-central-1.amazonaws.com/271828182845/dead-letters".to_owned(),
        arn: QUEUE.to_owned(),
        is_fifo: false,
        max_message_bytes: 1_048_576,
        policy: Some(policy.to_string()),
        key: None,
    }
}

fn own() -> OwnDeployment {
    OwnDeployment { queues: vec![QUEUE.to_owned()], ..OwnDeployment::default() }
}

/// Returns the codes of the findings for one bus and one rule.
fn codes(bus: BusFacts, rule: RuleFacts, own: &OwnDeployment) -> Vec<&'static str> {
    let losses = RuleLosses {
        failed: EventSums { last_day: 0, last_days: 3 },
        not_sent_to_queue: EventSums::default(),
    };
    let losses = BTreeMap::from([((BUS.to_owned(), rule.name.clone()), losses)]);
    let facts = RuleDeliveryFacts {
        read: BusesAndRules { buses: vec![bus], rules: vec![rule], failures: Vec::new() },
        queues: BTreeMap::from([(QUEUE.to_owned(), Ok(queue()))]),
        losses: Some(Ok(losses)),
        pending_sources: None,
    };
    let checks = evaluate(&facts, own);
    checks.iter().flat_map(|check| &check.findings).map(|it| it.problem.code()).collect()
}

#[test]
fn bus_that_sends_under_its_own_arn_must_be_admitted() -> Result<(), AwsError> {
    let managed = Some("genesys.amazonaws.com".to_owned());
    for (bus, expected) in [
        (bus(), &[][..]),
        (BusFacts { key: Ok(Some("key".to_owned())), ..bus() }, &["policy_refuses"]),
        (BusFacts { managed_by: managed.clone(), ..bus() }, &["policy_refuses"]),
        (BusFacts { managed_by: managed, is_partner: false, ..bus() }, &[]),
    ] {
        assert_eq!(codes(bus.clone(), good_rule()?, &own()), expected, "{bus:?}");
    }
    Ok(())
}

#[test]
fn rule_that_is_disabled_or_managed_has_no_other_finding() -> Result<(), AwsError> {
    let without_queue = rule(Ok(vec![target(json!({ "Id": "t", "Arn": CRM }))?]));
    let found = codes(bus(), without_queue.clone(), &own());
    assert_eq!(found, ["lost_without_queue", "no_dead_letter_queue"]);
    let by = Some("scheduler.amazonaws.com".to_owned());
    let managed = RuleFacts { managed_by: by, ..without_queue.clone() };
    assert_eq!(codes(bus(), managed, &own()), ["managed_rule"]);
    let disabled = RuleFacts { is_enabled: false, ..without_queue };
    assert_eq!(codes(bus(), disabled, &own()), ["bus_without_rule", "disabled_rule"]);
    assert_eq!(codes(bus(), rule(Ok(Vec::new())), &own()), ["rule_without_target"]);
    Ok(())
}

#[test]
fn target_must_be_allowed_and_must_not_loop() -> Result<(), AwsError> {
    let original = |patterns: &[&str]| {
        let allowed = AllowedTargets::only(patterns.iter().copied());
        Some(ReplayTarget::original(allowed))
    };
    let fixed = Some(ReplayTarget::Fixed(Destination::None));
    for (setting, function, expected) in [
        (None, None, &[][..]),
        (original(&["arn:aws:lambda:*:*:function:crm"]), None, &[]),
        (original(&["arn:aws:lambda:*:*:function:other"]), None, &["target_not_allowed"]),
        (original(&["*"]), Some(CRM.to_owned()), &["target_not_allowed"]),
        (fixed, None, &[]),
    ] {
        let own = OwnDeployment { target: setting, function, ..own() };
        assert_eq!(codes(bus(), good_rule()?, &own), expected, "{own:?}");
    }
    Ok(())
}

#[test]
fn queue_of_another_region_or_a_fifo_queue_is_not_suggested() -> Result<(), AwsError> {
    for queue in [
        "arn:aws:sqs:us-east-1:271828182845:dead-letters",
        "arn:aws:sqs:eu-central-1:271828182845:dead-letters.fifo",
    ] {
        let own = OwnDeployment { queues: vec![queue.to_owned()], ..OwnDeployment::default() };
        let rule = rule(Ok(vec![target(json!({ "Id": "t", "Arn": CRM }))?]));
        let found = target::findings(&rule, &target(json!({ "Id": "t", "Arn": CRM }))?, None, &own);
        let changes: Vec<_> = found.iter().map(|it| it.change.is_some()).collect();
        assert_eq!(changes, [false], "{queue}");
    }
    Ok(())
}

#[test]
fn policy_that_denies_has_no_command() {
    let deny = json!({ "Statement": [{ "Sid": "No",
        "Effect": "Deny",
        "Principal": "*", "Action": "sqs:*",
        "Resource": "*" }] });
    for policy in [deny.to_string(), "not JSON".to_owned()] {
        let queue = DeadLetterQueueFacts { policy: Some(policy), ..queue() };
        let found = queue::findings(&queue, &BTreeSet::from([arn("rule/crm")]));
        let found: Vec<_> =
            found.iter().map(|it| (it.problem.code(), it.change.is_some())).collect();
        assert_eq!(found, [("policy_denies", false)]);
    }
}
