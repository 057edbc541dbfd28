//! The attributes of an existing dead-letter queue: the required changes and the risks.

use std::collections::BTreeMap;
use std::time::Duration;

use genesys_replay::queue::{MAX_MESSAGE_BYTES, Redrive};
use serde_json::Value;

use super::parameters::Parameters;
use super::step::StepChange;

pub(super) const VISIBILITY_TIMEOUT: &str = "VisibilityTimeout";
pub(super) const MAXIMUM_MESSAGE_SIZE: &str = "MaximumMessageSize";
pub(super) const REDRIVE_POLICY: &str = "RedrivePolicy";
pub(super) const POLICY: &str = "Policy";
const RETENTION: &str = "MessageRetentionPeriod";
const KEY: &str = "KmsMasterKeyId";
const IN_FLIGHT: &str = "ApproximateNumberOfMessagesNotVisible";

/// The default of the template's parameter `FunctionTimeout`, in seconds.
const DEFAULT_FUNCTION_TIMEOUT_SECONDS: u64 = 60;

/// The ratio of a queue's visibility timeout to the function's timeout that AWS advises.
const VISIBILITY_TIMEOUTS_PER_INVOCATION: u64 = 6;

/// The retention of SQS's maximum, after which nothing is left for a parked message.
const MAX_RETENTION: Duration = Duration::from_secs(14 * 86_400);

/// A retention below this time may end before a weekend's outage does.
const MIN_RETENTION: Duration = Duration::from_secs(4 * 86_400);

/// The attributes of a queue, by SQS's names.
pub(super) type Attributes = BTreeMap<String, String>;

