//! Delivers to an SQS queue.

use genesys_replay::destination::Arn;
use genesys_replay::failure::{Certainty, FailureCode};
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};
use genesys_replay_aws::sqs_sender::attribute;

use super::aws::{RegionalClients, delivery_error};
use super::ordering::group;

pub(super) async fn send(
    clients: &RegionalClients,
    queue: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let url = clients.queue_urls.of(queue).await.map_err(|error| DeliveryError {
        // Reading a queue's URL sends nothing to the queue.
        certainty: Certainty::NotSent,
        ..delivery_error("SQS", error)
    })?;
    let mut message = clients.sqs.send_message().queue_url(url).message_body(delivery.payload);
    if queue.is_fifo() {
        message = message.message_group_id(group(delivery)).message_deduplication_id(delivery.name);
    }
    for (name, typed) in delivery.attributes {
        let value = attribute(typed).map_err(|error| {
            let reason = format!("the message attribute {name} cannot be sent: {error}");
            DeliveryError::never(FailureCode::TargetRefused, reason)
        })?;
        message = message.message_attributes(*name, value);
    }
    let answer = message.send().await.map_err(|error| delivery_error("SQS", error))?;
    Ok(answer.message_id)
}
