//! Delivers to an event bus. Buses reject events whose source starts with `aws.`, so the event becomes the
//! detail of an event of our own. Rules must match the source `genesys-replay`. The event of a schedule keeps its source.

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use genesys_replay::destination::Arn;
use genesys_replay::failure::Certainty;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};
use genesys_replay::trace;

use super::aws::{self, RegionalClients, delivery_error};

/// The maximum length of a detail type, in characters.
const MAX_DETAIL_TYPE_CHARS: usize = 128;

pub(super) async fn put(
    clients: &RegionalClients,
    bus: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let known = clients.buses.check(&clients.event_bridge, bus).await;
    known.map_err(|error| DeliveryError {
        // Describing a bus sends no event to it.
        certainty: Certainty::NotSent,
        ..delivery_error("EventBridge", error)
    })?;
    let own = delivery.event_source.filter(|source| !source.starts_with("aws."));
    let source = own.unwrap_or("genesys-replay");
    let detail_type = delivery.event_type.unwrap_or("replay");
    let entry = PutEventsRequestEntry::builder()
        .event_bus_name(bus.as_str())
        .source(source)
        .detail_type(detail_type.chars().take(MAX_DETAIL_TYPE_CHARS).collect::<String>())
        .detail(delivery.payload)
        .set_trace_header(trace::current().map(|trace| trace.header().to_owned()))
        .build();
    let answer = clients
        .event_bridge
        .put_events()
        .entries(entry)
        .send()
        .await
        .map_err(|error| delivery_error("EventBridge", error))?;
    // An answer with status 200 may contain a rejected entry.
    let refused = answer
        .entries()
        .iter()
        .find_map(|entry| Some((entry.error_code()?, entry.error_message())));
    match refused {
        None if answer.failed_entry_count() == 0 => {
            let entry = answer.entries().first();
            Ok(entry.and_then(|entry| entry.event_id()).map(str::to_owned))
        }
        refused => {
            let (code, message) = refused.unwrap_or(("an error without a code", None));
            Err(aws::refused("EventBridge", code, message, None))
        }
    }
}
