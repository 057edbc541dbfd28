//! The state of a subscription: event streams of the legacy sample API, and integrations of the real one.

use std::future::Future;

use super::GenesysError;
use crate::dead_letter::InteractionId;

/// The API resource of a subscription in Genesys Cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionForm {
    /// The legacy sample API's `/api/v2/eventstreams/subscriptions/{id}`, which has a `status`.
    EventStreams,
    /// The real API's `/api/v2/integrations/{id}`, which has a `reportedState`.
    Integration,
}

/// The state of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The subscription is active.
    Active,
    /// The subscription was disabled, or has an error.
    Inactive,
    /// The subscription does not exist in Genesys Cloud.
    Unknown,
}

/// The calls to Genesys Cloud that ingest makes.
pub trait Subscriptions: Send + Sync {
    /// Reads the state of a subscription; changes nothing.
    ///
    /// # Errors
    /// Genesys Cloud did not report the state; never [`GenesysError::NotFound`] nor
    /// [`GenesysError::Refused`].
    fn standing(
        &self,
        id: &InteractionId,
    ) -> impl Future<Output = Result<Standing, GenesysError>> + Send;
}

impl SubscriptionForm {
    /// Returns the value of the setting `SUBSCRIPTION_CHECK`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EventStreams => "eventstreams",
            Self::Integration => "integration",
        }
    }
}
