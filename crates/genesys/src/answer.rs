//! The answer to one HTTP call to Genesys Cloud or to its token endpoint.

use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::genesys::{Call, GenesysError, UnavailableCause};
use genesys_replay::retry_after;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use url::Url;

use super::rate_limit::RateLimitHeaders;
use super::refusal;

/// The maximum size of an answer, in bytes. A conversation with hundreds of participants stays far below the
/// limit, and an endless answer must not fill the memory.
const MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

/// The answer to one call, read completely. It comes from outside: nothing in it is trusted yet.
pub struct ApiResponse {
    call: Call,
    status: StatusCode,
    retry_after: Option<Duration>,
    reading: Option<RateLimitHeaders>,
    body: Vec<u8>,
}

impl ApiResponse {
    /// Reads a response whose headers arrived at `now`.
    ///
    /// # Errors
    /// [`GenesysError::Unavailable`] if the response ends early or exceeds the maximum size.
    pub async fn read(
        mut response: Response,
        call: Call,
        now: Timestamp,
    ) -> Result<Self, GenesysError> {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after::parse(value, now));
        let reading = RateLimitHeaders::of(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| transport_error(call, &error))?
        {
            if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
                return Err(unreadable_body(call));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self { call, status, retry_after, reading, body })
    }

    /// Returns the HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the answer's rate-limit headers, if complete.
    #[must_use]
    pub const fn reading(&self) -> Option<RateLimitHeaders> {
        self.reading
    }

    /// Returns the requested delay if the rate limit was reached.
    #[must_use]
    pub fn throttled_for(&self) -> Option<Duration> {
        self.retry_after.filter(|_| self.status == StatusCode::TOO_MANY_REQUESTS)
    }

    /// Returns the body of a successful answer.
    ///
    /// # Errors
    /// The meaning of any other status for the call.
    pub fn into_success_body(self) -> Result<Vec<u8>, GenesysError> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let (status, after) = (self.status.as_u16(), self.retry_after);
        Err(match self.call {
            Call::Token => refusal::of_token(status, after, &self.body),
            Call::Fetch
            | Call::Mark
            | Call::Subscription
            | Call::FailedEvents
            | Call::Reinject
            | Call::Analytics => refusal::of_api(self.call, status, after, &self.body),
        })
    }
}

/// Returns the error for a request without a complete answer, by the observed problem.
pub(crate) fn transport_error(call: Call, error: &reqwest::Error) -> GenesysError {
    let problem = if error.is_timeout() {
        UnavailableCause::Timeout
    } else if error.is_connect() {
        UnavailableCause::Unreachable
    } else {
        UnavailableCause::Broken
    };
    GenesysError::Unavailable { call, problem, after: None }
}

/// Returns the error for an answer that does not match the API.
#[must_use]
pub const fn unreadable_body(call: Call) -> GenesysError {
    GenesysError::Unavailable { call, problem: UnavailableCause::Unreadable, after: None }
}

/// Returns the URL of a path below a base, with each segment escaped.
#[must_use]
pub fn join_path(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}
