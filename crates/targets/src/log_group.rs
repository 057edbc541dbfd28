//! Delivers to a log group of `CloudWatch` Logs.

use aws_sdk_cloudwatchlogs::error::SdkError;
use aws_sdk_cloudwatchlogs::operation::create_log_stream::CreateLogStreamError;
use aws_sdk_cloudwatchlogs::operation::put_log_events::{PutLogEventsError, PutLogEventsOutput};
use aws_sdk_cloudwatchlogs::types::{InputLogEvent, RejectedLogEventsInfo};
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Arn;
use genesys_replay::failure::{Certainty, FailureCode};
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};
use serde::Deserialize;

use super::aws::{RegionalClients, delivery_error};
use super::size;

/// The log stream of all events. One stream is enough, because its rate has no quota.
const LOG_STREAM: &str = "genesys-replay";

/// The maximum size of a log event, with 26 bytes around its message.
const MAX_LOG_MESSAGE_BYTES: usize = 1_048_576 - 26;

/// The form that `EventBridge` requires of a transformed input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogEvent {
    /// In milliseconds since 1970.
    timestamp: i64,
    message: String,
}

/// Puts one log event. The payload is its message, unless it has the form `{"timestamp":…,"message":…}`. Creates the log
/// stream at the first event.
pub(super) async fn put(
    clients: &RegionalClients,
    group: &Arn,
    delivery: &Delivery<'_>,
    now: Timestamp,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let event = serde_json::from_str(delivery.payload).unwrap_or_else(|_| LogEvent {
        timestamp: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
        message: delivery.payload.to_owned(),
    });
    size::check("CloudWatch Logs", event.message.len(), MAX_LOG_MESSAGE_BYTES)?;
    let name = group.log_group().unwrap_or_default();
    let event = InputLogEvent::builder().timestamp(event.timestamp).message(event.message).build();
    let event = event
        .map_err(|error| DeliveryError::never(FailureCode::TargetRefused, error.to_string()))?;
    let send = || {
        let call = clients.logs.put_log_events().log_group_name(name);
        call.log_stream_name(LOG_STREAM).log_events(event.clone()).send()
    };
    let mut answer = send().await;
    if answer.as_ref().is_err_and(is_missing) {
        create_stream(clients, name).await?;
        answer = send().await;
    }
    let answer = answer.map_err(|error| delivery_error("CloudWatch Logs", error))?;
    accepted(&answer)?;
    Ok(None)
}

/// Returns true if the log group or the log stream does not exist.
fn is_missing<R>(error: &SdkError<PutLogEventsError, R>) -> bool {
    error.as_service_error().is_some_and(PutLogEventsError::is_resource_not_found_exception)
}

/// Creates the log stream, unless another environment has created it.
async fn create_stream(clients: &RegionalClients, group: &str) -> Result<(), DeliveryError> {
    let call = clients.logs.create_log_stream().log_group_name(group).log_stream_name(LOG_STREAM);
    match call.send().await {
        Err(error)
            if !error
                .as_service_error()
                .is_some_and(CreateLogStreamError::is_resource_already_exists_exception) =>
        {
            // Creating a stream sends no event.
            let certainty = Certainty::NotSent;
            Err(DeliveryError { certainty, ..delivery_error("CloudWatch Logs", error) })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Checks an answer with status 200, which may contain a rejected event.
fn accepted(answer: &PutLogEventsOutput) -> Result<(), DeliveryError> {
    let Some(rejected) = answer.rejected_log_events_info() else {
        return Ok(());
    };
    let RejectedLogEventsInfo { too_new_log_event_start_index: too_new, .. } = rejected;
    let fault = if too_new.is_some() {
        "more than two hours in the future"
    } else {
        "older than 14 days, or than the retention of the log group"
    };
    let reason = format!("CloudWatch Logs rejected the event: its timestamp is {fault}");
    Err(DeliveryError {
        certainty: Certainty::Refused,
        ..DeliveryError::never(FailureCode::TargetRefused, reason)
    })
}
