//! Fault rules of the stand-in.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::received::Received;

/// A rule for matching requests. The first matching rule with uses left applies.
///
/// In JSON every field is optional: `{"method":"PATCH","path_contains":"/conversations/abc","body_contains":"retrying",
/// "times":2,"status":429,"headers":{"Retry-After":"5"},"body":"…","delay_ms":100,"act":false,"hang":false,
/// "close":false,"truncate":false}`. A rule matches on all of the first three it has. Without `status`, `hang` and
/// `close` the normal response is sent, late (`delay_ms`) or in part (`truncate`).
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags of a JSON rule, free to combine with `act`"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct Fault {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    delay_ms: u64,
    pub(crate) act: bool,
    pub(crate) hang: bool,
    pub(crate) close: bool,
    pub(crate) truncate: bool,
}

impl Fault {
    /// Returns a rule for `method` on every path and query that contains `path_contains`, without an effect yet.
    pub fn on(method: &str, path_contains: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            path_contains: Some(path_contains.to_owned()),
            ..Self::default()
        }
    }

    /// Matches only requests whose body contains `text`.
    pub fn body_contains(mut self, text: &str) -> Self {
        self.body_contains = Some(text.to_owned());
        self
    }

    /// Applies to the first `times` matching requests only.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Responds with `status` (200–599) instead of the normal response.
    ///
    /// Without [`body`](Self::body), the body is an error in the format of the service.
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds a header to the [`status`](Self::status) response.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the body of the [`status`](Self::status) response.
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// Delays everything except [`act`](Self::act), in whole milliseconds.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Applies the normal effect of the request first, so that only its response is late, wrong or lost.
    pub fn act(mut self) -> Self {
        self.act = true;
        self
    }

    /// Never responds. The connection stays open until the client closes it.
    pub fn hang(mut self) -> Self {
        self.hang = true;
        self
    }

    /// Closes the connection without a response.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Sends the head and half the body of the response, then closes the connection.
    ///
    /// Without [`status`](Self::status), the request has its effect and the normal response is truncated.
    pub fn truncate(mut self) -> Self {
        self.truncate = true;
        self
    }

    pub(crate) fn wait(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// Returns the error of an invalid rule.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(status) = self.status.filter(|status| !(200..=599).contains(status)) {
            return Err(format!("status {status} is outside 200–599"));
        }
        if self.status.is_none() && (self.body.is_some() || !self.headers.is_empty()) {
            return Err("body and headers need a status".to_owned());
        }
        if [self.hang, self.close, self.truncate].into_iter().filter(|set| *set).count() > 1 {
            return Err("hang, close and truncate exclude each other".to_owned());
        }
        for (name, value) in &self.headers {
            if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
                return Err(format!("header {name:?} cannot be sent"));
            }
        }
        Ok(())
    }

    fn matches(&self, request: &Received) -> bool {
        let method = self.method.as_ref();
        let path = self.path_contains.as_ref();
        let body = self.body_contains.as_ref();
        method.is_none_or(|method| method.eq_ignore_ascii_case(request.method.as_str()))
            && path.is_none_or(|part| request.target().contains(part))
            && body.is_none_or(|part| String::from_utf8_lossy(&request.body).contains(part))
    }
}

/// The rules, in the order in which they were added.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the rule for this request and counts one use.
    pub(crate) fn take(&mut self, request: &Received) -> Option<Fault> {
        let fault =
            self.0.iter_mut().find(|fault| fault.times != Some(0) && fault.matches(request))?;
        fault.times = fault.times.map(|left| left - 1);
        Some(fault.clone())
    }
}
