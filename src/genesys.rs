//! Genesys Cloud: reading an interaction and marking the state of its replay.

mod credentials;
mod subscriptions;

use std::future::Future;
use std::time::Duration;

use crate::dead_letter::{InteractionId, InteractionRef};
use crate::failure::{Disposition, FailureCode};
pub use credentials::{Credentials, CredentialsError};
pub use subscriptions::{Standing, SubscriptionForm, Subscriptions};

/// Which of the two forms of the API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiForm {
    /// The real API: conversations and their participants' attributes.
    Conversations,
    /// The tutorials' API: interactions with nested attributes.
    Interactions,
}

impl ApiForm {
    /// The value of the setting `GENESYS_API`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conversations => "conversations",
            Self::Interactions => "interactions",
        }
    }
}

/// An interaction that was found, and where its mark goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interaction {
    /// A conversation: attributes belong to one of its participants.
    Conversation {
        /// The conversation.
        id: InteractionId,
        /// The participant who carries the mark.
        participant: InteractionId,
    },
    /// A tutorial's interaction, which has attributes of its own.
    Record {
        /// The interaction.
        id: InteractionId,
    },
}

/// How a replay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryStatus {
    /// An attempt has begun.
    Retrying,
    /// The target accepted the event.
    ReplaySuccessful,
    /// The event was given up: another attempt would fail the same way.
    ReplayFailed,
    /// The event was given up: every attempt was used up.
    ExhaustedRetries,
}

impl RetryStatus {
    /// The value of the attribute.
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

/// What is written on the interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryMark {
    /// The number of the attempt, counted over all deliveries from 1.
    pub attempt: u32,
    /// How it stands.
    pub status: RetryStatus,
}

/// Why a call to Genesys Cloud failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesysError {
    /// Genesys Cloud does not know the interaction (or subscription).
    #[error("Genesys Cloud does not know the interaction")]
    NotFound,
    /// A call was refused for a reason that does not go away.
    #[error("Genesys Cloud refused {call} with status {status}{}", named(code.as_deref()))]
    Refused {
        /// Which call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// Genesys' own error code.
        code: Option<String>,
    },
    /// Another change of the interaction is under way, or was made meanwhile.
    #[error("Genesys Cloud answered {call} with status {status}{}: the interaction is being changed", named(code.as_deref()))]
    Conflict {
        /// Which call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// Genesys' own error code.
        code: Option<String>,
        /// The wait that Genesys Cloud asks for.
        after: Option<Duration>,
    },
    /// The client may not see or change this interaction, and may others.
    #[error("Genesys Cloud refused {call} with status 403{}: a division or object that the client may not access?", named(code.as_deref()))]
    Forbidden {
        /// Which call.
        call: Call,
        /// Genesys' own error code.
        code: Option<String>,
    },
    /// The rate limit of the client or of the token endpoint was reached.
    #[error("Genesys Cloud's rate limit was reached by {call}")]
    RateLimited {
        /// Which call.
        call: Call,
        /// How long Genesys Cloud asks to wait.
        after: Option<Duration>,
    },
    /// A call was not made, so that the limit is not reached.
    #[error("{call} was held back to stay within Genesys Cloud's rate limit")]
    LocallyRateLimited {
        /// Which call.
        call: Call,
        /// How long until its turn.
        after: Duration,
    },
    /// Down, unreachable or too slow.
    #[error("Genesys Cloud did not serve {call}: {problem}")]
    Unavailable {
        /// Which call.
        call: Call,
        /// What was seen.
        problem: UnavailableCause,
        /// How long Genesys Cloud asks to wait.
        after: Option<Duration>,
    },
    /// The credentials, their permissions, or the region are wrong.
    #[error("Genesys Cloud refused {call} with status {status}{}: wrong region or credentials?", named(code.as_deref()))]
    Credentials {
        /// Which call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// Genesys' own error code.
        code: Option<String>,
    },
    /// We do not know who we are.
    #[error("the secret of GENESYS_SECRET_ID cannot be used: {0}")]
    NoCredentials(CredentialsError),
}

fn named(code: Option<&str>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}

/// The calls that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Asking for a token.
    Token,
    /// Reading an interaction.
    Fetch,
    /// Writing a mark.
    Mark,
    /// Reading a subscription.
    Subscription,
    /// Reading failed events.
    FailedEvents,
    /// Asking for failed events to be sent again.
    Reinject,
    /// Asking analytics for conversations.
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

/// How an upstream fails to serve a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnavailableCause {
    /// An error status.
    Status(u16),
    /// No connection could be made.
    Unreachable,
    /// No answer came in time.
    Timeout,
    /// The connection broke before the answer was whole.
    Broken,
    /// The answer was not what the API promises.
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
    /// What has to happen before another attempt.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::NotFound | Self::Refused { .. } => Disposition::Permanent,
            Self::RateLimited { after, .. }
            | Self::Unavailable { after, .. }
            | Self::Conflict { after, .. } => Disposition::Transient { after: *after },
            Self::LocallyRateLimited { after, .. } => Disposition::Transient {
                after: Some(*after),
            },
            // Secrets Manager being down is no reason to give an event up.
            Self::Credentials { .. } | Self::Forbidden { .. } | Self::NoCredentials(_) => {
                Disposition::Operator
            }
        }
    }

    /// Returns true if the error says nothing of other interactions: no circuit counts it.
    #[must_use]
    pub const fn is_about_one_object(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Forbidden { .. })
    }

    /// The stable name of the failure.
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

    /// Whether the credentials themselves were refused, not what they permit.
    #[must_use]
    pub const fn is_invalid_client(&self) -> bool {
        matches!(
            self,
            Self::Credentials {
                call: Call::Token,
                status: 400 | 401,
                ..
            }
        )
    }

    /// Whether a rate limit of Genesys Cloud refused the call.
    #[must_use]
    pub const fn is_throttling(&self) -> bool {
        matches!(self, Self::RateLimited { .. })
    }
}

/// Genesys Cloud, as far as a replay needs it.
///
/// Both calls are idempotent and neither retries by itself, except once after a token has expired.
pub trait Genesys: Send + Sync {
    /// Reads an interaction and finds out where its mark goes.
    ///
    /// # Errors
    /// [`GenesysError::NotFound`] when there is no such interaction; else what the cause asks for.
    fn fetch(
        &self,
        interaction: &InteractionRef,
    ) -> impl Future<Output = Result<Interaction, GenesysError>> + Send;

    /// Writes the state of a replay on an interaction, over an earlier one.
    ///
    /// # Errors
    /// The mark may have been written all the same when the answer was lost.
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
    fn events_are_searched_for_the_statuses_that_are_written() {
        let written = [
            RetryStatus::Retrying,
            RetryStatus::ReplaySuccessful,
            RetryStatus::ReplayFailed,
            RetryStatus::ExhaustedRetries,
        ];
        assert_eq!(written.map(RetryStatus::as_str), MARK_STATUSES);
    }
}
