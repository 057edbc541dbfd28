//! The Lambda edge: converts the SQS event to a batch, and the results to the answer.

pub mod metrics;

use std::collections::BTreeSet;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage, SqsMessageAttribute};
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Arn;
use genesys_replay::message::{Message, MessageId, SOURCE_QUEUE};
use genesys_replay::replay::{Counts, Invocation, Ports, RecordReport, Replay, log};
use genesys_replay::trace::{self, Trace};
use genesys_replay_telemetry as telemetry;
use genesys_replay_telemetry::metrics::Metrics;
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use tokio::time::Instant;
use tracing::Instrument;

use metrics::BatchFigures;

/// The error when a batch cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A message without an id can neither be returned nor acknowledged.
    #[error(
        "record {index} of {records} has no messageId, so no partial answer is possible: \
         nothing was touched and the whole batch returns to the queue"
    )]
    NoMessageId {
        /// The record's index in the batch, from 0.
        index: usize,
        /// The size of the batch.
        records: usize,
    },
}

impl From<BatchError> for Diagnostic {
    fn from(error: BatchError) -> Self {
        Self { error_type: "Batch.NoMessageId".to_owned(), error_message: error.to_string() }
    }
}

/// Handles one invocation.
///
/// # Errors
/// [`BatchError`] before anything is touched. Failed records never cause an error, even if all records
/// failed.
pub async fn handle<P: Ports>(
    replay: &Replay<P>,
    metrics: &Metrics,
    event: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, BatchError> {
    let context = &event.context;
    let xray_trace_id = context.xray_trace_id.as_deref().map(telemetry::trace_id);
    let trace = context.xray_trace_id.as_deref().and_then(Trace::parse);
    // The span has the level of errors, so that every line of the invocation contains it at any log level.
    let span = tracing::error_span!("invocation", request_id = context.request_id, xray_trace_id);
    let handling = async {
        let started = Instant::now();
        let messages = messages(event.payload)
            .inspect_err(|error| tracing::error!(%error, "batch refused"))?;
        let handled = replay.batch(&messages, &invocation(context)).await;
        let duration = started.elapsed();
        log::batch_handled(messages.len(), &Counts::of(&handled), duration);
        let figures = BatchFigures {
            at: replay.clock.now(),
            function: &context.env_config.function_name,
            request_id: &context.request_id,
            xray_trace_id,
            records: messages.len(),
            handled: &handled,
            usage: replay.meter.take(),
            duration,
        };
        figures.write(metrics);
        Ok(answer(&messages, &handled))
    };
    trace::scope(trace, handling.instrument(span)).await
}

fn invocation(context: &Context) -> Invocation {
    Invocation {
        request_id: context.request_id.clone(),
        function_arn: Arn::parse_trusted(&context.invoked_function_arn)
            .as_ref()
            .and_then(Arn::function)
            .unwrap_or_default()
            .to_owned(),
        deadline: Timestamp::from_millis(context.deadline),
    }
}

fn messages(event: SqsEvent) -> Result<Vec<Message>, BatchError> {
    let records = event.records.len();
    event
        .records
        .into_iter()
        .enumerate()
        .map(|(index, record)| message(record).ok_or(BatchError::NoMessageId { index, records }))
        .collect()
}

/// Converts a record; returns `None` if it has no usable id.
fn message(record: SqsMessage) -> Option<Message> {
    let id = MessageId::new(record.message_id?)?;
    let system = |name: &str| record.attributes.get(name);
    let number = |name| system(name).and_then(|text: &String| text.parse().ok());
    let mut message = Message {
        receipt_handle: record.receipt_handle,
        queue_arn: record.event_source_arn,
        group: system("MessageGroupId").cloned(),
        sent_at: number("SentTimestamp").map(Timestamp::from_millis),
        receive_count: system("ApproximateReceiveCount")
            .and_then(|count| count.parse().ok())
            .unwrap_or(1),
        ..Message::new(id, record.body.unwrap_or_default())
    };
    message.add_attributes(record.message_attributes.into_iter().map(|(name, attribute)| {
        let SqsMessageAttribute { string_value, binary_value, data_type, .. } = attribute;
        let data_type = data_type.unwrap_or_else(|| "String".to_owned());
        (name, data_type, string_value, binary_value.map(|binary| binary.0))
    }));
    let source_queue = record.attributes.get_key_value(SOURCE_QUEUE);
    message.attributes.extend(source_queue.map(|(name, arn)| (name.clone(), arn.clone())));
    Some(message)
}

/// Returns the answer: the ids of all messages that return to the queue, each once. A message without an
/// outcome returns too.
fn answer(messages: &[Message], handled: &[RecordReport]) -> SqsBatchResponse {
    let back = |handled: &&RecordReport| handled.result.outcome.returns_to_queue();
    let kept: BTreeSet<&MessageId> =
        handled.iter().filter(back).map(|handled| &handled.message_id).collect();
    let done: BTreeSet<&MessageId> = handled.iter().map(|handled| &handled.message_id).collect();
    let mut response = SqsBatchResponse::default();
    let mut named = BTreeSet::new();
    for message in messages {
        if (kept.contains(&message.id) || !done.contains(&message.id)) && named.insert(&message.id)
        {
            response.add_failure(message.id.as_str());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use genesys_replay::failure::FailureCode;
    use genesys_replay::replay::{Outcome, RecordResult};

    fn handled(message: &Message, outcome: Outcome) -> RecordReport {
        RecordReport {
            message_id: message.id.clone(),
            receive_count: 1,
            event: None,
            result: RecordResult::from(outcome),
            duration: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn message_without_an_outcome_returns_to_the_queue() {
        let messages: Vec<Message> = ["done", "lost", "given-up"]
            .into_iter()
            .filter_map(MessageId::new)
            .map(|id| Message::new(id, String::new()))
            .collect();
        let returned = Outcome::Returned { code: FailureCode::Internal };
        let handled: Vec<RecordReport> = messages
            .iter()
            .zip([Some(Outcome::Replayed), None, Some(returned)])
            .filter_map(|(message, outcome)| Some(handled(message, outcome?)))
            .collect();
        assert_eq!(Counts::of(&handled).accounted(), 2, "of 3");
        let back: Vec<String> = answer(&messages, &handled)
            .batch_item_failures
            .into_iter()
            .map(|failure| failure.item_identifier)
            .collect();
        assert_eq!(back, ["lost", "given-up"]);
    }
}
