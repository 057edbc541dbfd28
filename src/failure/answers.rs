//! The meaning of an upstream's answer, in one table.
//!
//! | answer | HTTP target | AWS service | Genesys Cloud |
//! |---|---|---|---|
//! | 429, throttling | rate-limited | rate-limited | rate-limited |
//! | 408, 425, 5xx | unavailable | unavailable | unavailable |
//! | 502, 504 | answer lost | unavailable | unavailable |
//! | 401, 403 | credentials | credentials | credentials |
//! | 3xx | misconfigured | misconfigured | credentials (a login page, or another region) |
//! | 404 | misconfigured | misconfigured | missing; misconfigured without Genesys' error body |
//! | 405, 407, 410, 411, 414, 415, 421, 426, 431 | misconfigured | misconfigured | refused; misconfigured without Genesys' error body |
//! | 501, 505 | misconfigured | misconfigured | unavailable |
//! | 409 | conflict | conflict | conflict |
//! | 412, 423 | refused | refused | conflict |
//! | other 4xx | refused | refused | refused |
//! | unknown status | unavailable | unavailable | unavailable |
//!
//! AWS services answer most errors with 400, so their error codes decide before the status.

/// The meaning of an unsuccessful answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The caller exceeded a rate limit.
    RateLimited,
    /// The upstream is down, overloaded, or not ready.
    Unavailable,
    /// A gateway lost its backend's answer: the backend may have acted.
    AnswerLost,
    /// Another call, or an earlier copy of this call, is using the object.
    Conflict,
    /// The caller's credentials or permissions are wrong.
    Credentials,
    /// The upstream's name, address or method is wrong, or it is disabled.
    Misconfigured,
    /// The object of the call does not exist.
    Missing,
    /// The upstream refused this call permanently.
    Refused,
}

/// Returns true for the statuses of a wrong address, a wrong method, or a wrong kind of server.
const fn is_misconfigured(status: u16) -> bool {
    matches!(
        status,
        300..=399 | 404 | 405 | 407 | 410 | 411 | 414 | 415 | 421 | 426 | 431 | 501 | 505
    )
}

/// Returns the meaning of an HTTP target's status.
#[must_use]
pub const fn of_http_target(status: u16) -> Meaning {
    match status {
        429 => Meaning::RateLimited,
        502 | 504 => Meaning::AnswerLost,
        401 | 403 => Meaning::Credentials,
        409 => Meaning::Conflict,
        _ if is_misconfigured(status) => Meaning::Misconfigured,
        408 | 425 => Meaning::Unavailable,
        400..=499 => Meaning::Refused,
        _ => Meaning::Unavailable,
    }
}

/// Returns the meaning of a status of Genesys Cloud's API. `has_error_body` is true if the answer has the
/// form of Genesys' errors.
#[must_use]
pub const fn of_genesys(status: u16, has_error_body: bool) -> Meaning {
    match status {
        429 => Meaning::RateLimited,
        300..=399 | 401 | 403 => Meaning::Credentials,
        409 | 412 | 423 => Meaning::Conflict,
        404 if has_error_body => Meaning::Missing,
        408 | 425 => Meaning::Unavailable,
        400..=499 if is_misconfigured(status) && !has_error_body => Meaning::Misconfigured,
        400..=499 => Meaning::Refused,
        _ => Meaning::Unavailable,
    }
}

/// Parts of the error codes of AWS services, in the order in which they decide.
const AWS_CODES: &[(Meaning, &[&str])] = &[
    (
        Meaning::RateLimited,
        &["Throttl", "TooManyRequests", "LimitExceeded", "QuotaExceeded", "SlowDown"],
    ),
    (
        Meaning::Credentials,
        &[
            "AccessDenied",
            "AuthorizationError",
            "AuthFailure",
            "ExpiredToken",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "InvalidSecurity",
            "InvalidSignature",
            "MissingAuthentication",
            "NotAuthorized",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "UnrecognizedClient",
        ],
    ),
    (
        Meaning::Misconfigured,
        &[
            "NotFound",
            "DoesNotExist",
            "NonExistent",
            "NoSuch",
            "Disabled",
            "Deleting",
            "Inactive",
            "InvalidArn",
            "InvalidAddress",
            "NoPublishedVersion",
            // A key that is disabled, or is pending deletion.
            "KMSInvalidState",
            "KmsInvalidState",
            "KMS.InvalidState",
            "InvalidKeyUsage",
            "OptInRequired",
            "OptinRequired",
            "TypeNotSupported",
        ],
    ),
    (
        Meaning::Conflict,
        &[
            "NotReady",
            "SnapStart",
            "Pending",
            "Conflict",
            "Collision",
            "ConcurrentModification",
            "InUse",
        ],
    ),
];

