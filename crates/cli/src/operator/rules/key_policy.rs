//! The policy of a customer key that encrypts a dead-letter queue.

use serde_json::{Value, json};

use super::queue_policy::EVENT_BRIDGE;
use super::resource_policy::{Admission, CallSource, ServiceCall, admission, with_statement};

/// The actions that `EventBridge` needs to write to a queue with a customer key.
pub(super) const ACTIONS: [&str; 2] = ["kms:Decrypt", "kms:GenerateDataKey"];

/// The statement of the policy that this program adds.
pub const KEY_STATEMENT_ID: &str = "GenesysReplayDeadLettersOfEventBridge";

/// Returns the answer of a key's policy to `EventBridge`, which needs both actions. Its documentation shows a statement
/// without conditions on the source, so a statement with such a condition may not match.
pub fn admits_event_bridge(policy: Option<&str>, key_arn: &str) -> Admission {
    let answers = ACTIONS.map(|action| {
        let source = CallSource::Unknown;
        let call = ServiceCall { service: EVENT_BRIDGE, action, resource: key_arn, source };
        admission(policy, &call)
    });
    let refused = answers.into_iter().find(|answer| *answer != Admission::Admitted);
    refused.unwrap_or(Admission::Admitted)
}

/// Returns the policy with a statement that admits `EventBridge`. Keeps all other statements; a second call changes
/// nothing.
///
/// # Errors
/// The policy is not a JSON object. The caller must not replace it.
pub fn with_event_bridge(policy: Option<&str>) -> Result<Value, serde_json::Error> {
    let statement = json!({
        "Sid": KEY_STATEMENT_ID,
        "Effect": "Allow",
        "Principal": { "Service": EVENT_BRIDGE },
        "Action": ACTIONS,
        // In the policy of a key, `*` is this key.
        "Resource": "*",
    });
    with_statement(policy, &statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "arn:aws:kms:eu-central-1:271828182845:key/5b6c";

    #[test]
    fn default_policy_of_a_key_does_not_admit_event_bridge() -> Result<(), serde_json::Error> {
        let own = json!({
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": "arn:aws:iam::271828182845:root" },
            "Action": "kms:*",
            "Resource": "*",
        });
        let before = json!({ "Id": "key-default-1", "Statement": [own] }).to_string();
        assert_ne!(admits_event_bridge(Some(&before), KEY), Admission::Admitted);
        let after = with_event_bridge(Some(&before))?;
        assert_eq!(admits_event_bridge(Some(&after.to_string()), KEY), Admission::Admitted);
        assert_eq!((&after["Id"], &after["Statement"][0]), (&json!("key-default-1"), &own));
        assert_eq!(with_event_bridge(Some(&after.to_string()))?, after);
        Ok(())
    }

    #[test]
    fn key_policy_needs_both_actions_without_conditions() {
        let admitted = |action: Value, condition: Value| {
            let policy = json!({ "Statement": {
                "Effect": "Allow",
                "Principal": { "Service": "events.amazonaws.com" },
                "Action": action,
                "Resource": "*",
                "Condition": condition,
            } });
            admits_event_bridge(Some(&policy.to_string()), KEY)
        };
        let none = Value::Null;
        assert_eq!(admitted(json!("kms:*"), none.clone()), Admission::Admitted);
        assert_eq!(admitted(json!(ACTIONS), none.clone()), Admission::Admitted);
        let one = admitted(json!("kms:Decrypt"), none);
        assert!(matches!(one, Admission::Refused { .. }), "{one:?}");
        let account = json!({ "StringEquals": { "aws:SourceAccount": "271828182845" } });
        let conditional = admitted(json!("kms:*"), account);
        assert!(matches!(conditional, Admission::MaybeRefused { .. }), "{conditional:?}");
    }
}
