//! Delivery to an event bus. Buses refuse events whose source starts with `aws.`, so the event goes
//! inside one of our own; rules must match the source `genesys-replay`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::config::http::HttpResponse;
use aws_sdk_eventbridge::error::SdkError;
use aws_sdk_eventbridge::operation::describe_event_bus::DescribeEventBusError;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use genesys_replay::destination::Arn;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};
use tokio::time::Instant;

use super::aws::{self, Clients, delivery_error};

/// The longest detail type that a bus takes, in characters.
const LONGEST_DETAIL_TYPE: usize = 128;

/// A bus that was found is not looked for again for this long.
const FOUND_FOR: Duration = Duration::from_secs(300);

/// The buses that exist, as far as one execution environment knows. `PutEvents` to a bus that does not exist is
/// answered as if it had been accepted.
#[derive(Clone, Default)]
pub struct KnownBuses(Arc<Mutex<HashMap<String, Instant>>>);

impl KnownBuses {
    /// Looks for a bus unless it was found in the last five minutes. A role that may not look goes on without.
    async fn check(&self, client: &Client, bus: &Arn) -> Result<(), DeliveryError> {
        let is_known = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known
                .get(bus.as_str())
                .is_some_and(|found| found.elapsed() < FOUND_FOR)
        };
        if is_known {
            return Ok(());
        }
        if let Err(error) = known_as(client, bus).await
            && is_missing(&error)
        {
            return Err(aws::delivery_error("EventBridge", error));
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(bus.as_str().to_owned(), Instant::now());
        Ok(())
    }
}

/// Looks for a bus, and returns the name under which it was found: its ARN, or with an emulator its name alone,
/// which AWS takes for a bus of the caller's own account.
///
/// # Errors
/// As `EventBridge` answers.
pub async fn known_as<'b>(
    client: &Client,
    bus: &'b Arn,
) -> Result<&'b str, SdkError<DescribeEventBusError, HttpResponse>> {
    let arn = bus.as_str();
    let Err(error) = client.describe_event_bus().name(arn).send().await else {
        return Ok(arn);
    };
    if is_missing(&error) {
        let name = bus.resource().trim_start_matches("event-bus/");
        let named = client.describe_event_bus().name(name).send().await;
        if named.is_ok_and(|found| found.arn() == Some(arn)) {
            return Ok(name);
        }
    }
    Err(error)
}

fn is_missing<R>(error: &SdkError<DescribeEventBusError, R>) -> bool {
    error
        .as_service_error()
        .is_some_and(DescribeEventBusError::is_resource_not_found_exception)
}

pub(super) async fn put(
    clients: &Clients,
    bus: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    clients.buses.check(&clients.event_bridge, bus).await?;
    let detail_type = delivery.event_type.unwrap_or("replay");
    let entry = PutEventsRequestEntry::builder()
        .event_bus_name(bus.as_str())
        .source("genesys-replay")
        .detail_type(
            detail_type
                .chars()
                .take(LONGEST_DETAIL_TYPE)
                .collect::<String>(),
        )
        .detail(delivery.payload)
        .build();
    let answer = clients
        .event_bridge
        .put_events()
        .entries(entry)
        .send()
        .await
        .map_err(|error| delivery_error("EventBridge", error))?;
    // A refused entry comes in an answer that says 200.
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
