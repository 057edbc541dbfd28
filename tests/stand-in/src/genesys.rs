//! The part of Genesys Cloud's API that the function calls.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hyper::StatusCode;
use hyper::header::{HeaderName, RETRY_AFTER};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::conversations::{Conversations, UnknownParticipant};
use crate::interactions::Interactions;
use crate::received::Received;
use crate::subscriptions::Subscriptions;
use crate::tokens::{Admission, RateLimitStatus, Tokens};

const COUNT: HeaderName = HeaderName::from_static("inin-ratelimit-count");
const ALLOWED: HeaderName = HeaderName::from_static("inin-ratelimit-allowed");
const RESET: HeaderName = HeaderName::from_static("inin-ratelimit-reset");
const CORRELATION_ID: HeaderName = HeaderName::from_static("inin-correlation-id");

/// The state of the API.
pub(crate) struct Genesys {
    pub(crate) tokens: Tokens,
    pub(crate) conversations: Conversations,
    pub(crate) interactions: Interactions,
    pub(crate) subscriptions: Subscriptions,
}

#[derive(Deserialize)]
struct ParticipantAttributes {
    attributes: BTreeMap<String, String>,
}

impl Genesys {
    /// Handles request number `seq`.
    pub(crate) fn answer(&mut self, request: &Received, seq: u64) -> Answer {
        let token = request.credentials("Bearer");
        let (answer, rate_limit_status) = match self.tokens.admit(token) {
            Admission::Unauthorized => {
                (unauthorized(token, seq), self.tokens.rate_limit_status(token))
            }
            Admission::OverLimit(rate_limit_status) => {
                (over_limit(rate_limit_status.reset_s, seq), rate_limit_status)
            }
            Admission::Granted(rate_limit_status) => (self.route(request, seq), rate_limit_status),
        };
        dress(answer, rate_limit_status, seq)
    }

    /// Returns the error of a fault. `retry_after` is the value of its header.
    pub(crate) fn fault(
        &self,
        request: &Received,
        seq: u64,
        status: StatusCode,
        retry_after: Option<&str>,
    ) -> Answer {
        let rate_limit_status = self.tokens.rate_limit_status(request.credentials("Bearer"));
        let answer = if status == StatusCode::TOO_MANY_REQUESTS {
            let seconds = retry_after.and_then(|seconds| seconds.parse().ok());
            too_many_requests(seconds.unwrap_or(rate_limit_status.reset_s), seq)
        } else {
            error(status, "The stand-in has a fault for this request.", seq)
        };
        dress(answer, rate_limit_status, seq)
    }

    fn route(&mut self, request: &Received, seq: u64) -> Answer {
        let segments: Vec<_> = request.uri.path().split('/').skip(1).collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["api", "v2", "conversations", id]) => {
                Answer::json(StatusCode::OK, &self.conversations.get(decoded(id).into_owned()))
            }
            (
                "PATCH",
                ["api", "v2", "conversations", id, "participants", participant, "attributes"],
            ) => self.patch_participant(&decoded(id), &decoded(participant), &request.body, seq),
            ("GET", ["api", "v2", "interactions", id]) => {
                Answer::json(StatusCode::OK, &self.interactions.get(&decoded(id)))
            }
            ("PATCH", ["api", "v2", "interactions", id]) => {
                self.patch_interaction(&decoded(id), &request.body, seq)
            }
            ("GET", ["api", "v2", "eventstreams", "subscriptions", id]) => {
                let found = self.subscriptions.subscription(&decoded(id));
                found_or_error(found, "No such subscription.", seq)
            }
            ("GET", ["api", "v2", "integrations", id]) => {
                let found = self.subscriptions.integration(&decoded(id));
                found_or_error(found, "No such integration.", seq)
            }
            (
                _,
                ["api", "v2", "conversations" | "interactions" | "integrations", _]
                | ["api", "v2", "eventstreams", "subscriptions", _]
                | ["api", "v2", "conversations", _, "participants", _, "attributes"],
            ) => error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.", seq),
            _ => error(StatusCode::NOT_FOUND, "No such path.", seq),
        }
    }

    fn patch_participant(&mut self, id: &str, participant: &str, body: &[u8], seq: u64) -> Answer {
        let patch: ParticipantAttributes = match serde_json::from_slice(body) {
            Ok(patch) => patch,
            Err(reason) => return error(StatusCode::BAD_REQUEST, &reason.to_string(), seq),
        };
        match self.conversations.patch(id, participant, patch.attributes) {
            Ok(()) => Answer::empty(StatusCode::OK),
            Err(UnknownParticipant) => error(StatusCode::NOT_FOUND, "No such participant.", seq),
        }
    }

    fn patch_interaction(&mut self, id: &str, body: &[u8], seq: u64) -> Answer {
        match serde_json::from_slice(body) {
            Ok(patch) => Answer::json(StatusCode::OK, &self.interactions.patch(id, &patch)),
            Err(reason) => error(StatusCode::BAD_REQUEST, &reason.to_string(), seq),
        }
    }
}

fn found_or_error(found: Option<Value>, message: &str, seq: u64) -> Answer {
    match found {
        Some(found) => Answer::json(StatusCode::OK, &found),
        None => error(StatusCode::NOT_FOUND, message, seq),
    }
}

fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

/// Adds the headers of every response of the API.
fn dress(answer: Answer, rate_limit_status: RateLimitStatus, seq: u64) -> Answer {
    answer
        .with_header(COUNT, rate_limit_status.count)
        .with_header(ALLOWED, rate_limit_status.allowed)
        .with_header(RESET, rate_limit_status.reset_s)
        .with_header(CORRELATION_ID, context_id(seq))
}

fn unauthorized(token: Option<&str>, seq: u64) -> Answer {
    let (code, message) = match token {
        Some(_) => ("bad.credentials", "Invalid login credentials."),
        None => (
            "authentication.required",
            "No authentication bearer token specified in authorization header.",
        ),
    };
    error_with_code(StatusCode::UNAUTHORIZED, code, message, seq)
}

fn over_limit(seconds: u64, seq: u64) -> Answer {
    too_many_requests(seconds, seq).with_header(RETRY_AFTER, seconds)
}

fn too_many_requests(seconds: u64, seq: u64) -> Answer {
    let message =
        format!("Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds");
    let code = "too.many.requests.retry.after";
    error_with_code(StatusCode::TOO_MANY_REQUESTS, code, &message, seq)
}

fn error(status: StatusCode, message: &str, seq: u64) -> Answer {
    let reason = status.canonical_reason().unwrap_or("unknown error");
    let code = reason.to_ascii_lowercase().replace(' ', ".");
    error_with_code(status, &code, message, seq)
}

fn error_with_code(status: StatusCode, code: &str, message: &str, seq: u64) -> Answer {
    let body = json!({
        "message": message,
        "code": code,
        "status": status.as_u16(),
        "contextId": context_id(seq),
        "details": [],
        "errors": [],
    });
    Answer::json(status, &body)
}

fn context_id(seq: u64) -> String {
    format!("00000000-0000-4000-8000-{seq:012x}")
}
