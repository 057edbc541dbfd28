//! The reasons for refusing a request.

use std::time::Duration;

use genesys_replay::dead_letter::WrapperFault;
use genesys_replay::error::with_causes;
use genesys_replay::failure::{Disposition, RefusalCode};
use genesys_replay::genesys::{GenesysError, Standing};
use genesys_replay::queue::PutError;

use super::keys::{KeysError, VerifyError};
use super::signature::AuthenticationError;

/// The default retry-after.
const RETRY_AFTER_SHORT: Duration = Duration::from_secs(5);

/// The retry-after if an operator must repair something first.
const RETRY_AFTER_LONG: Duration = Duration::from_secs(60);

/// The reason for refusing a request.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request is not authenticated.
    #[error(transparent)]
    NotAuthenticated(#[from] AuthenticationError),
    /// The subscription is unknown or inactive.
    #[error("the subscription is {}", match .0 { Standing::Inactive => "not active", Standing::Active | Standing::Unknown => "unknown" })]
    SubscriptionRefused(Standing),
    /// The request is not HTTP. Only a Lambda function receives such requests, because it receives them as JSON.
    #[error(transparent)]
    RequestMalformed(RequestFault),
    /// The path does not exist.
    #[error("the path does not exist: use POST /dead-letter or POST /webhooks/genesys-outbound")]
    NotFound,
    /// The path accepts another method.
    #[error("the path accepts {allowed} only")]
    Method {
        /// The accepted method.
        allowed: &'static str,
    },
    /// The body did not arrive whole and in time.
    #[error("the body did not arrive completely and in time")]
    BodyIncomplete,
    /// The body is longer than the limit.
    #[error("the body is longer than {most} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        most: usize,
    },
    /// The message for the queue would be longer than the queue accepts.
    #[error(
        "the body is too long for the queue: a message with its attributes has at most 1048576 bytes, in older queues fewer"
    )]
    MessageTooLong,
    /// The request does not declare a plain JSON body.
    #[error("the body must be unencoded JSON with Content-Type: application/json")]
    MediaType,
    /// The body is not the wrapper of a dead letter.
    #[error(transparent)]
    BodyMalformed(WrapperFault),
    /// The body is a dead letter, but was sent to the path for webhooks.
    #[error("this is a dead letter: send it to /dead-letter")]
    WrongPath,
    /// The body has characters that a queue does not accept.
    #[error(
        "the body has characters that the queue does not accept: escape control characters, U+FFFE and U+FFFF"
    )]
    NotQueueable,
    /// The body, or the named part of it, is empty.
    #[error("{0} is empty: there is nothing to deliver")]
    Empty(&'static str),
    /// The queue could not be written.
    #[error("the event is not queued: send it again")]
    Queue(#[source] PutError),
    /// The queue's answer was lost.
    #[error(
        "it is not known if the event is queued: send it again, because a copy with the same webhook-id ends as a duplicate"
    )]
    QueueUnanswered(#[source] PutError),
    /// The time of the request ended, mostly because Genesys Cloud or the queue is slow.
    #[error(
        "the time of the request ended, and it is not known if the event is queued: send it again, because a copy with the same webhook-id ends as a duplicate"
    )]
    OutOfTime,
    /// Genesys Cloud did not report the status of the subscription.
    #[error("the subscription could not be looked up: send the event again")]
    Genesys(#[source] GenesysError),
    /// The secret for signatures could not be read.
    #[error("the signature could not be checked: send the event again")]
    Secret(#[source] KeysError),
    /// There is no buffer space for another body.
    #[error("too many concurrent bodies: send the event again")]
    Busy,
    /// A fault in this program.
    #[error("a fault in this program stopped the request: send the event again")]
    Internal,
}

/// The part of a request that is not HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// The event is not a request in payload format 2.0.
    #[error("the event is not a request in payload format 2.0 of a function URL or an HTTP API")]
    Event,
    /// The method is not a token.
    #[error("the method of the request is not valid")]
    Method,
    /// The path has characters that a URI does not allow, or is too long.
    #[error("the path of the request is not valid or too long")]
    Path,
    /// The query has characters that a URI does not allow, or is too long.
    #[error("the query of the request is not valid or too long")]
    Query,
    /// A header has characters that HTTP does not allow, or there are too many headers.
    #[error("a header of the request is not valid, or there are too many headers")]
    Header,
    /// The body is not the announced base64.
    #[error("the body of the request is not base64")]
    Base64,
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Authentication(fault) => Self::NotAuthenticated(fault),
            VerifyError::Unavailable(error) => Self::Secret(error),
        }
    }
}

impl From<WrapperFault> for Refusal {
    fn from(fault: WrapperFault) -> Self {
        match fault {
            WrapperFault::Empty => Self::Empty("originalEvent"),
            WrapperFault::NotAnObject { .. } | WrapperFault::Member { .. } => {
                Self::BodyMalformed(fault)
            }
        }
    }
}

impl Refusal {
    /// Returns the stable failure code of the refusal.
    #[must_use]
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::NotAuthenticated(_) => RefusalCode::NotAuthenticated,
            Self::SubscriptionRefused(_) => RefusalCode::SubscriptionRefused,
            Self::RequestMalformed(_) => RefusalCode::RequestMalformed,
            Self::NotFound => RefusalCode::NotFound,
            Self::Method { .. } => RefusalCode::Method,
            Self::BodyIncomplete => RefusalCode::BodyIncomplete,
            Self::BodyTooLarge { .. } | Self::MessageTooLong => RefusalCode::BodyTooLarge,
            Self::MediaType => RefusalCode::MediaType,
            Self::BodyMalformed(_) | Self::WrongPath | Self::NotQueueable => {
                RefusalCode::BodyMalformed
            }
            Self::Empty(_) => RefusalCode::EventEmpty,
            Self::Queue(_) | Self::QueueUnanswered(_) | Self::OutOfTime => {
                RefusalCode::QueueUnavailable
            }
            Self::Genesys(_) => RefusalCode::GenesysUnavailable,
            Self::Secret(_) => RefusalCode::SecretUnavailable,
            Self::Busy => RefusalCode::Busy,
            Self::Internal => RefusalCode::Internal,
        }
    }

    /// Returns the time after which the sender should retry; `None` if a retry does not help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Genesys(error) => Some(match error.disposition() {
                Disposition::Transient { after } => after.unwrap_or(RETRY_AFTER_SHORT),
                Disposition::Operator | Disposition::Permanent => RETRY_AFTER_LONG,
            }),
            Self::Queue(_)
            | Self::QueueUnanswered(_)
            | Self::OutOfTime
            | Self::Secret(_)
            | Self::Busy
            | Self::Internal => Some(RETRY_AFTER_SHORT),
            Self::NotAuthenticated(_)
            | Self::SubscriptionRefused(_)
            | Self::RequestMalformed(_)
            | Self::NotFound
            | Self::Method { .. }
            | Self::BodyIncomplete
            | Self::BodyTooLarge { .. }
            | Self::MessageTooLong
            | Self::MediaType
            | Self::BodyMalformed(_)
            | Self::WrongPath
            | Self::NotQueueable
            | Self::Empty(_) => None,
        }
    }

    /// Returns the reason for our log, with the causes that the answer omits.
    #[must_use]
    pub fn reason(&self) -> String {
        with_causes(self)
    }
}
