//! The answers to senders.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use genesys_replay::failure::RefusalCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{AcceptedRequest, AuthenticationError, Refusal};

/// An error body in the format of RFC 9457.
#[derive(Debug, Serialize)]
struct Problem {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    /// The failure code, which is also the name of its page in `docs/failures`.
    code: &'static str,
}

/// Returns the answer to a health check.
pub(super) async fn healthy() -> Response {
    accepted(&json!({ "status": "ok" }))
}

/// Returns the answer to a request. `closes_connection` is true if the connection cannot take another request.
pub(super) fn response(
    tells_attempt: bool,
    result: &Result<AcceptedRequest, Refusal>,
    closes_connection: bool,
) -> Response {
    let mut response = match result {
        Ok(it) if tells_attempt => accepted(&json!({
            "status": "accepted",
            "attempt": it.attempt,
            "messageId": it.message_id.as_str(),
        })),
        Ok(_) => accepted(&json!({ "status": "accepted" })),
        Err(refusal) => problem(refusal),
    };
    if closes_connection {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

const fn status(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::NotAuthenticated => StatusCode::UNAUTHORIZED,
        RefusalCode::SubscriptionRefused => StatusCode::FORBIDDEN,
        RefusalCode::NotFound => StatusCode::NOT_FOUND,
        RefusalCode::Method => StatusCode::METHOD_NOT_ALLOWED,
        RefusalCode::BodyIncomplete => StatusCode::REQUEST_TIMEOUT,
        RefusalCode::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalCode::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        RefusalCode::RequestMalformed | RefusalCode::BodyMalformed => StatusCode::BAD_REQUEST,
        RefusalCode::EventEmpty => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalCode::QueueUnavailable
        | RefusalCode::GenesysUnavailable
        | RefusalCode::SecretUnavailable
        | RefusalCode::Busy => StatusCode::SERVICE_UNAVAILABLE,
        RefusalCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn problem(refusal: &Refusal) -> Response {
    let code = refusal.code();
    let status = status(code);
    let problem = Problem {
        r#type: format!("urn:genesys-replay:failure:{code}"),
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: refusal.to_string(),
        code: code.as_str(),
    };
    let mut response = body(status, "application/problem+json", &problem);
    let headers = response.headers_mut();
    if let Some(after) = refusal.retry_after() {
        // Rounded up to whole seconds, so that the sender does not retry too early.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Refusal::Method { allowed } = refusal {
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    if let Refusal::NotAuthenticated(fault) = refusal {
        let scheme = match fault {
            AuthenticationError::NotAuthorized => "AWS4-HMAC-SHA256",
            AuthenticationError::Header(_)
            | AuthenticationError::IdWithDot
            | AuthenticationError::Timestamp
            | AuthenticationError::Window
            | AuthenticationError::Mismatch
            | AuthenticationError::TextAsKey => "Webhook-Signature",
        };
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    response
}

fn accepted(body: &Value) -> Response {
    self::body(StatusCode::OK, "application/json", body)
}

fn body(status: StatusCode, kind: &'static str, body: &impl Serialize) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    // Serialization of strings and numbers does not fail.
    let body = serde_json::to_vec(body).unwrap_or_default();
    (status, headers, body).into_response()
}