/// Returns the meaning of an AWS service's error code and status. In an answer that lists entries, an entry
/// has no status of its own.
#[must_use]
pub fn of_aws(code: &str, status: Option<u16>) -> Meaning {
    let by_code = AWS_CODES.iter().find(|(_, parts)| parts.iter().any(|part| code.contains(part)));
    match (by_code, status) {
        (Some((meaning, _)), _) => *meaning,
        (None, Some(502 | 504)) => Meaning::Unavailable,
        (None, Some(400) | None) if code.contains("Internal") || code.contains("Unavailable") => {
            Meaning::Unavailable
        }
        (None, Some(status)) => of_http_target(status),
        (None, None) => Meaning::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_of_an_http_target_has_one_meaning() {
        for (meaning, statuses) in [
            (Meaning::RateLimited, &[429][..]),
            (Meaning::Unavailable, &[100, 408, 425, 500, 503, 506, 508, 520, 599, 600, 999]),
            (Meaning::AnswerLost, &[502, 504]),
            (Meaning::Credentials, &[401, 403]),
            (
                Meaning::Misconfigured,
                &[
                    301, 302, 303, 304, 307, 308, 404, 405, 407, 410, 411, 414, 415, 421, 426, 431,
                    501, 505,
                ],
            ),
            (Meaning::Conflict, &[409]),
            (Meaning::Refused, &[400, 402, 406, 412, 413, 416, 422, 423, 428, 451, 499]),
        ] {
            for status in statuses {
                assert_eq!(of_http_target(*status), meaning, "{status}");
            }
        }
    }

    #[test]
    fn status_of_genesys_depends_on_its_error_body() {
        for (status, with_body, without) in [
            (404, Meaning::Missing, Meaning::Misconfigured),
            (405, Meaning::Refused, Meaning::Misconfigured),
            (410, Meaning::Refused, Meaning::Misconfigured),
            (400, Meaning::Refused, Meaning::Refused),
            (413, Meaning::Refused, Meaning::Refused),
            (422, Meaning::Refused, Meaning::Refused),
            (409, Meaning::Conflict, Meaning::Conflict),
            (412, Meaning::Conflict, Meaning::Conflict),
            (423, Meaning::Conflict, Meaning::Conflict),
            (302, Meaning::Credentials, Meaning::Credentials),
            (401, Meaning::Credentials, Meaning::Credentials),
            (403, Meaning::Credentials, Meaning::Credentials),
            (429, Meaning::RateLimited, Meaning::RateLimited),
            (408, Meaning::Unavailable, Meaning::Unavailable),
            (501, Meaning::Unavailable, Meaning::Unavailable),
            (504, Meaning::Unavailable, Meaning::Unavailable),
            (799, Meaning::Unavailable, Meaning::Unavailable),
        ] {
            assert_eq!(of_genesys(status, true), with_body, "{status}");
            assert_eq!(of_genesys(status, false), without, "{status}");
        }
    }

    #[test]
    fn code_of_an_aws_service_decides_before_its_status() {
        for (meaning, answers) in [
            (
                Meaning::RateLimited,
                &[
                    ("ThrottlingException", Some(400)),
                    ("TooManyRequestsException", Some(429)),
                    ("RequestThrottled", Some(403)),
                    ("KmsThrottled", None),
                    ("ExecutionLimitExceeded", Some(400)),
                ][..],
            ),
            (
                Meaning::Credentials,
                &[
                    ("AccessDeniedException", Some(400)),
                    ("KMSAccessDeniedException", Some(502)),
                    ("ExpiredTokenException", Some(400)),
                    ("InvalidSignatureException", Some(400)),
                    ("RequestExpired", Some(400)),
                    ("KMS.AccessDeniedException", Some(400)),
                    ("Whatever", Some(403)),
                ],
            ),
            (
                Meaning::Misconfigured,
                &[
                    ("ResourceNotFoundException", Some(404)),
                    ("QueueDoesNotExist", Some(400)),
                    ("AWS.SimpleQueueService.NonExistentQueue", Some(400)),
                    ("NotFound", Some(404)),
                    ("StateMachineDoesNotExist", Some(400)),
                    ("StateMachineDeleting", Some(400)),
                    ("KMSDisabledException", Some(502)),
                    ("KMSNotFoundException", Some(502)),
                    ("KMSInvalidStateException", Some(502)),
                    ("KMSOptInRequired", Some(403)),
                    ("KMS.InvalidStateException", Some(400)),
                    ("KMS.DisabledException", Some(400)),
                    ("KMS.InvalidKeyUsageException", Some(400)),
                    ("KMS.NotFoundException", Some(400)),
                    ("NoPublishedVersionException", Some(400)),
                    ("InvalidAddress", Some(404)),
                    ("InvalidArn", Some(400)),
                    ("Whatever", Some(404)),
                    ("Whatever", Some(301)),
                ],
            ),
            (
                Meaning::Conflict,
                &[
                    ("CodeArtifactUserPendingException", Some(409)),
                    ("SnapStartNotReadyException", Some(409)),
                    ("SnapStartException", Some(400)),
                    ("ResourceConflictException", Some(409)),
                    ("ResourceNotReadyException", Some(502)),
                    ("ConcurrentModificationException", Some(400)),
                    ("Whatever", Some(409)),
                ],
            ),
            (
                Meaning::Unavailable,
                &[
                    ("ServiceException", Some(500)),
                    ("EC2UnexpectedException", Some(502)),
                    ("Whatever", Some(504)),
                    ("InternalFailure", None),
                    ("ServiceUnavailable", Some(503)),
                ],
            ),
            (
                Meaning::Refused,
                &[
                    ("InvalidRequestContentException", Some(400)),
                    ("RequestTooLargeException", Some(413)),
                    ("MalformedDetail", None),
                    ("InvalidMessageContents", Some(400)),
                ],
            ),
        ] {
            for (code, status) in answers {
                assert_eq!(of_aws(code, *status), meaning, "{code} {status:?}");
            }
        }
    }
}
