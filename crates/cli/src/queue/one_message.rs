//! One message of a queue, for an invocation of the function by hand.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message as SqsMessage, MessageSystemAttributeName as System};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay::aws::AwsError;
use genesys_replay::destination::Arn;
use genesys_replay::message::Message;
use serde_json::{Map, Value, json};

use super::sqs::{WAIT_SECONDS, read};
use crate::calls::answered;

/// A received message, and the event with which Lambda would pass it to the function.
#[derive(Clone, Debug)]
pub struct OneMessage {
    pub message: Message,
    pub event: Value,
}

/// Receives one message. Returns `None` if no message is visible.
///
/// # Errors
/// [`AwsError`]
pub async fn receive_one(
    sqs: &Client,
    url: &str,
    arn: &str,
    visibility_timeout: Duration,
) -> Result<Option<OneMessage>, AwsError> {
    let operation = format!("receiving from {url} (sqs:ReceiveMessage)");
    let call = sqs
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(1)
        .visibility_timeout(i32::try_from(visibility_timeout.as_secs()).unwrap_or(i32::MAX))
        .wait_time_seconds(WAIT_SECONDS)
        .message_system_attribute_names(System::All)
        .message_attribute_names("All");
    let received = answered(&operation, call.send()).await?.messages.unwrap_or_default();
    let received = received.into_iter().find_map(|received| {
        let event = event(&received, arn);
        Some(OneMessage { message: read(received, arn)?, event })
    });
    Ok(received)
}

/// Returns the event of an SQS event source mapping with one message.
fn event(received: &SqsMessage, queue_arn: &str) -> Value {
    let system = received.attributes().into_iter().flatten();
    let system: Map<String, Value> =
        system.map(|(name, value)| (name.as_str().to_owned(), json!(value))).collect();
    let attributes = received.message_attributes().into_iter().flatten();
    let attributes: Map<String, Value> = attributes
        .map(|(name, value)| {
            let binary = value.binary_value().map(|value| STANDARD.encode(value));
            let value = json!({
                "dataType": value.data_type(),
                "stringValue": value.string_value(),
                "binaryValue": binary,
            });
            (name.clone(), value)
        })
        .collect();
    let region = Arn::parse(queue_arn).map(|arn| arn.region().to_owned());
    json!({ "Records": [{
        "messageId": received.message_id(),
        "receiptHandle": received.receipt_handle(),
        "body": received.body(),
        "md5OfBody": received.md5_of_body(),
        "attributes": system,
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }] })
}
