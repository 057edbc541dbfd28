//! An event of a function URL or an HTTP API through the edge of ingest to Lambda.

use axum::http::{Method, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_fakes::MemorySecret;
use genesys_replay_ingest::Authentication;
use genesys_replay_ingest::http::lambda::LambdaEdge;
use lambda_runtime::Context;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::NOW;
use crate::request::{Exchange, ingest_service, is_documented, is_queued_if_accepted};

/// The time that is left for the invocation, in milliseconds.
const TIME_LEFT_MS: u64 = 10_000;

/// Checks an event. The input is the JSON of the event.
///
/// # Panics
/// An event gets no documented answer, an accepted body is not on the queue unchanged, or a request counts as
/// authorized by AWS IAM although the event's context does not say so.
pub fn lambda_event(input: &[u8]) {
    // Lambda sends JSON.
    let Ok(event) = serde_json::from_slice::<&RawValue>(input) else {
        return;
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    if let Ok(runtime) = runtime {
        runtime.block_on(run(event.get()));
    }
}

async fn run(event: &str) {
    // An event can have an unread member that is not text or is nested too deep. It has an answer, but no comparison.
    let comparable: Option<Value> = serde_json::from_str(event).ok();
    let parsed = comparable.clone().unwrap_or_default();
    for authentication in [Authentication::None, Authentication::<MemorySecret>::Iam] {
        let must_be_authorized = matches!(authentication, Authentication::Iam);
        let (service, sender) = ingest_service(authentication);
        let mut context = Context::default();
        context.deadline = NOW.as_millis() + TIME_LEFT_MS;
        let answer = LambdaEdge::new(service).answer(event, context).await;
        let exchange = Exchange {
            method: method(&parsed),
            path: parsed["rawPath"].as_str().unwrap_or_default().to_owned(),
            body: body(&parsed),
            status: StatusCode::from_u16(answer.status_code).unwrap_or_default(),
            kind: answer.headers.get("content-type").cloned().unwrap_or_default(),
            answer: serde_json::from_str(&answer.body).unwrap_or_default(),
        };
        is_documented(&exchange);
        if comparable.is_none() {
            continue;
        }
        is_queued_if_accepted(&exchange, &sender);
        if must_be_authorized && !sender.messages().is_empty() {
            let caller = &parsed["requestContext"]["authorizer"]["iam"];
            assert!(caller.as_object().is_some_and(|it| !it.is_empty()), "{event}");
        }
    }
}

fn method(event: &Value) -> Method {
    let method = event["requestContext"]["http"]["method"].as_str().unwrap_or_default();
    Method::from_bytes(method.as_bytes()).unwrap_or_default()
}

fn body(event: &Value) -> Vec<u8> {
    let body = event["body"].as_str().unwrap_or_default();
    match event["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(body).unwrap_or_default(),
        Some(false) | None => body.as_bytes().to_vec(),
    }
}
