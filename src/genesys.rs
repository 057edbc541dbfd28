//! Genesys Cloud: reads an interaction and writes its retry status.

mod credentials;
mod subscriptions;

use std::future::Future;
use std::time::Duration;

use crate::dead_letter::{InteractionId, InteractionRef};
use crate::failure::{Disposition, FailureCode};
pub use credentials::{Credentials, CredentialsError};
pub use subscriptions::{Standing, SubscriptionForm, Subscriptions};

/// The form of the Genesys Cloud API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiForm {
    /// The real API: conversations and their participants' attributes.
    Conversations,
    /// The legacy sample API: interactions with nested attributes.
    Interactions,
}

impl ApiForm {
    /// Returns the value of the setting `GENESYS_API`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conversations => "conversations",
            Self::Interactions => "interactions",
        }
    }
}

/// A fetched interaction, with the place of its mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interaction {
    /// A conversation: attributes belong to one of its participants.
    Conversation {
        /// The conversation.
        id: InteractionId,
        /// The participant that receives the mark.
        participant: InteractionId,
    },
    /// An interaction of the legacy sample API, with its own attributes.
    Record {
        /// The interaction.
        id: InteractionId,
    },
}

/// The state of a replay, as shown on the interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryStatus {
    /// An attempt has begun.
    Retrying,
    /// The target accepted the event.
    ReplaySuccessful,
    /// The event was rejected, because another attempt would fail the same way.
    ReplayFailed,
    /// The event was rejected, because its retries are exhausted.
    ExhaustedRetries,
}

impl RetryStatus {
    /// Returns the value of the attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrying => "retrying",
            Self::ReplaySuccessful => "replay_successful",
            Self::ReplayFailed => "replay_failed",
            Self::ExhaustedRetries => "exhausted_retries",
        }
    }
}

/// The content of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryMark {
    /// The number of the attempt, counted over all deliveries from 1.
    pub attempt: u32,
    /// The retry status.
    pub status: RetryStatus,
}

/// The reasons for a failed call to Genesys Cloud.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesysError {
    /// The interaction (or subscription) does not exist in Genesys Cloud.
    #[error("the interaction does not exist in Genesys Cloud")]
    NotFound,
    /// Genesys Cloud refused a call permanently.
    #[error("Genesys Cloud refused {call} with status {status}{}", named(code.as_deref()))]
    Refused {
        /// The refused call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// Genesys' own error code.
        code: Option<String>,
    },
    /// Another change of the interaction is in progress, or was made meanwhile.
    #[error("Genesys Cloud answered {call} with status {status}{}: the interaction is being changed", named(code.as_deref()))]
    Conflict {
        /// The refused call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// Genesys' own error code.
        code: Option<String>,
        /// The delay that Genesys Cloud asks for.
        after: Option<Duration>,
    },
    /// The client may not read or change this interaction, but may have access to others.
    #[error("Genesys Cloud refused {call} with status 403{}: a division or object that the client may not access?", named(code.as_deref()))]
    Forbidden {
        /// The refused call.
        call: Call,
        /// Genesys' own error code.
        code: Option<String>,
    },
    /// The rate limit of the client or of the token endpoint was reached.
    #[error("Genesys Cloud's rate limit was reached by {call}")]
    RateLimited {
        /// The refused call.
        call: Call,
        /// The delay that Genesys Cloud asks for.
        after: Option<Duration>,
    },
    /// The call was locally throttled, so that the rate limit is not reached.
    #[error("{call} was locally throttled to stay within Genesys Cloud's rate limit")]
    LocallyRateLimited {
        /// The throttled call.
        call: Call,
        /// The delay until the rate limiter allows the call.
        after: Duration,
    },
    /// Genesys Cloud is down, unreachable or too slow.
    #[error("Genesys Cloud did not serve {call}: {problem}")]
    Unavailable {
        /// The failed call.
        call: Call,
        /// The observed problem.
        problem: UnavailableCause,
        /// The delay that Genesys Cloud asks for.
        after: Option<Duration>,
    },
    /// The credentials, their permissions, or the region are wrong.
    #[error("Genesys Cloud refused {call} with status {status}{}: wrong region or credentials?", named(code.as_deref()))]
    Credentials {
        /// The refused call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// Genesys' own error code.
        code: Option<String>,
    },
    /// The function has no usable credentials.
    #[error("the secret of GENESYS_SECRET_ID cannot be used: {0}")]
    NoCredentials(CredentialsError),
}

fn named(code: Option<&str>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}

