//! The metrics and the log fields of the code, read from the code itself.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::failure::Category;
use genesys_replay::message::MessageId;
use genesys_replay::meter::CounterSnapshot;
use genesys_replay::replay::{Counts, Outcome, RecordReport, RecordResult, log};
use genesys_replay_ingest::http::metrics::{IngestMetrics, Pace, RequestFigures};
use genesys_replay_ingest::{Refusal, RequestSummary, http};
use genesys_replay_lambda::lambda::metrics::{BatchFigures, CATEGORY};
use genesys_replay_telemetry::LogLevel;
use genesys_replay_telemetry::metrics::{FUNCTION, Metrics, NAMESPACE};
use genesys_test_support::Page;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Every failure category, and the value without one.
pub(crate) const CATEGORIES: [&str; 7] = [
    Category::RateLimitExceeded.as_str(),
    Category::AuthenticationRejected.as_str(),
    Category::EndpointUnreachable.as_str(),
    Category::TargetMissing.as_str(),
    Category::PayloadMalformed.as_str(),
    Category::Unknown.as_str(),
    "NONE",
];

/// Makes the compiler check that the list above is complete.
const _: fn(Category) = |category| match category {
    Category::RateLimitExceeded
    | Category::AuthenticationRejected
    | Category::EndpointUnreachable
    | Category::TargetMissing
    | Category::PayloadMalformed
    | Category::Unknown => (),
};

/// A metric of a graph or an alarm: namespace, name, and the names of its dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Metric {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dimensions: Vec<String>,
}

impl Metric {
    pub(crate) fn new(namespace: &str, name: &str, dimensions: &[&str]) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: dimensions.iter().map(|name| (*name).to_owned()).collect(),
        }
    }
}

/// Metrics with their units.
pub(crate) type Units = BTreeMap<Metric, String>;

/// Returns the metrics of the code and the used ones of AWS, with their units.
pub(crate) fn metrics() -> Result<Units, Box<dyn Error>> {
    let mut known = emitted()?;
    known.extend(emitted_by_ingest()?);
    for (name, unit) in [
        ("ApproximateAgeOfOldestMessage", "Seconds"),
        ("ApproximateNumberOfMessagesNotVisible", "Messages"),
        ("ApproximateNumberOfMessagesVisible", "Messages"),
    ] {
        known.insert(Metric::new("AWS/SQS", name, &["QueueName"]), unit.into());
    }
    for (name, unit) in [
        ("Duration", "Milliseconds"),
        ("Errors", "Count"),
        ("Invocations", "Count"),
        ("RecursiveInvocationsDropped", "Count"),
        ("Throttles", "Count"),
        ("Url4xxCount", "Count"),
    ] {
        known.insert(Metric::new("AWS/Lambda", name, &[FUNCTION]), unit.into());
    }
    for (name, dimension) in [
        ("Events", "EventSourceName"),
        ("FailedInvocations", "RuleName"),
        ("InvocationsFailedToBeSentToDlq", "RuleName"),
    ] {
        known.insert(Metric::new("AWS/Events", name, &[dimension]), "Count".into());
    }
    let of_an_api = Metric::new("AWS/ApiGateway", "4xx", &["ApiId"]);
    known.insert(of_an_api, "Count".into());
    Ok(known)
}

/// Returns the metrics of ingest, read from the document of a request.
pub(crate) fn emitted_by_ingest() -> Result<Units, Box<dyn Error>> {
    let page = Page::default();
    let metrics = Metrics::new(LogLevel::Info, Box::new(page.clone()));
    let metrics = IngestMetrics::new(metrics, "ingest".to_owned(), Pace::EachRequest);
    let request = RequestFigures { status: 200, is_malformed: false, duration: Duration::ZERO };
    if !metrics.count(&request) {
        return Err("a function writes each request".into());
    }
    metrics.flush(Timestamp::from_millis(0), CounterSnapshot::default());
    defined(&page)
}

/// Returns the metrics of the replay function, read from the documents of a batch.
pub(crate) fn emitted() -> Result<Units, Box<dyn Error>> {
    let page = Page::default();
    let handled = [handled()?];
    let figures = BatchFigures {
        at: Timestamp::from_millis(0),
        function: "replay",
        request_id: "request",
        xray_trace_id: None,
        records: 1,
        handled: &handled,
        usage: CounterSnapshot::default(),
        duration: Duration::ZERO,
    };
    figures.write(&Metrics::new(LogLevel::Info, Box::new(page.clone())));
    let found = defined(&page)?;
    let split = found.keys().any(|metric| metric.dimensions == [FUNCTION, CATEGORY]);
    if split { Ok(found) } else { Err("no document for a category".into()) }
}

/// Returns the metrics in documents.
fn defined(page: &Page) -> Result<Units, Box<dyn Error>> {
    let mut found = BTreeMap::new();
    for line in page.text().lines() {
        let document: Value = serde_json::from_str(line)?;
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        let dimensions = directive["Dimensions"][0].as_array();
        let dimensions: Vec<_> =
            dimensions.into_iter().flatten().filter_map(Value::as_str).collect();
        let definitions = directive["Metrics"].as_array().into_iter().flatten();
        for definition in definitions {
            let text = |name: &str| definition[name].as_str().ok_or("no document of metrics");
            let metric = Metric::new(NAMESPACE, text("Name")?, &dimensions);
            found.insert(metric, text("Unit")?.to_owned());
        }
    }
    Ok(found)
}

/// Returns the fields of log lines by their message.
pub(crate) fn log_fields() -> Result<BTreeMap<String, BTreeSet<&'static str>>, Box<dyn Error>> {
    let seen = Lines::default();
    let subscriber = tracing_subscriber::registry().with(seen.clone());
    let handled = [handled()?];
    tracing::subscriber::with_default(subscriber, || {
        log::record_handled(&handled[0]);
        log::batch_handled(1, &Counts::of(&handled), Duration::ZERO);
        http::log::request_handled(&http::log::Handled {
            route: None,
            status: 404,
            summary: &RequestSummary::default(),
            body_bytes: 0,
            result: &Err(Refusal::NotFound),
            duration: Duration::ZERO,
        });
    });
    let lines = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(lines.clone())
}

fn handled() -> Result<RecordReport, Box<dyn Error>> {
    Ok(RecordReport {
        message_id: MessageId::new("message").ok_or("no message id")?,
        receive_count: 1,
        event: None,
        result: RecordResult::from(Outcome::Replayed),
        duration: Duration::ZERO,
    })
}

/// A layer that records the field names of every line, also of fields without a value.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<BTreeMap<String, BTreeSet<&'static str>>>>);

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        let fields = event.metadata().fields().iter().map(|field| field.name());
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.insert(message.0, fields.collect());
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
