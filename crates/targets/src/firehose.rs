//! Delivers to a Firehose stream.

use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use genesys_replay::destination::Arn;
use genesys_replay::failure::FailureCode;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};

use super::aws::{RegionalClients, delivery_error};
use super::size;

/// The maximum size of a record: 1,000 KiB, less than a message of SQS.
const MAX_FIREHOSE_RECORD_BYTES: usize = 1_000 * 1_024;

pub(super) async fn put(
    clients: &RegionalClients,
    stream: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    size::check("Firehose", delivery.payload.len(), MAX_FIREHOSE_RECORD_BYTES)?;
    let unbuilt = |error: aws_sdk_firehose::error::BuildError| {
        DeliveryError::never(FailureCode::TargetRefused, error.to_string())
    };
    let record = Record::builder().data(Blob::new(delivery.payload)).build().map_err(unbuilt)?;
    let name = stream.named("deliverystream/").unwrap_or_default();
    let call = clients.firehose.put_record().delivery_stream_name(name).record(record);
    let answer = call.send().await.map_err(|error| delivery_error("Firehose", error))?;
    Ok(Some(answer.record_id))
}
