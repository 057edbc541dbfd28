//! Dead letters as `EventBridge` sends them to the queue, each with unique ids.

use hyper::body::Bytes;
use serde_json::{Value, json};

const QUEUE_ARN: &str = "arn:aws:sqs:eu-central-1:271828182845:genesys-events-dead-letters";
const SOURCE: &str = "aws.partner/genesys.com/cloud/8d1f0c52-6f0e-4b7a-9a6e-2f54c1f7b3d9/crm";
const CUSTOMER_END: &str = "v2.detail.events.conversation.{id}.customer.end";

/// An undelivered event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    /// The conversation. `None` for an audit.
    pub(crate) conversation: Option<String>,
    /// The body of the message, which has to arrive at the target.
    pub(crate) body: String,
    error_code: &'static str,
}

/// A message of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) event: Event,
    pub(crate) receives: u32,
}

impl Message {
    /// The receipt handle.
    pub(crate) fn receipt_handle(&self) -> String {
        format!("AQEB{}=={}", self.id, self.receives)
    }
}

/// Makes events and messages with unique ids.
#[derive(Debug, Default)]
pub(crate) struct Source {
    ids: u64,
}

impl Source {
    fn id(&mut self) -> String {
        self.ids += 1;
        format!("{:08x}-4b1d-4c0f-8a5e-{:012x}", self.ids, self.ids)
    }

    /// Returns the event of the end of a customer's call.
    pub(crate) fn conversation_event(&mut self) -> Event {
        let (id, conversation) = (self.id(), self.id());
        let detail = json!({
            "topicName": CUSTOMER_END.replace("{id}", &conversation),
            "version": "2",
            "eventBody": {
                "eventTime": 1_776_330_761_507_u64,
                "conversationId": conversation,
                "participantId": participant(&conversation),
                "sessionId": self.id(),
                "mediaType": "VOICE",
                "provider": "Edge",
                "direction": "INBOUND",
                "interactingDurationMs": 184_220,
                "disconnectType": "PEER",
            },
            "metadata": {"CorrelationId": self.id()},
            "timestamp": "2026-04-16T09:12:41.507Z",
        });
        Event {
            body: envelope(&id, CUSTOMER_END, &detail),
            id,
            conversation: Some(conversation),
            error_code: "THROTTLING",
        }
    }

    /// Returns an audit, which has no conversation to mark.
    pub(crate) fn audit_event(&mut self) -> Event {
        let id = self.id();
        let detail = json!({
            "topicName": "v2.audits.entitytype.queue.entityid.action.update",
            "version": "2",
            "eventBody": {"id": self.id(), "action": "Update", "level": "USER", "status": "SUCCESS"},
            "metadata": {},
            "timestamp": "2026-04-16T09:12:41.507Z",
        });
        Event {
            body: envelope(&id, "v2.audits.entitytype.{id}.entityid.{id}.action.{id}", &detail),
            id,
            conversation: None,
            error_code: "THROTTLING",
        }
    }

    /// Returns an input that a rule transformed to invalid JSON.
    pub(crate) fn broken_input(&mut self) -> Event {
        let id = self.id();
        Event {
            body: format!("conversation {id} has ended, reason: \"{{peer"),
            id,
            conversation: None,
            error_code: "INVALID_JSON",
        }
    }

    /// Returns a message with an event.
    pub(crate) fn message(&mut self, event: Event) -> Message {
        Message { id: self.id(), event, receives: 1 }
    }

    /// Returns ordinary events, each in its own message.
    pub(crate) fn batch(&mut self, records: usize) -> Vec<Message> {
        (0..records)
            .map(|_| {
                let event = self.conversation_event();
                self.message(event)
            })
            .collect()
    }
}

/// Returns the default customer of a conversation in the stand-in.
pub(crate) fn participant(conversation: &str) -> String {
    format!("{conversation}-customer")
}

/// Returns the SQS event of Lambda with these messages.
pub(crate) fn sqs_event(messages: &[Message]) -> Bytes {
    let records: Vec<Value> = messages.iter().map(record).collect();
    json!({ "Records": records }).to_string().into()
}

fn envelope(id: &str, detail_type: &str, detail: &Value) -> String {
    json!({
        "version": "0",
        "id": id,
        "detail-type": detail_type,
        "source": SOURCE,
        "account": "271828182845",
        "time": "2026-04-16T09:12:41Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": detail,
    })
    .to_string()
}

fn record(message: &Message) -> Value {
    let attribute = |value: &str| json!({"stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String"});
    let event = &message.event;
    json!({
        "messageId": message.id,
        "receiptHandle": message.receipt_handle(),
        "body": event.body,
        "attributes": {
            "ApproximateReceiveCount": message.receives.to_string(),
            "SentTimestamp": "1776417247318",
            "SenderId": "AIDAQEVENTBRIDGEDLQ01",
            "ApproximateFirstReceiveTimestamp": "1776417247323",
        },
        "messageAttributes": {
            "RULE_ARN": attribute("arn:aws:events:eu-central-1:271828182845:rule/conversations-to-crm"),
            "TARGET_ARN": attribute("arn:aws:lambda:eu-central-1:271828182845:function:crm-conversation-sync"),
            "ERROR_CODE": attribute(event.error_code),
            "ERROR_MESSAGE": attribute("Rate Exceeded."),
            "RETRY_ATTEMPTS": attribute("185"),
            "EXHAUSTED_RETRY_CONDITION": attribute("MaximumRetryAttempts"),
        },
        "md5OfMessageAttributes": "95010c5d243169c55e651aba64ab44a2",
        "md5OfBody": "c235214ebb7b887c3fb04ab26b180073",
        "eventSource": "aws:sqs",
        "eventSourceARN": QUEUE_ARN,
        "awsRegion": "eu-central-1",
    })
}
