//! Why a request is not accepted.

use std::time::Duration;

use genesys_replay::dead_letter::WrapperFault;
use genesys_replay::error::with_causes;
use genesys_replay::failure::{Disposition, RefusalCode};
use genesys_replay::genesys::{GenesysError, Standing};
use genesys_replay::queue::PutError;

use super::keys::{KeysError, VerifyError};
use super::signature::AuthenticationError;

/// What a sender waits where nothing says how long.
const RETRY_AFTER_SHORT: Duration = Duration::from_secs(5);

/// What a sender waits where a person has to repair something first.
const RETRY_AFTER_LONG: Duration = Duration::from_secs(60);

/// Why a request is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody vouches for its sender.
    #[error(transparent)]
    NotAuthenticated(#[from] AuthenticationError),
    /// The subscription is unknown or inactive.
    #[error("the subscription is {}", match .0 { Standing::Inactive => "not active", Standing::Active | Standing::Unknown => "unknown" })]
    SubscriptionRefused(Standing),
    /// There is nothing at that path.
    #[error("there is nothing here: POST /dead-letter or /webhooks/genesys-outbound")]
    NotFound,
    /// The path takes another method.
    #[error("this path takes {allowed} only")]
    Method {
        /// The one it takes.
        allowed: &'static str,
    },
    /// The body did not arrive in time, or not whole.
    #[error("the body did not arrive whole and in time")]
    BodyIncomplete,
    /// The body is longer than what is taken.
    #[error("the body is longer than {most} bytes")]
    BodyTooLarge {
        /// The most that is taken, in bytes.
        most: usize,
    },
    /// The message that it would make is longer than what the queue takes.
    #[error(
        "the body is too long for the queue: a message ends at 1048576 bytes with its attributes, in older queues sooner"
    )]
    MessageTooLong,
    /// The body does not say that it is JSON.
    #[error("the body must be JSON, plain, with Content-Type: application/json")]
    MediaType,
    /// The body is not the wrapper of a dead letter.
    #[error(transparent)]
    BodyMalformed(WrapperFault),
    /// The body is a dead letter, sent where webhooks are.
    #[error("this is a dead letter: send it to /dead-letter")]
    WrongPath,
    /// The body has characters that no queue takes.
    #[error(
        "the body has characters that the queue does not take: escape control characters, U+FFFE and U+FFFF"
    )]
    NotQueueable,
    /// There is nothing in it.
    #[error("{0} is empty: there is nothing to deliver")]
    Empty(&'static str),
    /// The queue could not be written.
    #[error("the event could not be queued: send it again")]
    Queue(#[source] PutError),
    /// Genesys Cloud could not say whether the subscription is active.
    #[error("the subscription could not be looked up: send the event again")]
    Genesys(#[source] GenesysError),
    /// The secret that signatures are checked with could not be read.
    #[error("the signature could not be checked: send the event again")]
    Secret(#[source] KeysError),
    /// There is no room for another body now.
    #[error("too many bodies at once: send the event again")]
    Busy,
    /// A fault in this program.
    #[error("the request met a fault in this program: send it again")]
    Internal,
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
    /// The stable name of the refusal.
    #[must_use]
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::NotAuthenticated(_) => RefusalCode::NotAuthenticated,
            Self::SubscriptionRefused(_) => RefusalCode::SubscriptionRefused,
            Self::NotFound => RefusalCode::NotFound,
            Self::Method { .. } => RefusalCode::Method,
            Self::BodyIncomplete => RefusalCode::BodyIncomplete,
            Self::BodyTooLarge { .. } | Self::MessageTooLong => RefusalCode::BodyTooLarge,
            Self::MediaType => RefusalCode::MediaType,
            Self::BodyMalformed(_) | Self::WrongPath | Self::NotQueueable => {
                RefusalCode::BodyMalformed
            }
            Self::Empty(_) => RefusalCode::EventEmpty,
            Self::Queue(_) => RefusalCode::QueueUnavailable,
            Self::Genesys(_) => RefusalCode::GenesysUnavailable,
            Self::Secret(_) => RefusalCode::SecretUnavailable,
            Self::Busy => RefusalCode::Busy,
            Self::Internal => RefusalCode::Internal,
        }
    }

    /// How long the sender should wait before it sends the same again; `None` where that changes
    /// nothing.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Genesys(error) => Some(match error.disposition() {
                Disposition::Transient { after } => after.unwrap_or(RETRY_AFTER_SHORT),
                Disposition::Operator | Disposition::Permanent => RETRY_AFTER_LONG,
            }),
            Self::Queue(_) | Self::Secret(_) | Self::Busy | Self::Internal => {
                Some(RETRY_AFTER_SHORT)
            }
            Self::NotAuthenticated(_)
            | Self::SubscriptionRefused(_)
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

    /// What happened, for us: with the causes that a sender is not told.
    #[must_use]
    pub fn reason(&self) -> String {
        with_causes(self)
    }
}
