//! The meaning of a failed AWS call for an operator.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use genesys_replay::aws::{AwsError, AwsErrorKind};

fn fault_of_code(code: &str) -> AwsErrorKind {
    // Services use several codes for the same error, and S3 uses yet another one.
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
        | "AuthFailure" => AwsErrorKind::Credentials,
        "AccessDenied"
        | "AccessDeniedException"
        | "Forbidden"
        | "UnauthorizedOperation"
        | "KmsAccessDenied"
        | "KMSAccessDeniedException" => AwsErrorKind::Denied,
        "ResourceNotFoundException"
        | "NoSuchBucket"
        | "NoSuchKey"
        | "NotFound"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue" => AwsErrorKind::NotFound,
        "ThrottlingException"
        | "Throttling"
        | "RequestThrottled"
        | "SlowDown"
        | "TooManyRequestsException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded" => AwsErrorKind::Throttled,
        _ => AwsErrorKind::Refused,
    }
}

/// Returns the meaning of an SDK error. Only the error's code is kept, because its message may quote a
/// payload.
pub fn aws_error<E, R>(operation: impl Into<String>, error: &SdkError<E, R>) -> AwsError
where
    E: ProvideErrorMetadata + StdError + 'static,
    R: fmt::Debug,
{
    let (kind, detail) = match error {
        SdkError::ServiceError(refusal) => match refusal.err().code() {
            Some(code) => (fault_of_code(code), Some(code.to_owned())),
            None => (AwsErrorKind::Refused, None),
        },
        SdkError::TimeoutError(_) => (AwsErrorKind::Unreachable, Some("no answer in time".into())),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            (AwsErrorKind::Unreachable, Some("no connection in time".into()))
        }
        SdkError::DispatchFailure(failure) if failure.is_io() => {
            (AwsErrorKind::Unreachable, Some("no connection".into()))
        }
        // The only other step before sending a request is loading the credentials.
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
            (AwsErrorKind::Credentials, Some("none were found".into()))
        }
        SdkError::ResponseError(_) | _ => {
            (AwsErrorKind::Unreachable, Some("the answer cannot be read".into()))
        }
    };
    AwsError { operation: operation.into(), kind, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_kind_is_known_for_every_spelling_of_a_code() {
        for (codes, kind) in [
            (
                &["ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException"][..],
                AwsErrorKind::Credentials,
            ),
            (&["AccessDenied", "AccessDeniedException"], AwsErrorKind::Denied),
            (
                &["ResourceNotFoundException", "NoSuchBucket", "QueueDoesNotExist"],
                AwsErrorKind::NotFound,
            ),
            (&["ThrottlingException", "SlowDown"], AwsErrorKind::Throttled),
            (&["ValidationException", ""], AwsErrorKind::Refused),
        ] {
            for code in codes {
                assert_eq!(fault_of_code(code), kind, "{code}");
            }
        }
    }
}
