//! Records of an SQS event, built or read from `events/`.

use std::error::Error;

use aws_lambda_events::sqs::SqsEvent;
use serde_json::{Value, json};

/// One record of an SQS event.
#[derive(Clone)]
pub struct Record(pub Value);

impl Record {
    /// Returns a message with this id and body, with receive count 1.
    pub fn new(message_id: &str, body: &str) -> Self {
        Self(json!({
            "messageId": message_id,
            "receiptHandle": "receipt",
            "body": body,
            "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1785000000000" },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:271828182845:dead-letters",
            "awsRegion": "eu-central-1",
        }))
    }

    /// Returns a conversation's event as in a rule's dead-letter queue.
    pub fn dead_letter(message_id: &str, event_id: &str, conversation: &str) -> Self {
        Self::new(message_id, &conversation_event(event_id, conversation))
            .with("ERROR_CODE", "TIMEOUT")
            .with("ERROR_MESSAGE", "no answer in time")
            .with("RULE_ARN", "arn:aws:events:eu-central-1:271828182845:rule/crm")
            .with("TARGET_ARN", "arn:aws:lambda:eu-central-1:271828182845:function:crm")
    }

    /// Adds a message attribute.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0["messageAttributes"][name] = json!({
            "stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String",
        });
        self
    }

    /// Sets its queue and its receipt handle.
    pub fn in_queue(mut self, queue_arn: &str, receipt_handle: &str) -> Self {
        self.0["eventSourceARN"] = json!(queue_arn);
        self.0["receiptHandle"] = json!(receipt_handle);
        self
    }

    /// Sets its message group.
    pub fn in_group(mut self, group: &str) -> Self {
        self.0["attributes"]["MessageGroupId"] = json!(group);
        self
    }

    /// Sets its receive count.
    pub fn received(mut self, times: u32) -> Self {
        self.0["attributes"]["ApproximateReceiveCount"] = json!(times.to_string());
        self
    }
}

/// Returns a conversation's event with unusual spacing, so that a re-serialization is detected.
pub fn conversation_event(event_id: &str, conversation: &str) -> String {
    format!(
        r#"{{"version": "0", "id":"{event_id}","detail-type":"v2.detail.events.conversation.{{id}}.customer.end",
"source":"aws.partner/genesys.com/cloud/org/bus","account":"271828182845","time":"2026-07-25T17:20:00Z","region":"eu-central-1","resources":[],
"detail":{{"topicName":"v2.detail.events.conversation.{conversation}.customer.end","version":"2","eventBody":{{"conversationId":"{conversation}","participantId":"caller-1","ani":"tel:+4930123456"}}}},"replay-name":"kept"}}"#
    )
}

/// Returns an SQS event with these records.
pub fn event(records: &[Record]) -> Value {
    json!({ "Records": records.iter().map(|record| record.0.clone()).collect::<Vec<_>>() })
}

/// Returns one of the repository's sample events.
pub fn sample(name: &str) -> Result<SqsEvent, Box<dyn Error>> {
    let path = crate::root().join("events").join(name);
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}
