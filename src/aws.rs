//! What a failure of AWS means to the person who runs a command.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

/// What kind of failure it was; decided here, where the SDK's own error is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsFault {
    /// It is not known which region is meant.
    Region,
    /// There are no credentials, or AWS does not believe them (any more).
    Credentials,
    /// The credentials lack a permission.
    Denied,
    /// What was asked for does not exist.
    Missing,
    /// AWS asked to slow down, and the SDK's own retries were used up.
    Throttled,
    /// No answer came.
    Unreachable,
    /// AWS refused for another reason.
    Refused,
}

/// A call of AWS that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {fault}{}", .detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default())]
pub struct AwsError {
    /// What was being done, such as `reading the queue`.
    pub doing: String,
    /// What kind of failure it was.
    pub fault: AwsFault,
    /// AWS' own code, or what was seen of the connection.
    pub detail: Option<String>,
}

impl AwsFault {
    /// Whether it may be a matter of the one thing that was asked for, so that others can be had.
    #[must_use]
    pub const fn is_of_one(self) -> bool {
        match self {
            Self::Denied | Self::Missing | Self::Refused => true,
            Self::Region | Self::Credentials | Self::Throttled | Self::Unreachable => false,
        }
    }

    fn of_code(code: &str) -> Self {
        // Services write the same thing in several ways, and S3 in a third one.
        match code {
            "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignature"
            | "AuthFailure" => Self::Credentials,
            "AccessDenied"
            | "AccessDeniedException"
            | "Forbidden"
            | "UnauthorizedOperation"
            | "KmsAccessDenied"
            | "KMSAccessDeniedException" => Self::Denied,
            "ResourceNotFoundException"
            | "NoSuchBucket"
            | "NoSuchKey"
            | "NotFound"
            | "QueueDoesNotExist"
            | "AWS.SimpleQueueService.NonExistentQueue" => Self::Missing,
            "ThrottlingException"
            | "Throttling"
            | "RequestThrottled"
            | "SlowDown"
            | "TooManyRequestsException"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded" => Self::Throttled,
            _ => Self::Refused,
        }
    }
}

impl fmt::Display for AwsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Region => "no region is set",
            Self::Credentials => "AWS does not accept the credentials",
            Self::Denied => "AWS denies the permission",
            Self::Missing => "AWS does not know it",
            Self::Throttled => "AWS asks to slow down",
            Self::Unreachable => "AWS was not reached",
            Self::Refused => "AWS refused",
        })
    }
}

impl AwsError {
    /// What an error of the SDK means. Its message may quote a payload: only its code is kept.
    pub fn of<E, R>(doing: impl Into<String>, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
        R: fmt::Debug,
    {
        let (fault, detail) = match error {
            SdkError::ServiceError(refusal) => match refusal.err().code() {
                Some(code) => (AwsFault::of_code(code), Some(code.to_owned())),
                None => (AwsFault::Refused, None),
            },
            SdkError::TimeoutError(_) => (AwsFault::Unreachable, Some("no answer in time".into())),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                (AwsFault::Unreachable, Some("no connection in time".into()))
            }
            SdkError::DispatchFailure(failure) if failure.is_io() => {
                (AwsFault::Unreachable, Some("no connection".into()))
            }
            // What is left before a request leaves is finding credentials.
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
                (AwsFault::Credentials, Some("none were found".into()))
            }
            SdkError::ResponseError(_) | _ => (
                AwsFault::Unreachable,
                Some("the answer cannot be read".into()),
            ),
        };
        Self {
            doing: doing.into(),
            fault,
            detail,
        }
    }

    /// Why it failed, without what was being done.
    #[must_use]
    pub fn why(&self) -> String {
        self.detail
            .clone()
            .unwrap_or_else(|| self.fault.to_string())
    }

    /// An answer of AWS that lacks what it always has.
    #[must_use]
    pub fn incomplete(doing: impl Into<String>, missing: &str) -> Self {
        Self {
            doing: doing.into(),
            fault: AwsFault::Refused,
            detail: Some(format!("the answer has no {missing}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_done_and_what_failed() {
        let error = AwsError {
            doing: "reading the queue".to_owned(),
            fault: AwsFault::of_code("ExpiredToken"),
            detail: Some("ExpiredToken".to_owned()),
        };
        assert_eq!(
            error.to_string(),
            "reading the queue: AWS does not accept the credentials (ExpiredToken)"
        );
    }

    #[test]
    fn codes_are_told_apart_however_a_service_writes_them() {
        for (codes, fault) in [
            (
                &[
                    "ExpiredToken",
                    "ExpiredTokenException",
                    "UnrecognizedClientException",
                ][..],
                AwsFault::Credentials,
            ),
            (&["AccessDenied", "AccessDeniedException"], AwsFault::Denied),
            (
                &[
                    "ResourceNotFoundException",
                    "NoSuchBucket",
                    "QueueDoesNotExist",
                ],
                AwsFault::Missing,
            ),
            (&["ThrottlingException", "SlowDown"], AwsFault::Throttled),
            (&["ValidationException", ""], AwsFault::Refused),
        ] {
            for code in codes {
                assert_eq!(AwsFault::of_code(code), fault, "{code}");
            }
        }
    }
}
