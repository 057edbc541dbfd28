//! The parts of a record without network calls: `cargo bench --bench micro`.
//!
//! `make bench` measures the whole function. This benchmark shows the time and the allocations of its parts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use genesys_fakes::{InMemory, MemoryGenesys};
use genesys_replay::clock::{Clock, SystemClock, SystemRandom};
use genesys_replay::dead_letter::parse;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::message::{Message, MessageId};
use genesys_replay::replay::{Replay, RetryState};
use genesys_replay_lambda::lambda;
use genesys_replay_telemetry::LogLevel;
use genesys_replay_telemetry::metrics::Metrics;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn conversation(number: usize) -> String {
    format!("{number:08x}-0c96-4929-9a1c-210feb673958")
}

/// Returns an event as in the dead-letter queue of a rule.
fn dead_letter(number: usize) -> Value {
    let conversation = conversation(number);
    let body = json!({
        "version": "0",
        "id": format!("{number:08x}-4815-484d-b7ce-91a20ff046ec"),
        "detail-type": "v2.detail.events.conversation.{id}.customer.end",
        "source": "aws.partner/genesys.com/cloud/8d1f0c52-6f0e-4b7a-9a6e-2f54c1f7b3d9/crm",
        "time": "2026-04-16T09:12:41Z",
        "detail": {
            "topicName": format!("v2.detail.events.conversation.{conversation}.customer.end"),
            "version": "2",
            "eventBody": {"conversationId": conversation, "participantId": "customer", "mediaType": "VOICE"},
            "timestamp": "2026-04-16T09:12:41.507Z",
        },
    });
    let attribute = |value: &str| json!({"stringValue": value, "dataType": "String"});
    json!({
        "messageId": format!("{number:08x}-249b-4eda-beed-3dfee62366e2"),
        "receiptHandle": format!("AQEB{number}=="),
        "body": body.to_string(),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1776417247318"},
        "messageAttributes": {
            "RULE_ARN": attribute("arn:aws:events:eu-central-1:271828182845:rule/conversations-to-crm"),
            "TARGET_ARN": attribute("arn:aws:lambda:eu-central-1:271828182845:function:crm"),
            "ERROR_CODE": attribute("THROTTLING"),
            "ERROR_MESSAGE": attribute("Rate Exceeded."),
        },
        "eventSourceARN": "arn:aws:sqs:eu-central-1:271828182845:genesys-events-dead-letters",
    })
}

fn batch(records: usize) -> String {
    let records: Vec<Value> = (0..records).map(dead_letter).collect();
    json!({ "Records": records }).to_string()
}

/// Parses the JSON of Lambda into messages.
#[divan::bench(args = [1, 10, 1_000])]
fn read_batch(bencher: Bencher<'_, '_>, records: usize) {
    let batch = batch(records);
    bencher
        .counter(ItemsCount::new(records))
        .bench(|| serde_json::from_str::<aws_lambda_events::sqs::SqsEvent>(black_box(&batch)).ok());
}

/// Parses a message into a dead letter: its shape, its interaction, its failure.
#[divan::bench]
fn open_record(bencher: Bencher<'_, '_>) {
    let letter = dead_letter(1);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attributes = letter["messageAttributes"].as_object().into_iter().flatten();
    let attributes: BTreeMap<_, _> = attributes
        .map(|(name, attribute)| (name.clone(), text(&attribute["stringValue"])))
        .collect();
    let message = MessageId::new(text(&letter["messageId"]))
        .map(|id| Message { attributes, ..Message::new(id, text(&letter["body"])) });
    if let Some(message) = message {
        bencher.bench(|| black_box(parse(black_box(&message))));
    }
}

/// Handles a whole batch over in-memory ports: the function's own time, which must not grow faster than the batch.
#[divan::bench(args = [1, 10, 100, 1_000, 10_000], sample_count = 20)]
fn handle_batch(bencher: Bencher<'_, '_>, records: usize) {
    let batch = batch(records);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return };
    bencher
        .counter(ItemsCount::new(records))
        .with_inputs(|| (function(records), event(&batch)))
        .bench_values(|(function, event)| {
            let answer = function
                .as_ref()
                .map(|(replay, metrics)| runtime.block_on(lambda::handle(replay, metrics, event)));
            (answer, function)
        });
}

fn event(batch: &str) -> LambdaEvent<aws_lambda_events::sqs::SqsEvent> {
    let mut context = Context::default();
    "5d7c8d1e-5f3a-4d0e-9d3b-0f7a3c9b1e42".clone_into(&mut context.request_id);
    context.deadline = SystemClock.now().plus(Duration::from_secs(60)).as_millis();
    LambdaEvent::new(serde_json::from_str(batch).unwrap_or_default(), context)
}

/// Returns a Genesys Cloud with one conversation per record.
fn function(records: usize) -> Option<(Replay<InMemory>, Metrics)> {
    let target = "https://crm.example.com/events".parse().ok()?;
    let destination = ReplayTarget::Fixed(Destination::Http(target));
    let genesys = MemoryGenesys::default();
    for number in 0..records {
        genesys.put_participants(&conversation(number), &[("customer", "customer")]);
    }
    let replay = Replay {
        retry_state: RetryState::Required(genesys),
        ..InMemory::function(Arc::new(SystemClock), Arc::new(SystemRandom), destination)
    };
    let metrics = Metrics::new(LogLevel::Info, Box::new(std::io::sink()));
    Some((replay, metrics))
}
