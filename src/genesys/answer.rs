//! What an answer of Genesys Cloud or of its token endpoint means, however it came.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::rate_limit::Reading;
use super::{Call, GenesysError, Outage, token};
use crate::clock::Timestamp;
use crate::retry_after;

/// The most of an answer that is read, in bytes. A conversation with hundreds of participants
/// stays far below it; an endless answer must not fill the memory.
const LONGEST: usize = 8 * 1024 * 1024;

/// The longest error code that is shown, in bytes; Genesys' own are half as long.
const LONGEST_CODE: usize = 64;

/// The answer to one call, read to its end. It comes from outside: nothing in it is believed yet.
pub struct Answer {
    call: Call,
    status: StatusCode,
    retry_after: Option<Duration>,
    reading: Option<Reading>,
    body: Vec<u8>,
}

/// The error body of the API.
#[derive(Deserialize)]
struct ApiRefusal {
    code: Option<String>,
}

impl Answer {
    /// Reads a response that began to arrive at `now`.
    ///
    /// # Errors
    /// [`GenesysError::Unavailable`] when it ends early or has no end.
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
        let reading = Reading::of(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| missing(call, &error))?
        {
            if body.len() + chunk.len() > LONGEST {
                return Err(unreadable(call));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            call,
            status,
            retry_after,
            reading,
            body,
        })
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What it says of the rate limit.
    pub(super) const fn reading(&self) -> Option<Reading> {
        self.reading
    }

    /// How long to wait when the rate limit was reached.
    pub(super) fn throttled_for(&self) -> Option<Duration> {
        self.retry_after
            .filter(|_| self.status == StatusCode::TOO_MANY_REQUESTS)
    }

    /// The body of a success.
    ///
    /// # Errors
    /// What any other status means for the call.
    pub fn accepted(self) -> Result<Vec<u8>, GenesysError> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let (status, after) = (self.status.as_u16(), self.retry_after);
        Err(match self.call {
            Call::Token => token::refusal(status, after, &self.body),
            Call::Fetch
            | Call::Mark
            | Call::Subscription
            | Call::FailedEvents
            | Call::Reinject
            | Call::Analytics => refusal(self.call, status, after, &self.body),
        })
    }
}

/// What an answer of the API other than success means.
fn refusal(call: Call, status: u16, after: Option<Duration>, body: &[u8]) -> GenesysError {
    let code = || object::<ApiRefusal>(body).and_then(|refusal| name(refusal.code));
    match status {
        404 => GenesysError::NotFound,
        429 => GenesysError::RateLimited { call, after },
        // A redirect leads to a login page or another region: ours to repair, like the others.
        300..=399 | 401 | 403 => GenesysError::Credentials {
            call,
            status,
            code: code(),
        },
        400..=407 | 409..=424 | 426..=499 => GenesysError::Refused {
            call,
            status,
            code: code(),
        },
        // Among the rest are statuses that HTTP does not know: whoever answered so is no API, and
        // no event is given up for that.
        _ => GenesysError::Unavailable {
            call,
            problem: Outage::Status(status),
            after,
        },
    }
}

/// A body that is an object. A list is none, though serde would take its items for members.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    first.filter(|byte| **byte == b'{')?;
    serde_json::from_slice(body).ok()
}

/// An error code, if it is one: it ends in log lines and in the archive, where a text that somebody
/// has put in its place may hold anything.
pub(super) fn name(code: Option<String>) -> Option<String> {
    code.filter(|code| {
        (1..=LONGEST_CODE).contains(&code.len())
            && code
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    })
}

/// A request without a whole answer; told apart by what was seen.
pub(super) fn missing(call: Call, error: &reqwest::Error) -> GenesysError {
    let problem = if error.is_timeout() {
        Outage::Timeout
    } else if error.is_connect() {
        Outage::Unreachable
    } else {
        Outage::Broken
    };
    GenesysError::Unavailable {
        call,
        problem,
        after: None,
    }
}

/// An answer that is not what the API promises.
pub(super) const fn unreadable(call: Call) -> GenesysError {
    GenesysError::Unavailable {
        call,
        problem: Outage::Unreadable,
        after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Disposition;

    #[test]
    fn only_a_refusal_gives_an_event_up() {
        for call in [Call::Fetch, Call::Mark] {
            for status in [100, 103, 408, 425, 429, 500, 503, 599, 600, 799, 999] {
                assert_eq!(
                    refusal(call, status, None, b"").disposition(),
                    Disposition::Transient { after: None },
                    "{status}"
                );
            }
            for status in [400, 404, 405, 409, 410, 413, 422, 451, 499] {
                assert_eq!(
                    refusal(call, status, None, b"").disposition(),
                    Disposition::Permanent,
                    "{status}"
                );
            }
        }
    }

    #[test]
    fn an_error_code_is_shown_but_no_text_in_its_place() {
        let shown = |code: &str| {
            let body = serde_json::json!({ "code": code }).to_string();
            refusal(Call::Mark, 400, None, body.as_bytes()).to_string()
        };
        assert!(shown("bad.request").ends_with("with status 400 (bad.request)"));
        for text in [
            "",
            "no such attribute: Marta Muster",
            "two\nlines",
            "+49-30-1234567",
            &"a.".repeat(LONGEST_CODE),
        ] {
            assert!(shown(text).ends_with("with status 400"), "{text}");
        }
    }

    #[test]
    fn a_list_is_no_object() {
        type Any = std::collections::BTreeMap<String, serde_json::Value>;
        assert!(object::<Any>(b" {}").is_some());
        for body in ["", " ", "[]", "null", "{", "{}{}", "\"{}\""] {
            assert!(object::<Any>(body.as_bytes()).is_none(), "{body}");
        }
    }
}
