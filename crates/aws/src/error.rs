//! The meaning of a failed call of AWS to an operator.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use genesys_replay::aws::{AwsError, AwsFault};

fn fault_of_code(code: &str) -> AwsFault {
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
        | "AuthFailure" => AwsFault::Credentials,
        "AccessDenied"
        | "AccessDeniedException"
        | "Forbidden"
        | "UnauthorizedOperation"
        | "KmsAccessDenied"
        | "KMSAccessDeniedException" => AwsFault::Denied,
        "ResourceNotFoundException"
        | "NoSuchBucket"
        | "NoSuchKey"
        | "NotFound"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue" => AwsFault::Missing,
        "ThrottlingException"
        | "Throttling"
        | "RequestThrottled"
        | "SlowDown"
        | "TooManyRequestsException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded" => AwsFault::Throttled,
        _ => AwsFault::Refused,
    }
}

/// What an error of the SDK means. Its message may quote a payload: only its code is kept.
pub fn aws_error<E, R>(doing: impl Into<String>, error: &SdkError<E, R>) -> AwsError
where
    E: ProvideErrorMetadata + StdError + 'static,
    R: fmt::Debug,
{
    let (fault, detail) = match error {
        SdkError::ServiceError(refusal) => match refusal.err().code() {
            Some(code) => (fault_of_code(code), Some(code.to_owned())),
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
    AwsError {
        doing: doing.into(),
        fault,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                assert_eq!(fault_of_code(code), fault, "{code}");
            }
        }
    }
}
