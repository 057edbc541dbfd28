//! The state of a subscription: event streams of the legacy sample API, and integrations of the real one.

use std::future::Future;

use super::GenesysError;
use crate::dead_letter::InteractionId;

/// What a subscription is to Genesys Cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionForm {
    /// The legacy sample API's `/api/v2/eventstreams/subscriptions/{id}`, which has a `status`.
    EventStreams,
    /// The real API's `/api/v2/integrations/{id}`, which has a `reportedState`.
    Integration,
}

/// How a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its events are wanted.
    Active,
    /// Somebody has turned it off, or it is in trouble.
    Inactive,
    /// Genesys Cloud does not know it.
    Unknown,
}

/// Genesys Cloud, as far as ingest needs it.
pub trait Subscriptions: Send + Sync {
    /// Asks how a subscription stands; changes nothing.
    ///
    /// # Errors
    /// Genesys Cloud could not say; never [`GenesysError::NotFound`] nor [`GenesysError::Refused`].
    fn standing(
        &self,
        id: &InteractionId,
    ) -> impl Future<Output = Result<Standing, GenesysError>> + Send;
}

impl SubscriptionForm {
    /// The value of the setting `SUBSCRIPTION_CHECK`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EventStreams => "eventstreams",
            Self::Integration => "integration",
        }
    }
}
