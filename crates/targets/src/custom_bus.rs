//! Delivers to a custom event bus (`event-busv2`). Such a bus accepts any JSON, so the payload is unchanged.

use aws_sdk_eventbridgev2::primitives::Blob;
use aws_sdk_eventbridgev2::types::{PutRawEventsRequestEntry, PutRawEventsSystemMetadata};
use genesys_replay::destination::Arn;
use genesys_replay::failure::FailureCode;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};
use serde::de::IgnoredAny;

use super::aws::{self, RegionalClients, delivery_error};

/// Puts one event. The bus drops a second event with the same deduplication id within 300 seconds.
pub(super) async fn put(
    clients: &RegionalClients,
    bus: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let not_built = |error: String| DeliveryError::never(FailureCode::TargetRefused, error);
    // The payload of a rule with INVALID_JSON is not JSON.
    let is_json = serde_json::from_str::<IgnoredAny>(delivery.payload).is_ok();
    let metadata = PutRawEventsSystemMetadata::builder()
        .content_type(if is_json { "application/json" } else { "text/plain" })
        .deduplication_id(delivery.name)
        .set_event_group_id(delivery.group.map(str::to_owned))
        .build()
        .map_err(|error| not_built(error.to_string()))?;
    let entry = PutRawEventsRequestEntry::builder()
        .data(Blob::new(delivery.payload))
        .system_metadata(metadata)
        .build()
        .map_err(|error| not_built(error.to_string()))?;
    let call = clients.custom_buses.put_raw_events().event_bus_arn(bus.as_str()).entries(entry);
    let answer = call.send().await.map_err(|error| delivery_error("EventBridge", error))?;
    // An answer with status 200 may contain a rejected entry.
    let entry = answer.entries().first();
    let refused = entry.and_then(|entry| Some((entry.error_code()?, entry.error_message())));
    match refused {
        None if answer.failed_entry_count() == 0 => {
            Ok(entry.and_then(|entry| entry.event_id()).map(str::to_owned))
        }
        refused => {
            let (code, message) = refused.unwrap_or(("an error without a code", None));
            Err(aws::refused("EventBridge", code, message, None))
        }
    }
}
