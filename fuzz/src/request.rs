//! A request from any client through the router of ingest.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_fakes::{InMemory, ManualClock, MemorySecret, MemorySender};
use genesys_replay::clock::Random;
use genesys_replay::dead_letter::{ParsedMessage, UnreplayableReason, parse};
use genesys_replay::failure::RefusalCode;
use genesys_replay::message::{Message, MessageId};
use genesys_replay::meter::UpstreamCounters;
use genesys_replay::queue::{MAX_MESSAGE_BYTES, NewMessage, takes};
use genesys_replay_ingest::http::metrics::{IngestMetrics, Pace};
use genesys_replay_ingest::http::{IngestService, router};
use genesys_replay_ingest::{Authentication, KeyRing, KeySource, Keys};
use genesys_replay_telemetry::LogLevel;
use genesys_replay_telemetry::metrics::Metrics;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::NOW;
use crate::parts::Parts;

/// A secret without valid signatures.
const SECRET: &str = "whsec_Z2VuZXN5cy1yZXBsYXktZnV6emluZy1zZWNyZXQ=";

const DEAD_LETTER: &str = "/dead-letter";
const WEBHOOK: &str = "/webhooks/genesys-outbound";

/// Checks a request. Lines: `:method` and `:path`, then headers; the rest: the body.
///
/// # Panics
/// A response is not documented, an accepted body is not on the queue unchanged, a refused one is on the
/// queue, or the replay function cannot parse the message.
pub fn ingest_request(input: &[u8]) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    if let Ok(runtime) = runtime {
        runtime.block_on(run(input));
    }
}

/// Random numbers that are always the same.
struct ConstantRandom;

impl Random for ConstantRandom {
    fn unit(&self) -> f64 {
        0.5
    }
}

fn ingest_router(authentication: Authentication<MemorySecret>) -> (Router, MemorySender) {
    let (service, sender) = ingest_service(authentication);
    (router(service), sender)
}

/// Returns ingest over the fakes, and its queue.
pub(crate) fn ingest_service(
    authentication: Authentication<MemorySecret>,
) -> (Arc<IngestService<InMemory>>, MemorySender) {
    let clock = Arc::new(ManualClock::at(NOW));
    let ingest = InMemory::ingest(clock, Arc::new(ConstantRandom), authentication);
    let sender = ingest.sender.clone();
    let metrics = Metrics::new(LogLevel::Info, Box::new(std::io::sink()));
    let metrics = IngestMetrics::new(metrics, "ingest".to_owned(), Pace::Together);
    let service = IngestService::new(
        ingest,
        MAX_MESSAGE_BYTES,
        metrics,
        Arc::new(UpstreamCounters::default()),
    );
    (Arc::new(service), sender)
}

/// A request and its response.
pub(crate) struct Exchange {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    pub(crate) status: StatusCode,
    pub(crate) kind: String,
    pub(crate) answer: Value,
}

async fn run(input: &[u8]) {
    let (open_router, sender) = ingest_router(Authentication::None);
    if let Some(exchange) = send(open_router, input).await {
        is_documented(&exchange);
        is_queued_if_accepted(&exchange, &sender);
    }
    let Ok(ring) = KeyRing::parse(SECRET) else {
        return;
    };
    let keys = Keys::new(KeySource::Settings(ring), Arc::new(ManualClock::at(NOW)));
    let (signed_router, sender) = ingest_router(Authentication::Signature(keys));
    if let Some(exchange) = send(signed_router, input).await {
        is_documented(&exchange);
        assert!(sender.messages().is_empty(), "no request has a valid signature");
    }
}

/// Returns the request. `None`: it is not valid HTTP.
async fn send(router: Router, input: &[u8]) -> Option<Exchange> {
    let mut parts = Parts::read(input);
    let method = Method::from_bytes(parts.take(":method")?.as_bytes()).ok()?;
    let uri: Uri = parts.take(":path")?.parse().ok()?;
    let path = uri.path().to_owned();
    let mut request = Request::new(Body::from(parts.rest.to_vec()));
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    for (name, value) in &parts.lines {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        request.headers_mut().append(name, value);
    }
    let Ok(response) = router.oneshot(request).await;
    let status = response.status();
    let kind = response.headers().get("content-type");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.to_owned();
    let answer = response.into_body().collect().await.ok()?.to_bytes();
    Some(Exchange {
        method,
        path,
        body: parts.rest.to_vec(),
        status,
        kind,
        answer: serde_json::from_slice(&answer).unwrap_or_default(),
    })
}

