//! Delivery to a Lambda function: an asynchronous invocation, as `EventBridge` makes it.

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;

use super::aws::{Clients, delivery_error};
use super::{Delivery, DeliveryError};
use crate::destination::Arn;

pub(super) async fn invoke(
    clients: &Clients,
    function: &Arn,
    delivery: &Delivery<'_>,
) -> Result<(), DeliveryError> {
    clients
        .lambda
        .invoke()
        .function_name(function.as_str())
        .invocation_type(InvocationType::Event)
        .payload(Blob::new(delivery.payload))
        .send()
        .await
        .map_err(|error| delivery_error("Lambda", error))?;
    Ok(())
}
