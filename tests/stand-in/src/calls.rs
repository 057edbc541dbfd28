//! The record of every request, without the secrets in it.

use std::collections::BTreeMap;

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::received::{Received, Service};

/// A received request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The number of the request since the start, from 1. Clearing the record does not reset it.
    pub seq: u64,
    /// Milliseconds from the stand-in's start to the request, on tokio's clock.
    pub at_ms: u64,
    /// The method, upper-case.
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// The status of the response. `None`: no response was sent, or not yet.
    pub status: Option<u16>,
    /// True if the request had its effect: token issued, attributes stored, event accepted, record read.
    pub acted: bool,
    /// Headers by lower-case name, repeated ones joined. Credentials are replaced by `***`.
    pub headers: BTreeMap<String, String>,
    /// The body. A `client_secret` of a token request is replaced by `***`.
    pub body: String,
}

/// All requests since the last clearing, in order of arrival.
pub(crate) struct Calls {
    started: Instant,
    next_seq: u64,
    kept: Vec<Call>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), next_seq: 1, kept: Vec::new() }
    }

    pub(crate) fn recorded(&self) -> &[Call] {
        &self.kept
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Records a request and returns its number.
    pub(crate) fn arrived(&mut self, request: &Received) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.kept.push(Call {
            seq,
            at_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            method: request.method.to_string(),
            path: request.target().to_owned(),
            status: None,
            acted: false,
            headers: readable_headers(&request.headers),
            body: readable_body(request),
        });
        seq
    }

    pub(crate) fn acted(&mut self, seq: u64) {
        if let Some(call) = self.find(seq) {
            call.acted = true;
        }
    }

    pub(crate) fn answered(&mut self, seq: u64, status: StatusCode) {
        if let Some(call) = self.find(seq) {
            call.status = Some(status.as_u16());
        }
    }

    /// Returns the call with this number. `None`: the record was cleared since.
    fn find(&mut self, seq: u64) -> Option<&mut Call> {
        let first = self.kept.first()?.seq;
        let index = usize::try_from(seq.checked_sub(first)?).ok()?;
        self.kept.get_mut(index)
    }
}

fn readable_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut readable = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = readable_value(name, &String::from_utf8_lossy(value.as_bytes()));
        readable
            .entry(name.to_string())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    readable
}

fn readable_value(name: &HeaderName, value: &str) -> String {
    if name != AUTHORIZATION {
        return value.to_owned();
    }
    match value.split_once(' ') {
        Some((scheme, _)) => format!("{scheme} ***"),
        None => "***".to_owned(),
    }
}

fn readable_body(request: &Received) -> String {
    let body = String::from_utf8_lossy(&request.body);
    if request.service() != Service::Login {
        return body.into_owned();
    }
    let pairs = body.split('&').map(|pair| match pair.split_once('=') {
        Some(("client_secret", _)) => "client_secret=***",
        _ => pair,
    });
    pairs.collect::<Vec<_>>().join("&")
}