/// Returns the number in an attribute; 0 without one.
fn number(attributes: &Attributes, name: &str) -> u64 {
    attributes.get(name).and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Returns the changes that the function needs before it is deployed: a longer visibility timeout, because Lambda refuses
/// a queue with a timeout below the function's, and the maximum message size of SQS, because `EventBridge` loses longer
/// dead letters.
pub(super) fn required(attributes: &Attributes, parameters: &Parameters) -> Attributes {
    let timeout = parameters.get("FunctionTimeout").and_then(|value| value.parse().ok());
    let timeout: u64 = timeout.unwrap_or(DEFAULT_FUNCTION_TIMEOUT_SECONDS);
    let visibility = timeout * VISIBILITY_TIMEOUTS_PER_INVOCATION;
    let wanted =
        [(VISIBILITY_TIMEOUT, visibility), (MAXIMUM_MESSAGE_SIZE, MAX_MESSAGE_BYTES as u64)];
    let missing = wanted.into_iter().filter(|(name, wanted)| number(attributes, name) < *wanted);
    missing.map(|(name, wanted)| (name.to_owned(), wanted.to_string())).collect()
}

/// Returns the attributes of the stack's output `DeadLetterQueueAttributes` that differ from those of the queue. A
/// visibility timeout is only raised.
///
/// # Errors
/// [`serde_json::Error`] if the output is not a JSON object of texts.
pub(super) fn missing_of_output(
    attributes: &Attributes,
    output: &str,
) -> Result<Attributes, serde_json::Error> {
    let wanted: Attributes = serde_json::from_str(output)?;
    let missing = wanted.into_iter().filter(|(name, wanted)| {
        let present = attributes.get(name).map_or("", String::as_str);
        match name.as_str() {
            VISIBILITY_TIMEOUT => number(attributes, name) < wanted.parse().unwrap_or(0),
            REDRIVE_POLICY => Redrive::parse(present) != Redrive::parse(wanted),
            _ => present != wanted,
        }
    });
    Ok(missing.collect())
}

/// Returns the changes from `attributes` to `values`, for people: a JSON document has a line for each member.
pub(super) fn changes(attributes: &Attributes, values: &Attributes) -> Vec<StepChange> {
    let changes = values.iter().map(|(name, after)| {
        StepChange::new(name, attributes.get(name).map(|before| shown(before)), shown(after))
    });
    changes.collect()
}

/// Returns a JSON object with a line for each member, and any other text unchanged.
fn shown(value: &str) -> String {
    match serde_json::from_str::<Value>(value) {
        Ok(document @ Value::Object(_)) => format!("{document:#}"),
        Ok(_) | Err(_) => value.to_owned(),
    }
}

/// Returns the queue's key, if the queue is encrypted with a KMS key.
pub(super) fn key(attributes: &Attributes) -> Option<&str> {
    attributes.get(KEY).map(String::as_str).filter(|key| !key.is_empty())
}

/// Returns the risks of the queue, each in one sentence.
pub(super) fn risks(attributes: &Attributes) -> Vec<String> {
    let mut risks = Vec::new();
    let retention = Duration::from_secs(number(attributes, RETENTION));
    if retention >= MAX_RETENTION {
        risks.push(
            "MessageRetentionPeriod is 14 days: a parked message keeps its age, so the oldest have no time left in the parking queue; do not lower it while messages wait, because SQS deletes older messages at once"
                .to_owned(),
        );
    } else if retention < MIN_RETENTION {
        risks.push(format!(
            "MessageRetentionPeriod is {} hours: SQS deletes messages before a long outage ends; 10 days are {} s",
            retention.as_secs() / 3_600,
            10 * 86_400
        ));
    }
    let in_flight = number(attributes, IN_FLIGHT);
    if in_flight > 0 {
        risks.push(format!(
            "about {in_flight} messages are in flight: another program may read this queue; stop all other readers"
        ));
    }
    if let Some(redrive) = attributes.get(REDRIVE_POLICY).and_then(|it| Redrive::parse(it)) {
        risks.push(format!(
            "the queue already has a redrive policy to {} after {} receives, which is replaced after the deployment; a message with 203 receives or more is then parked at its next receive",
            redrive.parking_name(),
            redrive.max_receives
        ));
    }
    risks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn required_attributes_are_only_raised() {
        let found = attributes(&[("VisibilityTimeout", "30"), ("MaximumMessageSize", "262144")]);
        let wanted = attributes(&[("VisibilityTimeout", "360"), ("MaximumMessageSize", "1048576")]);
        assert_eq!(required(&found, &Parameters::new()), wanted);
        let found = attributes(&[("VisibilityTimeout", "900"), ("MaximumMessageSize", "1048576")]);
        assert_eq!(required(&found, &Parameters::new()), attributes(&[]));
        let slow = Parameters::from([("FunctionTimeout".to_owned(), "300".to_owned())]);
        assert_eq!(required(&found, &slow), attributes(&[("VisibilityTimeout", "1800")]));
    }

    #[test]
    fn output_of_the_stack_is_missing_until_it_is_set() -> Result<(), serde_json::Error> {
        let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:271828182845:parking","maxReceiveCount":"203"}"#;
        let output = serde_json::json!({ "VisibilityTimeout": "360", "RedrivePolicy": policy });
        let output = output.to_string();
        let missing = |found: &[(&str, &str)]| missing_of_output(&attributes(found), &output);
        assert_eq!(missing(&[("VisibilityTimeout", "30")])?.len(), 2);
        let reordered = r#"{"maxReceiveCount":203,"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:271828182845:parking"}"#;
        let set = [("VisibilityTimeout", "400"), ("RedrivePolicy", reordered)];
        assert_eq!(missing(&set)?, attributes(&[]));
        let fewer = reordered.replace("203", "5");
        let found = [("VisibilityTimeout", "400"), ("RedrivePolicy", fewer.as_str())];
        assert_eq!(missing(&found)?, attributes(&[("RedrivePolicy", policy)]));
        assert!(missing_of_output(&attributes(&[]), "[]").is_err());
        Ok(())
    }

    #[test]
    fn risks_are_retention_readers_and_an_older_redrive_policy() {
        let healthy = [("MessageRetentionPeriod", "864000")];
        assert_eq!(risks(&attributes(&healthy)), [""; 0]);
        let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:271828182845:old","maxReceiveCount":5}"#;
        let found = risks(&attributes(&[
            ("MessageRetentionPeriod", "1209600"),
            ("ApproximateNumberOfMessagesNotVisible", "3"),
            ("RedrivePolicy", policy),
        ]));
        let begins: Vec<_> = found.iter().filter_map(|risk| risk.split(':').next()).collect();
        assert_eq!(begins.len(), 3, "{found:?}");
        assert!(found[2].contains("to old after 5 receives"), "{found:?}");
        assert!(risks(&attributes(&[("MessageRetentionPeriod", "3600")]))[0].contains("1 hours"));
    }
}
