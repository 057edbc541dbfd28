//! The meaning of a failed AWS call for an operator.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::result::DispatchFailure;
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::error::has_cause;
use hyper_util::client::legacy::Error as ConnectionError;

/// Returns the kind of an error by its code, and by the message of a rejected signature, which has no payload.
fn fault_of(code: &str, message: Option<&str>) -> AwsErrorKind {
    let is_about_time = |message: &str| {
        ["Signature expired", "Signature not yet current"].iter().any(|it| message.starts_with(it))
    };
    match code {
        "RequestTimeTooSkewed" => AwsErrorKind::WrongClock,
        "InvalidSignatureException" | "SignatureDoesNotMatch"
            if message.is_some_and(is_about_time) =>
        {
            AwsErrorKind::WrongClock
        }
        _ => fault_of_code(code),
    }
}

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
            Some(code) => {
                let message = refusal.err().message();
                (fault_of(code, message), Some(code.to_owned()))
            }
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

/// Returns true if hyper took a request back before it wrote its head, because the connection had ended.
#[must_use]
pub fn was_canceled(error: &(dyn StdError + 'static)) -> bool {
    has_cause(error, hyper::Error::is_canceled)
}

/// Returns true if a request did not reach the other side: there was no connection, or it ended before the request.
pub(crate) fn has_not_reached(error: &(dyn StdError + 'static)) -> bool {
    has_cause(error, ConnectionError::is_connect) || was_canceled(error)
}

/// Returns true if the failure proves that the service did not receive the request.
#[must_use]
pub fn is_unsent(failure: &DispatchFailure) -> bool {
    let Some(error) = failure.as_connector_error() else {
        return false;
    };
    // Without an error of the connection, the SDK had no credentials and sent nothing.
    let is_about_connection = failure.is_io()
        || failure.is_timeout()
        || failure.as_other().is_some()
        || has_cause(error, |_: &ConnectionError| true);
    has_not_reached(error) || !is_about_connection
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use hyper::client::conn::http1::{SendRequest, handshake};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, DuplexStream};
    use tokio::join;

    use super::*;

    /// Returns the error of a request over a connection that the server closes. `is_read`: after it received the
    /// request's head, and otherwise before.
    async fn failed_request(is_read: bool) -> Result<Option<hyper::Error>, Box<dyn StdError>> {
        let (client, mut server): (DuplexStream, DuplexStream) = tokio::io::duplex(4_096);
        let (mut sender, connection): (SendRequest<String>, _) =
            handshake(TokioIo::new(client)).await?;
        if !is_read {
            drop((server, connection));
            return Ok(sender.send_request(Request::new(String::new())).await.err());
        }
        let close = async move { server.read_u8().await };
        let request = sender.send_request(Request::new(String::new()));
        let (_, _, answer) = join!(connection, close, request);
        Ok(answer.err())
    }

    #[tokio::test]
    async fn request_is_canceled_only_when_its_head_was_not_sent() -> Result<(), Box<dyn StdError>>
    {
        for is_sent in [false, true] {
            let error = failed_request(is_sent).await?.ok_or("answered")?;
            assert_eq!(was_canceled(&std::io::Error::other(error)), !is_sent);
        }
        Ok(())
    }

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

    #[test]
    fn rejected_signature_is_a_wrong_clock_when_its_time_is_rejected() {
        let late = "Signature expired: 20261201T010000Z is now earlier than 20261201T014500Z";
        let early =
            "Signature not yet current: 20261201T030000Z is still later than 20261201T020500Z";
        let other = "The request signature we calculated does not match the signature you provided";
        for (code, message, kind) in [
            ("InvalidSignatureException", Some(late), AwsErrorKind::WrongClock),
            ("SignatureDoesNotMatch", Some(early), AwsErrorKind::WrongClock),
            ("RequestTimeTooSkewed", None, AwsErrorKind::WrongClock),
            ("SignatureDoesNotMatch", Some(other), AwsErrorKind::Credentials),
            ("InvalidSignatureException", None, AwsErrorKind::Credentials),
        ] {
            assert_eq!(fault_of(code, message), kind, "{code}");
        }
    }
}
