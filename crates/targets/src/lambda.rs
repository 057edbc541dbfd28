//! Delivers to a Lambda function by asynchronous invocation, as `EventBridge` does.

use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use genesys_replay::destination::Arn;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};

use super::aws::{RegionalClients, delivery_error};

pub(super) async fn invoke(
    clients: &RegionalClients,
    function: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let answer = clients
        .lambda
        .invoke()
        .function_name(function.as_str())
        .invocation_type(InvocationType::Event)
        .payload(Blob::new(delivery.payload))
        .send()
        .await
        .map_err(|error| delivery_error("Lambda", error))?;
    // The id of an asynchronous invocation is the id of the request that started it.
    Ok(answer.request_id().map(str::to_owned))
}
