//! The token endpoint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::answer::Answer;
use crate::received::Received;
use crate::tokens::Tokens;

/// The configured client, in the format of its authorization header.
pub(crate) struct Client(String);

impl Client {
    pub(crate) fn new(id: &str, secret: &str) -> Self {
        Self(STANDARD.encode(format!("{id}:{secret}")))
    }

    /// Issues a token for the configured client and the grant type `client_credentials`.
    pub(crate) fn answer(&self, request: &Received, tokens: &mut Tokens) -> Answer {
        if request.method != Method::POST {
            return error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "method not allowed");
        }
        if request.credentials("Basic") != Some(self.0.as_str()) {
            let description = "client not found or invalid client credentials";
            return error(StatusCode::BAD_REQUEST, "invalid_client", description);
        }
        if !is_form(request) {
            return error(StatusCode::BAD_REQUEST, "invalid_request", "the body is not a form");
        }
        if !has_grant(&request.body) {
            let description = "grant_type is not client_credentials";
            return error(StatusCode::BAD_REQUEST, "unsupported_grant_type", description);
        }
        let answer = json!({
            "access_token": tokens.issue(),
            "token_type": "bearer",
            "expires_in": tokens.life().as_secs(),
        });
        Answer::json(StatusCode::OK, &answer)
    }
}

/// Returns an error in the format of the token endpoint, which differs from the API.
pub(crate) fn error(status: StatusCode, error: &str, description: &str) -> Answer {
    let body =
        json!({"error": error, "description": description, "error_description": description});
    Answer::json(status, &body)
}

fn is_form(request: &Received) -> bool {
    let content_type = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

fn has_grant(body: &[u8]) -> bool {
    body.split(|byte| *byte == b'&').any(|pair| pair == b"grant_type=client_credentials")
}