/// The calls to Genesys Cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The request for a token.
    Token,
    /// The GET of an interaction.
    Fetch,
    /// The PATCH of a mark.
    Mark,
    /// The GET of a subscription.
    Subscription,
    /// The GET of failed events.
    FailedEvents,
    /// The request to resend failed events.
    Reinject,
    /// The analytics query for conversations.
    Analytics,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token => "the token request",
            Self::Fetch => "the GET of the interaction",
            Self::Mark => "the PATCH of the interaction",
            Self::Subscription => "the GET of the subscription",
            Self::FailedEvents => "the GET of the failed events",
            Self::Reinject => "the POST of the replay",
            Self::Analytics => "the analytics query",
        })
    }
}

/// The problem of an upstream that did not serve a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnavailableCause {
    /// An error status.
    Status(u16),
    /// A connection could not be made.
    Unreachable,
    /// The answer did not arrive in time.
    Timeout,
    /// The connection broke before the answer was complete.
    Broken,
    /// The answer did not match the API.
    Unreadable,
}

impl std::fmt::Display for UnavailableCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Unreachable => f.write_str("it cannot be reached"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Broken => f.write_str("the connection broke"),
            Self::Unreadable => f.write_str("the answer cannot be read"),
        }
    }
}

impl GenesysError {
    /// Returns the condition for another attempt.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::NotFound | Self::Refused { .. } => Disposition::Permanent,
            Self::RateLimited { after, .. }
            | Self::Unavailable { after, .. }
            | Self::Conflict { after, .. } => Disposition::Transient { after: *after },
            Self::LocallyRateLimited { after, .. } => {
                Disposition::Transient { after: Some(*after) }
            }
            // An outage of Secrets Manager must not reject an event.
            Self::Credentials { .. } | Self::Forbidden { .. } | Self::NoCredentials(_) => {
                Disposition::Operator
            }
        }
    }

    /// Returns true if the error is about one object only: no circuit breaker counts it.
    #[must_use]
    pub const fn is_about_one_object(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Forbidden { .. })
    }

    /// Returns the stable failure code.
    #[must_use]
    pub const fn failure_code(&self) -> FailureCode {
        match self {
            Self::NotFound => FailureCode::InteractionNotFound,
            Self::Refused { .. } => FailureCode::GenesysRefused,
            Self::RateLimited { .. } | Self::LocallyRateLimited { .. } => {
                FailureCode::GenesysRateLimited
            }
            Self::Unavailable { .. } | Self::Conflict { .. } => FailureCode::GenesysUnavailable,
            Self::Credentials { .. } | Self::Forbidden { .. } | Self::NoCredentials(_) => {
                FailureCode::GenesysCredentials
            }
        }
    }

    /// Returns true if the credentials themselves were refused, not a missing permission.
    #[must_use]
    pub const fn is_invalid_client(&self) -> bool {
        matches!(self, Self::Credentials { call: Call::Token, status: 400 | 401, .. })
    }

    /// Returns true if a rate limit of Genesys Cloud refused the call.
    #[must_use]
    pub const fn is_throttling(&self) -> bool {
        matches!(self, Self::RateLimited { .. })
    }
}

/// The number of calls of a replay: one GET and two calls of PATCH.
pub const CALLS_PER_REPLAY: u32 = 3;

/// The calls to Genesys Cloud that a replay makes.
///
/// Both calls are idempotent. Neither retries by itself, except once after the API refused the token, and once after an
/// idle connection broke.
pub trait Genesys: Send + Sync {
    /// Reserves [`CALLS_PER_REPLAY`] in the rate limit and waits until they may begin. They are reserved together, because
    /// a replay that cannot finish wastes its first calls. The wait is at most `max_wait`, and at most as long as the
    /// settings allow.
    ///
    /// # Errors
    /// The delay until the calls may begin, if it is longer; nothing is then reserved.
    fn reserve_replay(
        &self,
        max_wait: Duration,
    ) -> impl Future<Output = Result<(), Duration>> + Send;

    /// Returns the rate limit in calls per minute: of the last answer, or Genesys Cloud's usual limit.
    fn calls_per_minute(&self) -> u32;

    /// Reads an interaction and determines the place of its mark.
    ///
    /// # Errors
    /// [`GenesysError::NotFound`] if the interaction does not exist; otherwise the variant of the cause.
    fn fetch(
        &self,
        interaction: &InteractionRef,
    ) -> impl Future<Output = Result<Interaction, GenesysError>> + Send;

    /// Writes the state of a replay on an interaction, over an earlier state.
    ///
    /// # Errors
    /// If the answer was lost, the mark may have been written.
    fn mark(
        &self,
        interaction: &Interaction,
        mark: RetryMark,
    ) -> impl Future<Output = Result<(), GenesysError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::MARK_STATUSES;

    #[test]
    fn marks_are_recognised_by_every_written_status() {
        let written = [
            RetryStatus::Retrying,
            RetryStatus::ReplaySuccessful,
            RetryStatus::ReplayFailed,
            RetryStatus::ExhaustedRetries,
        ];
        assert_eq!(written.map(RetryStatus::as_str), MARK_STATUSES);
    }
}
