//! Delivers by HTTP POST.

pub mod resolver;

use std::sync::Arc;
use std::time::Duration;

use genesys_replay::clock::Clock;
use genesys_replay::connections::ConnectionPool;
use genesys_replay::destination::address;
use genesys_replay::destination::address::AddressPolicy;
use genesys_replay::error::has_cause;
use genesys_replay::failure::answers::Meaning;
use genesys_replay::failure::{Certainty, Disposition, FailureCode, answers};
use genesys_replay::retry_after;
use genesys_replay::target::{Delivery, DeliveryError};
use genesys_replay_aws::was_canceled;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use url::{Host, Url};

use crate::classification::{classify, question};

/// The adapter for HTTP endpoints.
#[derive(Clone)]
pub struct HttpTarget {
    http: Arc<ConnectionPool<reqwest::Client>>,
    reach: AddressPolicy,
    is_proxied: bool,
    within: Duration,
    clock: Arc<dyn Clock>,
}

impl HttpTarget {
    /// Creates an adapter. The clients of `http` must not follow redirects; if `reach` blocks addresses, they must resolve
    /// names through [`resolver::GuardedResolver`]. A proxy resolves names itself, so with `is_proxied` names are
    /// resolved here, too, before a delivery. One delivery takes at most `within`.
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

    /// Posts one event.
    ///
    /// # Errors
    /// The errors of [`Target::deliver`](super::Target::deliver).
    pub async fn post(&self, url: &Url, delivery: &Delivery<'_>) -> Result<(), DeliveryError> {
        if self.reach == AddressPolicy::BlockLinkLocal && self.is_refused(url).await {
            return Err(not_allowed());
        }
        // Until the end of this function, the request is in flight.
        let pooled = self.http.acquire();
        let answer = pooled
            .client()
            .post(url.clone())
            .timeout(self.within)
            .header(CONTENT_TYPE, "application/json")
            .header("X-Attempt-Count", delivery.attempt_count)
            .header("X-Resubmit-Source", "genesys-replay")
            .header("Idempotency-Key", delivery.key.digest())
            .body(delivery.payload.to_owned())
            .send()
            .await
            .map_err(not_answered)?;
        // The body of the answer is not read, because the status decides.
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after::parse(value, self.clock.now()));
        let mut meaning = answers::of_http_target(status.as_u16());
        // After a lost answer, the target may still be handling an earlier copy.
        if meaning == Meaning::Conflict && !delivery.maybe_delivered {
            meaning = Meaning::Refused;
        }
        let (code, disposition, certainty) = classify(meaning, after);
        let question = question(code);
        Err(DeliveryError {
            code,
            disposition,
            certainty,
            timed_out: false,
            reason: format!("the target answered {status}{question}"),
            source: None,
        })
    }

    async fn is_refused(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Domain(name)) => self.is_proxied && resolver::is_refused_name(name).await,
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => address::names_refused(url),
        }
    }
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
        code: FailureCode::TargetNotAllowed,
        disposition: Disposition::Operator,
        certainty: Certainty::NotSent,
        timed_out: false,
        reason: format!(
            "{}; set ALLOW_LINK_LOCAL_TARGETS=true to send there",
            address::RefusedAddress
        ),
        source: None,
    }
}
