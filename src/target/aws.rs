//! What the targets on AWS have in common: their clients, and what their refusals mean.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};

use super::{DeliveryError, QueueUrls};
use crate::destination::Arn;
use crate::failure::{Certainty, Disposition, FailureCode};

/// The clients of one region. None of them retries: a delivery is one attempt.
#[derive(Clone)]
pub struct Clients {
    /// Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// SNS.
    pub sns: aws_sdk_sns::Client,
    /// Step Functions.
    pub step_functions: aws_sdk_sfn::Client,
    /// `EventBridge`.
    pub event_bridge: aws_sdk_eventbridge::Client,
    /// Where queues are found.
    pub queue_urls: QueueUrls,
}

/// Targets on AWS, in whatever region their ARN names.
pub struct AwsTargets {
    build: Box<dyn Fn(&str) -> Clients + Send + Sync>,
    by_region: Mutex<HashMap<String, Arc<Clients>>>,
}

impl AwsTargets {
    /// Targets whose clients are made by `build`, once for each region that is seen.
    #[must_use]
    pub fn new(build: Box<dyn Fn(&str) -> Clients + Send + Sync>) -> Self {
        Self {
            build,
            by_region: Mutex::default(),
        }
    }

    pub(super) fn of(&self, arn: &Arn) -> Arc<Clients> {
        let mut by_region = self
            .by_region
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = by_region.get(arn.region()) {
            return Arc::clone(clients);
        }
        let clients = Arc::new((self.build)(arn.region()));
        by_region.insert(arn.region().to_owned(), Arc::clone(&clients));
        clients
    }
}

/// Words in the codes by which AWS services say that they are called too often.
const THROTTLED: [&str; 4] = ["Throttl", "TooManyRequests", "LimitExceeded", "SlowDown"];

/// Words in the codes by which they say who we are not.
const DENIED: [&str; 9] = [
    "AccessDenied",
    "AuthorizationError",
    "AuthFailure",
    "ExpiredToken",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "NotAuthorized",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
];

/// What a failed call means for a delivery.
pub(super) fn delivery_error<E>(service: &str, error: SdkError<E, HttpResponse>) -> DeliveryError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    let unavailable = |certainty, reason: &str| DeliveryError {
        code: FailureCode::TargetUnavailable,
        disposition: Disposition::Transient { after: None },
        certainty,
        reason: format!("{service} {reason}"),
        source: None,
    };
    match &error {
        SdkError::ServiceError(context) => {
            let refusal = context.err();
            let code = refusal.code().unwrap_or("an error without a code");
            let (failure, disposition) = judge(code, status);
            DeliveryError {
                code: failure,
                disposition,
                certainty: Certainty::Refused,
                reason: refusal_reason(service, code, refusal.message(), disposition),
                source: None,
            }
        }
        SdkError::ConstructionFailure(_) => unavailable(
            Certainty::NotSent,
            "was not asked: the request cannot be built",
        ),
        SdkError::TimeoutError(_) => unavailable(Certainty::Unknown, "did not answer in time"),
        SdkError::ResponseError(_) => {
            unavailable(Certainty::Unknown, "gave an answer that cannot be read")
        }
        // A connection that was refused is not told from one that broke after sending.
        SdkError::DispatchFailure(_) | _ => DeliveryError {
            source: Some(error.into()),
            ..unavailable(Certainty::Unknown, "cannot be reached or did not answer")
        },
    }
}

/// A refusal in words. Services quote what they were sent, so their message is told only where it
/// speaks of our permissions.
pub(super) fn refusal_reason(
    service: &str,
    code: &str,
    message: Option<&str>,
    disposition: Disposition,
) -> String {
    match (disposition, message) {
        (Disposition::Operator, message) => format!(
            "{service} answered {code}: wrong region or credentials? {}",
            message.unwrap_or_default()
        ),
        (Disposition::Permanent | Disposition::Transient { .. }, _) => {
            format!("{service} answered {code}")
        }
    }
}

/// What an error code and a status mean.
pub(super) fn judge(code: &str, status: Option<u16>) -> (FailureCode, Disposition) {
    let has = |words: &[&str]| words.iter().any(|word| code.contains(word));
    let transient = Disposition::Transient { after: None };
    match status {
        _ if has(&THROTTLED) => (FailureCode::TargetRateLimited, transient),
        _ if has(&DENIED) => (FailureCode::TargetCredentials, Disposition::Operator),
        Some(429) => (FailureCode::TargetRateLimited, transient),
        Some(401 | 403) => (FailureCode::TargetCredentials, Disposition::Operator),
        Some(408 | 500..=599) => (FailureCode::TargetUnavailable, transient),
        _ if code.contains("Internal") || code.contains("Unavailable") => {
            (FailureCode::TargetUnavailable, transient)
        }
        Some(_) | None => (FailureCode::TargetRefused, Disposition::Permanent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_statuses_say_what_a_refusal_means() {
        let transient = Disposition::Transient { after: None };
        for (code, status, expected) in [
            (
                "ThrottlingException",
                Some(400),
                (FailureCode::TargetRateLimited, transient),
            ),
            (
                "TooManyRequestsException",
                Some(429),
                (FailureCode::TargetRateLimited, transient),
            ),
            (
                "RequestThrottled",
                Some(403),
                (FailureCode::TargetRateLimited, transient),
            ),
            (
                "KmsThrottled",
                None,
                (FailureCode::TargetRateLimited, transient),
            ),
            (
                "AccessDeniedException",
                Some(400),
                (FailureCode::TargetCredentials, Disposition::Operator),
            ),
            (
                "AccessDenied",
                Some(403),
                (FailureCode::TargetCredentials, Disposition::Operator),
            ),
            (
                "ExpiredTokenException",
                Some(400),
                (FailureCode::TargetCredentials, Disposition::Operator),
            ),
            (
                "Whatever",
                Some(403),
                (FailureCode::TargetCredentials, Disposition::Operator),
            ),
            (
                "ServiceException",
                Some(500),
                (FailureCode::TargetUnavailable, transient),
            ),
            (
                "EC2UnexpectedException",
                Some(502),
                (FailureCode::TargetUnavailable, transient),
            ),
            (
                "InternalFailure",
                None,
                (FailureCode::TargetUnavailable, transient),
            ),
            (
                "ResourceNotFoundException",
                Some(404),
                (FailureCode::TargetRefused, Disposition::Permanent),
            ),
            (
                "QueueDoesNotExist",
                Some(400),
                (FailureCode::TargetRefused, Disposition::Permanent),
            ),
            (
                "MalformedDetail",
                None,
                (FailureCode::TargetRefused, Disposition::Permanent),
            ),
        ] {
            assert_eq!(judge(code, status), expected, "{code} {status:?}");
        }
    }
}
