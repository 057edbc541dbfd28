//! The policy of a dead-letter queue: the sources of `EventBridge` that it admits.

use std::collections::BTreeSet;

use genesys_replay::destination::Arn;
use serde_json::{Value, json};

use super::resource_policy::{
    Admission, CallSource, ServiceCall, admission, listed, own_statement, parsed, with_statement,
};

/// The service that writes dead letters of rules.
pub(super) const EVENT_BRIDGE: &str = "events.amazonaws.com";

/// The statement of the policy that this program adds.
pub const STATEMENT_ID: &str = "GenesysReplayDeadLettersOfEventBridge";

/// Returns the answer of a queue's policy to a dead letter of `EventBridge`. `source` is the ARN of the rule or, for a
/// bus with a customer key and a managed partner bus, that of the bus.
pub fn admits(policy: Option<&str>, queue_arn: &str, source: &str) -> Admission {
    let arn = Arn::parse_trusted(source);
    let account = arn.as_ref().map_or("", Arn::account);
    let call = ServiceCall {
        service: EVENT_BRIDGE,
        action: "sqs:SendMessage",
        resource: queue_arn,
        source: CallSource::Known { arn: source, account },
    };
    admission(policy, &call)
}

/// Returns patterns for all rules and buses of an account and region, which are the sources of dead letters.
pub fn all_sources(partition: &str, region: &str, account: &str) -> [String; 2] {
    ["rule/*", "event-bus/*"]
        .map(|resource| format!("arn:{partition}:events:{region}:{account}:{resource}"))
}

/// Returns the policy with a statement that admits dead letters of these sources: ARNs, in which `*` stands for any
/// text. Keeps all other statements. A statement of this program keeps its sources and gets the new ones, so a second
/// call changes nothing.
///
/// # Errors
/// The policy is not a JSON object. The caller must not replace it.
pub fn with_sources(
    policy: Option<&str>,
    queue_arn: &str,
    sources: &[String],
) -> Result<Value, serde_json::Error> {
    let own = own_statement(&parsed(policy)?, STATEMENT_ID).unwrap_or_default();
    let mut sources: BTreeSet<&str> = sources.iter().map(String::as_str).collect();
    let before = listed(&own["Condition"]["ArnLike"]["aws:SourceArn"]);
    sources.extend(before.into_iter().filter_map(Value::as_str));
    let statement = json!({
        "Sid": STATEMENT_ID,
        "Effect": "Allow",
        "Principal": { "Service": EVENT_BRIDGE },
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        // Without a source, a rule of any account could send here.
        "Condition": { "ArnLike": { "aws:SourceArn": sources } },
    });
    with_statement(policy, &statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:dead-letters";
    const RULE: &str = "arn:aws:events:eu-central-1:271828182845:rule/genesys/crm";
    const BUS: &str = "arn:aws:events:eu-central-1:271828182845:event-bus/genesys";

    #[test]
    fn added_statement_admits_rules_and_buses_of_the_account_only() -> Result<(), serde_json::Error>
    {
        let sources = all_sources("aws", "eu-central-1", "271828182845");
        let other = json!({ "Sid": "Other",
            "Effect": "Deny",
            "Principal": "*", "Action": "sqs:DeleteQueue",
            "Resource": QUEUE });
        let before = [
            None,
            Some(String::new()),
            Some(json!({ "Id": "mine", "Statement": other }).to_string()),
        ];
        for before in &before {
            let before = before.as_deref();
            let after = with_sources(before, QUEUE, &sources)?.to_string();
            for source in [RULE, BUS] {
                assert_ne!(admits(before, QUEUE, source), Admission::Admitted);
                assert_eq!(admits(Some(&after), QUEUE, source), Admission::Admitted);
            }
            for foreign in [
                "arn:aws:events:eu-central-1:314159265358:rule/genesys/crm",
                "arn:aws:events:eu-central-1:271828182845:archive/x",
            ] {
                assert_ne!(admits(Some(&after), QUEUE, foreign), Admission::Admitted, "{foreign}");
            }
        }
        let after = with_sources(before[2].as_deref(), QUEUE, &sources)?;
        assert_eq!(after["Id"], "mine");
        assert_eq!(after["Statement"][0], other);
        Ok(())
    }

    #[test]
    fn added_statement_is_the_same_after_a_second_call() -> Result<(), serde_json::Error> {
        let [rules, buses] = all_sources("aws", "eu-central-1", "271828182845");
        let once = with_sources(None, QUEUE, std::slice::from_ref(&rules))?;
        let twice = with_sources(Some(&once.to_string()), QUEUE, std::slice::from_ref(&rules))?;
        assert_eq!(once, twice);
        // Sources that were admitted before stay.
        let both = with_sources(Some(&once.to_string()), QUEUE, std::slice::from_ref(&buses))?;
        let all = with_sources(None, QUEUE, &[rules, buses])?;
        assert_eq!(both, all);
        Ok(())
    }

    #[test]
    fn damaged_policy_is_not_replaced() {
        for policy in ["not JSON", "[]", "7"] {
            assert!(with_sources(Some(policy), QUEUE, &[]).is_err(), "{policy}");
        }
    }
}
