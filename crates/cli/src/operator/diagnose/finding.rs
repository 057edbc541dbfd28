//! The finding about one message.

use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::original_failure;
use genesys_replay::destination::Destination;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::Status;
use genesys_replay::replay::decision::Rules;
use serde::{Deserialize, Serialize};

use crate::genesys::analytics::Conversation;
use crate::ledger::Record;
use crate::operator::classified_message::ClassifiedMessage;

/// The finding about one message: a record of `eventbridge_diagnostics.json`. The first seven members are the
/// interface; the others are additions to it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageFinding<'m> {
    /// The time of the event, from the event itself, else the time at which the message was sent. RFC 3339.
    pub timestamp: Option<String>,
    pub interaction_id: Option<&'m str>,
    /// The event's type; `unknown` if the event has none.
    pub event_type: &'m str,
    pub failure_category: &'static str,
    /// The payload that another delivery sends, unchanged; for a message that is not an event, the body.
    pub replay_payload: &'m str,
    /// The conversation from analytics; `None` if analytics was not queried or did not return it.
    pub interaction_info: Option<&'m Conversation>,
    /// The target of the next delivery, without the secret parts of a URL.
    pub replay_endpoint: Option<String>,
    pub message_id: &'m str,
    /// The event's id, as in the ledger's key.
    pub event_id: &'m str,
    /// The failure code: the ledger's, else the code that the function would set.
    pub failure_code: Option<&'m str>,
    pub ledger_status: Option<&'static str>,
    pub attempts: u32,
    /// The receive count, including the receive by this diagnosis.
    pub receive_count: u32,
    /// The recorded error code of the first failure.
    pub error_code: Option<String>,
    pub next_step: &'static str,
    /// The recorded error message of the first failure.
    pub error_message: Option<String>,
    /// The rule that matched the event.
    pub rule_arn: Option<String>,
    /// The target of the first failure, without the secret parts of a URL.
    pub original_target: Option<String>,
    /// `base64` if the payload is the base64 form of a binary payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_encoding: Option<&'static str>,
    /// The time at which the message was sent to the queue.
    #[serde(skip)]
    pub sent_at: Option<Timestamp>,
    /// The time of the event, as in `timestamp`.
    #[serde(skip)]
    pub at: Option<Timestamp>,
}

impl<'m> MessageFinding<'m> {
    pub fn of(
        classified: &'m ClassifiedMessage<'m>,
        record: Option<&'m Record>,
        conversation: Option<&'m Conversation>,
        rules: &Rules,
        now: Timestamp,
    ) -> Self {
        let message = classified.message;
        let at = happened(classified);
        let prediction = classified.predict(rules, record.map(Record::state).as_ref(), now);
        let recorded = record.and_then(|record| record.failure_code.as_deref());
        let failure = classified
            .event()
            .map_or_else(|| original_failure(message), |event| event.failure.clone());
        Self {
            timestamp: at.map(|at| at.to_string()),
            interaction_id: classified.interaction(),
            event_type: classified.event_type(),
            failure_category: classified.category.as_str(),
            replay_payload: payload(classified),
            interaction_info: conversation,
            replay_endpoint: endpoint(&classified.destination),
            message_id: message.id.as_str(),
            event_id: classified.event_id(),
            failure_code: recorded.or(prediction.code.map(FailureCode::as_str)),
            ledger_status: record.and_then(|record| record.status).map(Status::as_str),
            attempts: record.map_or(0, |record| record.attempts),
            receive_count: message.receive_count,
            error_code: failure.error_code,
            next_step: prediction.step.as_str(),
            error_message: failure.error_message,
            rule_arn: failure.rule_arn,
            original_target: failure.target_arn.map(|it| Destination::of_arn(&it).to_string()),
            payload_encoding: message.is_base64().then_some("base64"),
            sent_at: message.sent_at,
            at,
        }
    }
}

/// Returns the payload; for a message that is not an event, the body.
fn payload<'m>(classified: &'m ClassifiedMessage<'m>) -> &'m str {
    let event = classified.event();
    event.map_or(&*classified.message.body, |event| &event.payload)
}

/// Returns the time of the event, from the event itself, else the time at which the message was sent.
pub(crate) fn happened(classified: &ClassifiedMessage<'_>) -> Option<Timestamp> {
    event_time(payload(classified)).or(classified.message.sent_at)
}

fn endpoint(destination: &Destination) -> Option<String> {
    let is_unknown =
        matches!(destination, Destination::None | Destination::TooLong(_) | Destination::Missing);
    (!is_unknown).then(|| destination.to_string())
}

/// The members of an event that may contain its time.
#[derive(Deserialize)]
struct Times {
    time: Option<serde_json::Value>,
    timestamp: Option<serde_json::Value>,
}

/// Returns the time of an event: `time` of `EventBridge`, or `timestamp` of a webhook.
fn event_time(payload: &str) -> Option<Timestamp> {
    if !payload.trim_start().starts_with('{') {
        return None;
    }
    let Times { time, timestamp } = serde_json::from_str(payload).ok()?;
    [time, timestamp].iter().flatten().find_map(|value| Timestamp::parse(value.as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_time_is_read_from_the_event_only() {
        let at = |payload: &str| event_time(payload).map(|at| at.to_string());
        for payload in [
            r#"{"time":"2026-07-25T17:20:00Z"}"#,
            r#"{"timestamp":"2026-07-25T19:20:00+02:00"}"#,
            r#"{"time":7,"timestamp":"2026-07-25T17:20:00Z"}"#,
        ] {
            assert_eq!(at(payload).as_deref(), Some("2026-07-25T17:20:00Z"), "{payload}");
        }
        for payload in ["", "{}", "[7]", "<html>", r#"{"time":"soon"}"#, r#"{"time":{}}"#] {
            assert_eq!(at(payload), None, "{payload}");
        }
    }
}
