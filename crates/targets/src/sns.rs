//! Delivers to an SNS topic.

use aws_sdk_sns::primitives::Blob;
use aws_sdk_sns::types::MessageAttributeValue;
use genesys_replay::destination::Arn;
use genesys_replay::failure::FailureCode;
use genesys_replay::message::TypedValue;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};

use super::aws::{RegionalClients, delivery_error};
use super::ordering::group;
use super::size;

/// The maximum size of a message with its attributes: a quarter of a message of SQS.
const MAX_SNS_MESSAGE_BYTES: usize = 256 * 1_024;

pub(super) async fn publish(
    clients: &RegionalClients,
    topic: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let attributes = delivery.attributes.iter().map(|(name, attribute)| {
        let value = match &attribute.value {
            TypedValue::Text(text) => text.len(),
            TypedValue::Binary(bytes) => bytes.len(),
        };
        name.len() + attribute.data_type.len() + value
    });
    let bytes = delivery.payload.len() + attributes.sum::<usize>();
    size::check("SNS", bytes, MAX_SNS_MESSAGE_BYTES)?;
    let mut message = clients.sns.publish().topic_arn(topic.as_str()).message(delivery.payload);
    if topic.is_fifo() {
        message = message.message_group_id(group(delivery)).message_deduplication_id(delivery.name);
    }
    for (name, attribute) in delivery.attributes {
        let value = MessageAttributeValue::builder().data_type(&attribute.data_type);
        let value = match &attribute.value {
            TypedValue::Text(text) => value.string_value(text),
            TypedValue::Binary(bytes) => value.binary_value(Blob::new(bytes.clone())),
        };
        let value = value.build().map_err(|error| {
            let reason = format!("the message attribute {name} cannot be sent: {error}");
            DeliveryError::never(FailureCode::TargetRefused, reason)
        })?;
        message = message.message_attributes(*name, value);
    }
    let answer = message.send().await.map_err(|error| delivery_error("SNS", error))?;
    Ok(answer.message_id)
}
