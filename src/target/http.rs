//! Delivery by HTTP POST, and to nowhere.

use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use url::Url;

use super::{Delivery, DeliveryError, Target};
use crate::clock::Clock;
use crate::destination::Destination;
use crate::failure::{Certainty, Disposition, FailureCode};
use crate::retry_after;

/// Delivers to HTTP endpoints; what has no destination counts as delivered.
#[derive(Clone)]
pub struct HttpTarget {
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
}

impl HttpTarget {
    /// Delivers through a client that must not follow redirects and must have timeouts.
    #[must_use]
    pub fn new(http: reqwest::Client, clock: Arc<dyn Clock>) -> Self {
        Self { http, clock }
    }

    async fn post(&self, url: &Url, delivery: &Delivery<'_>) -> Result<(), DeliveryError> {
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
        Err(DeliveryError {
            code,
            disposition,
            certainty,
            reason: format!("the target answered {status}"),
            source: None,
        })
    }
}

impl Target for HttpTarget {
    async fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), DeliveryError> {
        match delivery.destination {
            Destination::None => Ok(()),
            Destination::Http(url) => self.post(url, delivery).await,
            Destination::Unsupported(arn) => {
                Err(unsupported(format!("no way to deliver to {arn}")))
            }
            Destination::Missing => Err(unsupported(
                "the dead letter names no target; set REPLAY_TARGET to where it should go"
                    .to_owned(),
            )),
        }
    }
}

fn unsupported(reason: String) -> DeliveryError {
    DeliveryError {
        code: FailureCode::TargetUnsupported,
        disposition: Disposition::Permanent,
        certainty: Certainty::NotSent,
        reason,
        source: None,
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
