//! The finding about one message.

use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::{UnreplayableReason, original_failure};
use genesys_replay::destination::Destination;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::Status;
use genesys_replay::message::Message;
use serde::{Deserialize, Serialize};

use crate::genesys::analytics::Conversation;
use crate::ledger::Record;
use crate::operator::classified_message::ClassifiedMessage;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// The function delivers the event again.
    Replay,
    /// The function archives the message. Without an archive, the function lets SQS move the message to the parking
    /// queue.
    Archive,
    /// The function removes the message from the queue, because the event is finished.
    Acknowledge,
    /// The function waits for the worker that holds the event.
    Wait,
    /// The function returns the message until SQS moves it to the parking queue, because the event was rejected.
    Return,
}

impl NextStep {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "REPLAY",
            Self::Archive => "ARCHIVE",
            Self::Acknowledge => "ACKNOWLEDGE",
            Self::Wait => "WAIT",
            Self::Return => "RETURN",
        }
    }
}

/// The function's settings that decide its next step.
#[derive(Clone, Copy, Debug)]
pub struct FunctionSettings {
    pub replays_malformed: bool,
    pub has_archive: bool,
    pub max_rounds: u32,
    /// The time before which an event is stale; `None` if events do not become stale.
    pub stale_before: Option<Timestamp>,
}

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
        function: FunctionSettings,
    ) -> Self {
        let message = classified.message;
        let at = happened(classified);
        let (verdict, next) = verdict(message, classified, record, function);
        let recorded = record.and_then(|record| record.failure_code.as_deref());
        let error_code = match classified.event() {
            Some(event) => event.failure.error_code.clone(),
            None => original_failure(message).error_code,
        };
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
            failure_code: recorded.or(verdict.map(FailureCode::as_str)),
            ledger_status: record.and_then(|record| record.status).map(Status::as_str),
            attempts: record.map_or(0, |record| record.attempts),
            receive_count: message.receive_count,
            error_code,
            next_step: next.as_str(),
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
pub(super) fn happened(classified: &ClassifiedMessage<'_>) -> Option<Timestamp> {
    event_time(payload(classified)).or(classified.message.sent_at)
}

fn endpoint(destination: &Destination) -> Option<String> {
    let is_unknown = matches!(
        destination,
        Destination::None | Destination::TooLong(_) | Destination::Missing
    );
    (!is_unknown).then(|| destination.to_string())
}

/// Returns the function's next step and its failure code, if the code is known before an attempt. The checks have the
/// order of the function's decisions.
fn verdict(
    message: &Message,
    letter: &ClassifiedMessage<'_>,
    record: Option<&Record>,
    function: FunctionSettings,
) -> (Option<FailureCode>, NextStep) {
    let kept = |code| (Some(code), NextStep::Archive);
    let Some(event) = letter.event() else {
        return kept(
            letter
                .unreplayable_reason()
                .map_or(FailureCode::NotAnEvent, UnreplayableReason::failure_code),
        );
    };
    let is_resent = message.replay_plan().is_some();
    if letter.category.is_malformed() && !function.replays_malformed && !is_resent {
        return kept(FailureCode::PayloadMalformed);
    }
    let code = match &letter.destination {
        _ if event.own_echo => Some(FailureCode::OwnEcho),
        Destination::Missing | Destination::TooLong(_) | Destination::Unsupported(_) => {
            Some(FailureCode::TargetUnsupported)
        }
        Destination::NotAllowed(_) => Some(FailureCode::TargetNotAllowed),
        Destination::None
        | Destination::Http(_)
        | Destination::Lambda(_)
        | Destination::Sqs(_)
        | Destination::Sns(_)
        | Destination::StateMachine(_)
        | Destination::EventBus(_) => None,
    };
    let is_stale = function
        .stale_before
        .is_some_and(|limit| event.time.is_some_and(|time| time < limit));
    let code = code.or((is_stale && !is_resent).then_some(FailureCode::Stale));
    let open = match code {
        Some(_) => NextStep::Archive,
        None => NextStep::Replay,
    };
    let status = record.and_then(|record| record.status);
    let failed_later = record.filter(|record| {
        let report = event.report.as_ref();
        report.is_some_and(|report| {
            record.has_failed_later(report, &letter.destination, message.id.as_str())
        })
    });
    if let Some(record) = failed_later.filter(|_| status != Some(Status::InProgress)) {
        let is_last = record.round >= function.max_rounds;
        let next = if is_last { NextStep::Archive } else { open };
        return (Some(FailureCode::FailedAfterAcceptance), next);
    }
    let next = match status {
        Some(Status::Completed | Status::Discarded) => NextStep::Acknowledge,
        Some(Status::Archived) if !is_resent => NextStep::Acknowledge,
        Some(Status::Failed) if !is_resent && !function.has_archive => NextStep::Return,
        Some(Status::InProgress) => NextStep::Wait,
        Some(Status::Archived | Status::Failed | Status::Deferred) | None => open,
    };
    (code, next)
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
    [time, timestamp]
        .iter()
        .flatten()
        .find_map(|value| Timestamp::parse(value.as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_itself_when_it_happened_or_nothing_does() {
        let at = |payload: &str| event_time(payload).map(|at| at.to_string());
        for payload in [
            r#"{"time":"2026-07-25T17:20:00Z"}"#,
            r#"{"timestamp":"2026-07-25T19:20:00+02:00"}"#,
            r#"{"time":7,"timestamp":"2026-07-25T17:20:00Z"}"#,
        ] {
            assert_eq!(
                at(payload).as_deref(),
                Some("2026-07-25T17:20:00Z"),
                "{payload}"
            );
        }
        for payload in [
            "",
            "{}",
            "[7]",
            "<html>",
            r#"{"time":"soon"}"#,
            r#"{"time":{}}"#,
        ] {
            assert_eq!(at(payload), None, "{payload}");
        }
    }
}
