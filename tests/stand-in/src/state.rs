//! The state of the stand-in behind one lock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderName, RETRY_AFTER};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::answer::Answer;
use crate::calls::Calls;
use crate::fault::{Fault, Faults};
use crate::genesys::Genesys;
use crate::oauth::{self, Client};
use crate::received::{Received, Service};

/// The state, shared by all connections. The lock is never held across an await.
pub(crate) struct Shared(Mutex<State>);

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct State {
    pub(crate) client: Client,
    pub(crate) genesys: Genesys,
    pub(crate) calls: Calls,
    pub(crate) faults: Faults,
    pub(crate) latency: Latency,
}

/// The latencies of the services without faults.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Latency {
    #[serde(rename = "genesys_ms", deserialize_with = "milliseconds")]
    pub(crate) genesys: Duration,
    #[serde(rename = "target_ms", deserialize_with = "milliseconds")]
    pub(crate) target: Duration,
    #[serde(rename = "token_ms", deserialize_with = "milliseconds")]
    pub(crate) token: Duration,
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// A request at its arrival.
pub(crate) struct Arrival {
    pub(crate) seq: u64,
    pub(crate) fault: Option<Fault>,
    pub(crate) latency: Duration,
}

impl State {
    pub(crate) fn arrive(&mut self, request: &Received) -> Arrival {
        let latency = match request.service() {
            Service::Login => self.latency.token,
            Service::Genesys => self.latency.genesys,
            Service::Target => self.latency.target,
            Service::Nobody => Duration::ZERO,
        };
        Arrival { seq: self.calls.arrived(request), fault: self.faults.take(request), latency }
    }

    /// Applies the effect of the request and returns its response.
    pub(crate) fn act(&mut self, request: &Received, seq: u64) -> Answer {
        let answer = match request.service() {
            Service::Login => self.client.answer(request, &mut self.genesys.tokens),
            Service::Genesys => self.genesys.answer(request, seq),
            Service::Target => Answer::json(StatusCode::OK, &json!({})),
            Service::Nobody => {
                Answer::text(StatusCode::NOT_FOUND, "the stand-in serves nothing here")
            }
        };
        if answer.status.is_success() {
            self.calls.acted(seq);
        }
        answer
    }

    /// Returns the response of a fault.
    pub(crate) fn fault(
        &self,
        request: &Received,
        seq: u64,
        status: StatusCode,
        fault: &Fault,
    ) -> Answer {
        let mut headers = fault.headers.iter();
        let retry_after = headers.find(|(name, _)| RETRY_AFTER == name.as_str());
        let mut answer = match request.service() {
            Service::Login => oauth::error(
                status,
                login_error(status),
                "the stand-in has a fault for this request",
            ),
            Service::Genesys => {
                let retry_after = retry_after.map(|(_, value)| value.as_str());
                self.genesys.fault(request, seq, status, retry_after)
            }
            Service::Target | Service::Nobody => {
                Answer::text(status, status.canonical_reason().unwrap_or_default())
            }
        };
        if let Some(body) = &fault.body {
            answer.body = body.clone().into();
        }
        for (name, value) in &fault.headers {
            if let Ok(name) = HeaderName::try_from(name) {
                answer = answer.with_header(name, value);
            }
        }
        answer
    }
}

fn login_error(status: StatusCode) -> &'static str {
    if status.is_server_error() { "server_error" } else { "invalid_request" }
}
