//! One HTTP request with an event, and the meaning of its answer.

use std::sync::Arc;
use std::time::Duration;

use genesys_replay::clock::Clock;
use genesys_replay::connections::ConnectionPool;
use genesys_replay::destination::address;
use genesys_replay::destination::address::AddressPolicy;
use genesys_replay::error::has_cause;
use genesys_replay::failure::answers::Meaning;
use genesys_replay::failure::{Certainty, Disposition, FailureCode, answers};
use genesys_replay::target::{Delivery, DeliveryError};
use genesys_replay::{retry_after, trace};
use genesys_replay_aws::was_canceled;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use url::{Host, Url};

use super::resolver;
use crate::classification::{classify, question};

/// Sends requests to the addresses that the settings allow.
#[derive(Clone)]
pub struct HttpSender {
    http: Arc<ConnectionPool<reqwest::Client>>,
    reach: AddressPolicy,
    is_proxied: bool,
    within: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A request that is sent once.
///
/// Without `Debug`, because URL, headers and body may contain secrets.
#[derive(Clone)]
pub(crate) struct OutgoingRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// The answer to a request.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The delay that the server asks for.
    pub(crate) after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl HttpSender {
    /// Creates a sender. The clients of `http` must not follow redirects; if `reach` blocks addresses, they must resolve
    /// names through [`resolver::GuardedResolver`]. A proxy resolves names itself, so with `is_proxied` names are
    /// resolved here, too, before a request. One request takes at most `within`.
    #[must_use]
    pub fn new(
        http: Arc<ConnectionPool<reqwest::Client>>,
        reach: AddressPolicy,
        is_proxied: bool,
        within: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { http, reach, is_proxied, within, clock }
    }

    /// Sends one event. The body of the answer is not read, because the status decides.
    ///
    /// # Errors
    /// The errors of [`Target::deliver`](genesys_replay::target::Target::deliver).
    pub(crate) async fn deliver(
        &self,
        request: OutgoingRequest,
        delivery: &Delivery<'_>,
    ) -> Result<(), DeliveryError> {
        delivery.progress.sending();
        let answer = self.exchange(request, 0).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let mut meaning = answers::of_http_target(answer.status.as_u16());
        // After a lost answer, the target may still be handling an earlier copy.
        if meaning == Meaning::Conflict && !delivery.maybe_delivered {
            meaning = Meaning::Refused;
        }
        Err(answered("the target", meaning, &answer))
    }

    /// Sends one request, and reads at most `max_body_bytes` of the answer's body.
    ///
    /// # Errors
    /// The request was not answered, or its address is refused.
    pub(crate) async fn exchange(
        &self,
        request: OutgoingRequest,
        max_body_bytes: usize,
    ) -> Result<Answer, DeliveryError> {
        if self.reach == AddressPolicy::BlockLinkLocal && self.is_refused(&request.url).await {
            return Err(not_allowed());
        }
        // Until the end of this function, the request is in flight.
        let pooled = self.http.acquire();
        let OutgoingRequest { method, url, headers, body } = request;
        let call = pooled.client().request(method, url).timeout(self.within);
        let sent = call.headers(headers).body(body).send().await;
        let mut response = sent.map_err(not_answered)?;
        let after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after::parse(value, self.clock.now()));
        let mut body = Vec::new();
        while body.len() < max_body_bytes
            && let Some(chunk) = response.chunk().await.map_err(not_answered)?
        {
            body.extend(chunk.iter().take(max_body_bytes - body.len()));
        }
        Ok(Answer { status: response.status(), after, body })
    }

    async fn is_refused(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Domain(name)) => self.is_proxied && resolver::is_refused_name(name).await,
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => address::names_refused(url),
        }
    }
}

/// Returns the failure of an answer with this meaning. `who` is the subject of the reason.
pub(crate) fn answered(who: &str, meaning: Meaning, answer: &Answer) -> DeliveryError {
    let (code, disposition, certainty) = classify(meaning, answer.after);
    let question = question(code);
    DeliveryError {
        code,
        disposition,
        certainty,
        timed_out: false,
        locally_throttled: false,
        reason: format!("{who} answered {}{question}", answer.status),
        source: None,
    }
}

/// Returns the headers of every delivery over HTTP.
pub(crate) fn event_headers(delivery: &Delivery<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-attempt-count", delivery.attempt_count.into());
    headers.insert("x-resubmit-source", HeaderValue::from_static("genesys-replay"));
    if let Ok(digest) = HeaderValue::try_from(delivery.key.digest()) {
        headers.insert("idempotency-key", digest);
    }
    if let Some(trace) = trace::current() {
        for (name, text) in trace.headers() {
            if let Ok(text) = HeaderValue::from_str(text) {
                headers.insert(name, text);
            }
        }
    }
    headers
}

/// Returns true for headers that belong to the connection, and so are not set by a configuration.
pub(crate) fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-encoding"
            | "content-length"
            | "expect"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Returns the failure of a request without an answer. Only a connection that was never made, or that ended before the
/// request's head was written, proves that the target did not act.
fn not_answered(error: reqwest::Error) -> DeliveryError {
    if caused_by_refused_address(&error) {
        return not_allowed();
    }
    let (certainty, reason) = if error.is_connect() {
        (Certainty::NotSent, "the target cannot be reached")
    } else if was_canceled(&error) {
        (Certainty::NotSent, "the connection to the target ended before the request")
    } else if error.is_builder() {
        (Certainty::NotSent, "the request to the target cannot be built")
    } else if error.is_timeout() {
        (Certainty::Unknown, "the target did not answer in time (TARGET_TIMEOUT_SECONDS)")
    } else {
        (Certainty::Unknown, "the connection to the target broke before its answer")
    };
    DeliveryError {
        code: FailureCode::TargetUnavailable,
        disposition: Disposition::Transient { after: None },
        certainty,
        timed_out: error.is_timeout() && certainty == Certainty::Unknown,
        locally_throttled: false,
        reason: reason.to_owned(),
        // The URL may contain a secret.
        source: Some(error.without_url().into()),
    }
}

fn caused_by_refused_address(error: &reqwest::Error) -> bool {
    has_cause(error, |_: &address::RefusedAddress| true)
}

/// Returns the error for a refused address. An operator must repair it, because the URL comes from the
/// settings.
fn not_allowed() -> DeliveryError {
    DeliveryError {
        disposition: Disposition::Operator,
        ..DeliveryError::never(
            FailureCode::TargetNotAllowed,
            format!("{}; set ALLOW_LINK_LOCAL_TARGETS=true to send there", address::RefusedAddress),
        )
    }
}
