//! What an answer of Genesys Cloud or of its token endpoint means, however it came.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::rate_limit::Reading;
use super::{Call, GenesysError, Outage, token};
use crate::clock::Timestamp;
use crate::failure::answers::{self, Meaning};
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

/// The error body of the API. An error in another form is not from Genesys Cloud.
#[derive(Deserialize)]
struct ApiRefusal {
    code: Option<String>,
    status: Option<serde_json::Number>,
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

/// The error of an answer of the API that is no success.
fn refusal(call: Call, status: u16, after: Option<Duration>, body: &[u8]) -> GenesysError {
    let error = object::<ApiRefusal>(body);
    let is_genesys = error
        .as_ref()
        .is_some_and(|it| it.code.is_some() && it.status.is_some());
    let code = error.and_then(|error| name(error.code));
    // Only of an interaction is it known that Genesys Cloud answers in its own form.
    let of_interaction = matches!(call, Call::Fetch | Call::Mark);
    let meaning = answers::of_genesys(status, is_genesys || !of_interaction);
    match meaning {
        Meaning::Conflict if !of_interaction => GenesysError::Refused { call, status, code },
        Meaning::Missing => GenesysError::NotFound,
        Meaning::RateLimited => GenesysError::RateLimited { call, after },
        Meaning::Conflict => GenesysError::Conflict {
            call,
            status,
            code,
            after,
        },
        Meaning::Credentials if status == 403 && code.as_deref().is_some_and(names_object) => {
            GenesysError::Forbidden { call, code }
        }
        Meaning::Credentials | Meaning::Misconfigured => {
            GenesysError::Credentials { call, status, code }
        }
        Meaning::Refused => GenesysError::Refused { call, status, code },
        Meaning::Unavailable | Meaning::AnswerLost => GenesysError::Unavailable {
            call,
            problem: Outage::Status(status),
            after,
        },
    }
}

/// Returns true if the code of a 403 is about a division or one object, such as
/// `missing.any.division.permissions`: other interactions may be allowed.
fn names_object(code: &str) -> bool {
    let words = [
        "division",
        "object",
        "entity",
        "conversation",
        "participant",
        "interaction",
    ];
    let code = code.to_ascii_lowercase();
    words.iter().any(|word| code.contains(word))
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
    use crate::failure::{Disposition, FailureCode};

    /// Genesys' own error body.
    fn body(code: &str, status: u16) -> Vec<u8> {
        serde_json::json!({ "message": "no", "code": code, "status": status, "contextId": "x" })
            .to_string()
            .into_bytes()
    }

    #[test]
    fn an_event_is_rejected_only_by_genesys_own_refusal() {
        let transient = Disposition::Transient { after: None };
        for call in [Call::Fetch, Call::Mark] {
            for status in [
                100, 103, 408, 409, 412, 423, 425, 429, 500, 503, 599, 600, 799, 999,
            ] {
                let error = refusal(call, status, None, &body("some.code", status));
                assert_eq!(error.disposition(), transient, "{status}");
            }
            for status in [400, 404, 405, 410, 413, 422, 451, 499] {
                let error = refusal(call, status, None, &body("some.code", status));
                assert_eq!(error.disposition(), Disposition::Permanent, "{status}");
            }
            for text in [
                "",
                "<html>",
                "{}",
                r#"{"code":"not.found"}"#,
                r#"{"status":404}"#,
                "[404]",
            ] {
                let error = refusal(call, 404, None, text.as_bytes());
                assert_eq!(error.disposition(), Disposition::Operator, "{text}");
                assert_eq!(
                    error.failure_code(),
                    FailureCode::GenesysCredentials,
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_403_about_one_object_says_nothing_of_the_others() {
        for (code, is_about_one) in [
            ("missing.any.division.permissions", true),
            ("Missing.Division.Permission", true),
            ("conversation.access.denied", true),
            ("missing.permissions", false),
            ("missing.any.permissions", false),
            ("not.authorized", false),
        ] {
            let error = refusal(Call::Fetch, 403, None, &body(code, 403));
            assert_eq!(error.is_about_one_object(), is_about_one, "{code}");
            assert_eq!(error.disposition(), Disposition::Operator, "{code}");
            assert_eq!(
                error.failure_code(),
                FailureCode::GenesysCredentials,
                "{code}"
            );
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
