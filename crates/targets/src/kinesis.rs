//! Delivers to a Kinesis data stream.

use aws_sdk_kinesis::primitives::Blob;
use genesys_replay::destination::Arn;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};

use super::aws::{RegionalClients, delivery_error};

/// The maximum length of a partition key, in characters. The key is ASCII.
const MAX_PARTITION_KEY_CHARS: usize = 256;

/// Puts one record. Its partition key is the event's id, as in `EventBridge` without a path. No size limit is checked: a
/// message of SQS is not longer than a record.
pub(super) async fn put(
    clients: &RegionalClients,
    stream: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let id = delivery.key.event_id();
    let answer = clients
        .kinesis
        .put_record()
        .stream_arn(stream.as_str())
        .partition_key(id.chars().take(MAX_PARTITION_KEY_CHARS).collect::<String>())
        .data(Blob::new(delivery.payload))
        .send()
        .await
        .map_err(|error| delivery_error("Kinesis", error))?;
    Ok(Some(answer.sequence_number))
}
