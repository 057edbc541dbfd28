//! Delivery to an SQS queue.

use super::aws::{Clients, delivery_error};
use super::ordering::group;
use super::{Delivery, DeliveryError};
use crate::destination::Arn;
use crate::failure::Certainty;

pub(super) async fn send(
    clients: &Clients,
    queue: &Arn,
    delivery: &Delivery<'_>,
) -> Result<(), DeliveryError> {
    let url = clients
        .queue_urls
        .of(queue)
        .await
        .map_err(|error| DeliveryError {
            // Asking for a queue's URL sends nothing to it.
            certainty: Certainty::NotSent,
            ..delivery_error("SQS", error)
        })?;
    let mut message = clients
        .sqs
        .send_message()
        .queue_url(url)
        .message_body(delivery.payload);
    if queue.is_fifo() {
        message = message
            .message_group_id(group(delivery))
            .message_deduplication_id(delivery.key.digest());
    }
    message
        .send()
        .await
        .map_err(|error| delivery_error("SQS", error))?;
    Ok(())
}
