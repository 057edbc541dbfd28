//! Messages that Lambda wrote after a function failed: on-failure records, and the events in the function's
//! own dead-letter queue.

use super::genesys_event::InnerEvent;
use super::json::Object;
use super::{DeadLetter, Envelope, ParsedMessage, UnreplayableReason};
use crate::clock::Timestamp;
use crate::failure::{FailureReport, OriginalFailure, ReportingTarget};

/// Parses the on-failure record of an asynchronous invocation; the event is its `requestPayload`.
pub(super) fn open_destination_record<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let record = envelope.body.object()?;
    let context = record.object("requestContext")?;
    let function = context.string("functionArn")?;
    let Some(payload) = record.raw("requestPayload") else {
        return Some(ParsedMessage::Unreplayable(UnreplayableReason::EmptyWrapper));
    };
    let failure = OriginalFailure {
        error_message: record
            .object("responsePayload")
            .and_then(|answer| answer.string("errorMessage"))
            .or_else(|| context.string("condition")),
        is_targets_text: true,
        target_arn: Some(function),
        // The first invocation is not a retry.
        retry_attempts: context
            .number("approximateInvokeCount")
            .map_or(0, |count| count.saturating_sub(1)),
        ..OriginalFailure::default()
    };
    let report = FailureReport {
        target: ReportingTarget::Function,
        delivery_id: context.string("requestId").filter(|id| !id.is_empty()),
        at: record
            .string("timestamp")
            .and_then(|at| Timestamp::parse(&at))
            .or(envelope.message.sent_at),
    };
    let event = InnerEvent::read(Object::read(payload).as_ref());
    let dead_letter = DeadLetter::new(event, payload, failure).reporting(report);
    Some(dead_letter.into())
}

/// Parses an event in the function's own dead-letter queue. The message does not name the function.
pub(super) fn open_function_dead_letter<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    envelope.attribute("RequestID")?;
    let text = |name| envelope.attribute(name).map(str::to_owned);
    let failure = OriginalFailure {
        // `ErrorCode` is a number: the status of the invocation.
        error_code: text("ErrorCode"),
        error_message: text("ErrorMessage"),
        is_targets_text: true,
        ..OriginalFailure::default()
    };
    if failure.error_code.is_none() && failure.error_message.is_none() {
        return None;
    }
    let report = FailureReport {
        target: ReportingTarget::Function,
        delivery_id: text("RequestID"),
        at: envelope.message.sent_at,
    };
    let event = InnerEvent::read(envelope.body.object());
    let dead_letter = DeadLetter::new(event, envelope.text, failure).reporting(report);
    Some(dead_letter.into())
}
