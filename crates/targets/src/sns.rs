//! Delivers to an SNS topic.

use genesys_replay::destination::Arn;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};

use super::aws::{RegionalClients, delivery_error};
use super::ordering::group;

pub(super) async fn publish(
    clients: &RegionalClients,
    topic: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let mut message = clients.sns.publish().topic_arn(topic.as_str()).message(delivery.payload);
    if topic.is_fifo() {
        message = message.message_group_id(group(delivery)).message_deduplication_id(delivery.name);
    }
    let answer = message.send().await.map_err(|error| delivery_error("SNS", error))?;
    Ok(answer.message_id)
}
