//! Delivery by HTTP POST.

pub mod address;

use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use url::Url;

use super::{Delivery, DeliveryError};
use crate::clock::Clock;
use crate::failure::{Certainty, Disposition, FailureCode};
use crate::retry_after;

/// Delivers to HTTP endpoints.
#[derive(Clone)]
pub struct HttpTarget {
    http: reqwest::Client,
    reach: Reach,
    clock: Arc<dyn Clock>,
}

/// Which addresses events are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All but link-local and metadata addresses.
    Guarded,
    /// All.
    Anywhere,
}

impl HttpTarget {
    /// Delivers through a client that must not follow redirects, must have timeouts, and must
    /// resolve names through [`address::GuardedResolver`] when the reach is guarded.
    #[must_use]
    pub fn new(http: reqwest::Client, reach: Reach, clock: Arc<dyn Clock>) -> Self {
        Self { http, reach, clock }
    }

    /// Posts one event.
    ///
    /// # Errors
    /// As [`Target::deliver`](super::Target::deliver) says.
    pub async fn post(&self, url: &Url, delivery: &Delivery<'_>) -> Result<(), DeliveryError> {
        if self.reach == Reach::Guarded && address::names_refused(url) {
            return Err(not_allowed());
        }
        let answer = self
            .http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("X-Attempt-Count", delivery.attempt_count)
            .header("X-Resubmit-Source", "genesys-replay")
            .header("Idempotency-Key", delivery.key.as_str())
            .body(delivery.payload.to_owned())
            .send()
            .await
            .map_err(not_answered)?;
        // The body of the answer is nobody's business; the status says it all.
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after::parse(value, self.clock.now()));
        let (code, disposition, certainty) = judge(status, after);
        let hint = match disposition {
            Disposition::Operator => ": wrong region or credentials?",
            Disposition::Permanent | Disposition::Transient { .. } => "",
        };
        Err(DeliveryError {
            code,
            disposition,
            certainty,
            reason: format!("the target answered {status}{hint}"),
            source: None,
        })
    }
}

/// What an answer other than success means.
fn judge(
    status: StatusCode,
    after: Option<std::time::Duration>,
) -> (FailureCode, Disposition, Certainty) {
    let transient = Disposition::Transient { after };
    match status.as_u16() {
        429 => (
            FailureCode::TargetRateLimited,
            transient,
            Certainty::Refused,
        ),
        // A gateway that lost its backend's answer cannot say whether the backend acted.
        502 | 504 => (
            FailureCode::TargetUnavailable,
            transient,
            Certainty::Unknown,
        ),
        408 | 425 | 500..=599 => (
            FailureCode::TargetUnavailable,
            transient,
            Certainty::Refused,
        ),
        401 | 403 => (
            FailureCode::TargetCredentials,
            Disposition::Operator,
            Certainty::Refused,
        ),
        _ => (
            FailureCode::TargetRefused,
            Disposition::Permanent,
            Certainty::Refused,
        ),
    }
}

/// A request without an answer: only a connection that was never made proves that nothing happened.
fn not_answered(error: reqwest::Error) -> DeliveryError {
    if caused_by_refused_address(&error) {
        return not_allowed();
    }
    let (certainty, reason) = if error.is_connect() {
        (Certainty::NotSent, "the target cannot be reached")
    } else if error.is_builder() {
        (
            Certainty::NotSent,
            "the request to the target cannot be built",
        )
    } else if error.is_timeout() {
        (Certainty::Unknown, "the target did not answer in time")
    } else {
        (
            Certainty::Unknown,
            "the connection to the target broke before its answer",
        )
    };
    DeliveryError {
        code: FailureCode::TargetUnavailable,
        disposition: Disposition::Transient { after: None },
        certainty,
        reason: reason.to_owned(),
        // The URL may carry a secret.
        source: Some(error.without_url().into()),
    }
}

fn caused_by_refused_address(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<address::RefusedAddress>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Ours to repair: the URL comes from the settings.
fn not_allowed() -> DeliveryError {
    DeliveryError {
        code: FailureCode::TargetNotAllowed,
        disposition: Disposition::Operator,
        certainty: Certainty::NotSent,
        reason: format!(
            "{}; set ALLOW_LINK_LOCAL_TARGETS=true to send there",
            address::RefusedAddress
        ),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides_what_follows() {
        let judged = |status: u16| {
            StatusCode::from_u16(status)
                .map(|status| judge(status, None))
                .ok()
        };
        let transient = Disposition::Transient { after: None };
        for (statuses, code, disposition, certainty) in [
            (
                &[429][..],
                FailureCode::TargetRateLimited,
                transient,
                Certainty::Refused,
            ),
            (
                &[408, 425, 500, 501, 503, 599],
                FailureCode::TargetUnavailable,
                transient,
                Certainty::Refused,
            ),
            (
                &[502, 504],
                FailureCode::TargetUnavailable,
                transient,
                Certainty::Unknown,
            ),
            (
                &[401, 403],
                FailureCode::TargetCredentials,
                Disposition::Operator,
                Certainty::Refused,
            ),
            (
                &[301, 302, 307, 400, 404, 409, 410, 413, 422],
                FailureCode::TargetRefused,
                Disposition::Permanent,
                Certainty::Refused,
            ),
        ] {
            for status in statuses {
                assert_eq!(
                    judged(*status),
                    Some((code, disposition, certainty)),
                    "{status}"
                );
            }
        }
    }
}
