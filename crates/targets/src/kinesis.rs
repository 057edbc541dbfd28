//! Delivers to a Kinesis data stream.

use aws_sdk_kinesis::primitives::Blob;
use genesys_replay::destination::Arn;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};

use super::aws::{AwsTargets, delivery_error};
use super::parameters::EventValues;
use super::rule::EventRules;

/// The maximum length of a partition key, in characters.
const MAX_PARTITION_KEY_CHARS: usize = 256;

/// Puts one record. Its partition key is the value that the rule takes from the event, otherwise the event's id, as in
/// `EventBridge`. No size limit is checked: a
/// message of SQS is not longer than a record.
pub(super) async fn put(
    aws: &AwsTargets,
    rules: &EventRules,
    stream: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let path = rules.optional_parameters(aws, delivery).await?.partition_key;
    let from_event = path.and_then(|path| EventValues::new(delivery.payload).of(&path).ok());
    let key = from_event.filter(|key| !key.is_empty());
    let key = key.unwrap_or_else(|| delivery.key.event_id().to_owned());
    let answer = aws
        .of(stream)
        .kinesis
        .put_record()
        .stream_arn(stream.as_str())
        .partition_key(key.chars().take(MAX_PARTITION_KEY_CHARS).collect::<String>())
        .data(Blob::new(delivery.payload))
        .send()
        .await
        .map_err(|error| delivery_error("Kinesis", error))?;
    Ok(Some(answer.sequence_number))
}
