//! The message groups of FIFO queues and topics.

use genesys_replay::target::{Delivery, DeliveryError};

use super::aws::AwsTargets;
use super::parameters::EventValues;
use super::rule::EventRules;

/// The maximum length of a message group, in characters.
const MAX_GROUP_CHARS: usize = 128;

/// Returns the message group: the dead letter's own; without one, the interaction; otherwise the event alone.
pub(super) fn group(delivery: &Delivery<'_>) -> String {
    delivery.group.or(delivery.interaction_id).map_or_else(|| delivery.key.digest(), str::to_owned)
}

/// Returns the message group in a queue: the dead letter's own; without one, that of the rule's target; otherwise as
/// [`group`].
///
/// # Errors
/// `EventBridge` did not answer, so the group is not known.
pub(super) async fn group_of_rule(
    aws: &AwsTargets,
    rules: &EventRules,
    delivery: &Delivery<'_>,
) -> Result<String, DeliveryError> {
    if delivery.group.is_none() {
        let of_rule = rules.optional_parameters(aws, delivery).await?.group;
        let value = of_rule.and_then(|text| EventValues::new(delivery.payload).of(&text).ok());
        // Of letters, digits and punctuation, as SQS requires.
        let is_valid = |group: &String| {
            !group.is_empty()
                && group.len() <= MAX_GROUP_CHARS
                && group.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if let Some(group) = value.filter(is_valid) {
            return Ok(group);
        }
    }
    Ok(group(delivery))
}