pub(crate) fn is_documented(exchange: &Exchange) {
    if exchange.method == Method::HEAD {
        // A response to HEAD has no body.
        return;
    }
    let Exchange { status, answer, .. } = exchange;
    if *status == StatusCode::OK {
        assert_eq!(exchange.kind, "application/json");
        assert!(["accepted", "ok"].map(Value::from).contains(&answer["status"]));
        return;
    }
    assert_eq!(exchange.kind, "application/problem+json", "{status}");
    assert_eq!(answer["status"], status.as_u16());
    let code = answer["code"].as_str().and_then(RefusalCode::parse);
    assert!(code.is_some(), "{answer}");
    assert_ne!(code, Some(RefusalCode::Internal), "a fault in the program");
    assert!(!status.is_server_error(), "nothing goes wrong here: {answer}");
}

pub(crate) fn is_queued_if_accepted(exchange: &Exchange, sender: &MemorySender) {
    let queued: Vec<NewMessage> = sender.messages().into_iter().map(|(_, it)| it).collect();
    let is_taken = exchange.method == Method::POST
        && [DEAD_LETTER, WEBHOOK].contains(&exchange.path.as_str())
        && exchange.status == StatusCode::OK;
    assert_eq!(queued.len(), usize::from(is_taken), "accepted is queued");
    if let Some(message) = queued.first() {
        body_is_unchanged(exchange, message);
        is_parsed_by_the_replay_function(exchange, message);
    }
}

/// Returns the text of a message attribute.
fn attribute(message: &NewMessage, name: &str) -> Option<String> {
    let mut attributes = message.attributes.iter();
    attributes.find_map(|(it, value)| {
        (*it == name).then(|| value.as_text().unwrap_or_default().to_owned())
    })
}

fn body_is_unchanged(exchange: &Exchange, message: &NewMessage) {
    let body = match attribute(message, "BodyEncoding").as_deref() {
        Some("base64") => STANDARD.decode(&message.body).unwrap_or_default(),
        Some(_) | None => message.body.clone().into_bytes(),
    };
    assert_eq!(body, exchange.body, "as it came");
    assert!(!message.body.is_empty() && takes(&message.body));
    assert!(message.attributes.len() <= 10, "the most that SQS takes");
    for (name, value) in &message.attributes {
        let Some(text) = value.as_text() else {
            continue;
        };
        assert!(!text.is_empty() && takes(text), "{name}");
    }
    for name in [&message.group, &message.deduplication] {
        let fits = |byte: u8| byte.is_ascii_graphic();
        assert!((1..=128).contains(&name.len()) && name.bytes().all(fits), "{name}");
    }
}

/// Checks that the replay function parses the message as ingest has reported it to the sender.
fn is_parsed_by_the_replay_function(exchange: &Exchange, message: &NewMessage) {
    let Some(id) = MessageId::new("590dfd22-b30f-4a63-81f8-72cbb5e782d0") else {
        return;
    };
    let mut received = Message::new(id, message.body.clone());
    received.attributes = message
        .attributes
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_text().unwrap_or_default().to_owned()))
        .collect();
    let malformed = attribute(message, "Malformed");
    match parse(&received) {
        ParsedMessage::DeadLetter(dead_letter) => {
            assert_eq!(malformed, None, "a malformed webhook is not delivered");
            if exchange.path == WEBHOOK {
                assert_eq!(dead_letter.payload.as_bytes(), exchange.body, "unchanged");
                assert_eq!(dead_letter.interaction, None);
            }
            assert!(dead_letter.event_id.is_some(), "a repetition is known");
            if exchange.path == DEAD_LETTER {
                let attempt = u64::from(dead_letter.failure.retry_attempts) + 1;
                assert_eq!(exchange.answer["attempt"], attempt);
            }
        }
        ParsedMessage::Unreplayable(UnreplayableReason::Webhook(why)) => {
            assert_eq!(exchange.path, WEBHOOK);
            assert_eq!(malformed.as_deref(), Some(why.as_str()));
        }
        ParsedMessage::Unreplayable(why) => assert_eq!(None, Some(why), "it was accepted"),
    }
}
