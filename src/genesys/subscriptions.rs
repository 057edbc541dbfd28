//! Whether a subscription is active: the tutorials' event streams, and the real API's integrations.

use std::future::Future;

use reqwest::Method;
use serde::Deserialize;

use super::answer::{below, unreadable};
use super::body::object;
use super::client::GenesysClient;
use super::{Call, GenesysError};
use crate::dead_letter::InteractionId;

/// What a subscription is to Genesys Cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionForm {
    /// The tutorials' `/api/v2/eventstreams/subscriptions/{id}`, which has a `status`.
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

/// The subscriptions of one organisation.
pub struct GenesysSubscriptions {
    client: GenesysClient,
    form: SubscriptionForm,
}

#[derive(Deserialize)]
struct EventStream {
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Integration {
    reported_state: ReportedState,
}

#[derive(Deserialize)]
struct ReportedState {
    code: String,
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

    const fn path(self) -> &'static [&'static str] {
        match self {
            Self::EventStreams => &["api", "v2", "eventstreams", "subscriptions"],
            Self::Integration => &["api", "v2", "integrations"],
        }
    }

    /// Reads the body of a success; `None` when it is something else.
    fn standing(self, body: &[u8]) -> Option<Standing> {
        let word = match self {
            Self::EventStreams => object::<EventStream>(body)?.status,
            Self::Integration => object::<Integration>(body)?.reported_state.code,
        };
        Some(if word.eq_ignore_ascii_case("active") {
            Standing::Active
        } else {
            Standing::Inactive
        })
    }
}

impl GenesysSubscriptions {
    /// Asks through this client.
    #[must_use]
    pub const fn new(client: GenesysClient, form: SubscriptionForm) -> Self {
        Self { client, form }
    }

    /// Does at start-up what the first call would otherwise wait for.
    pub async fn prepare(&self) {
        self.client.prepare().await;
    }
}

impl Subscriptions for GenesysSubscriptions {
    async fn standing(&self, id: &InteractionId) -> Result<Standing, GenesysError> {
        let mut path = self.form.path().to_vec();
        path.push(id.as_str());
        let url = below(self.client.api_base(), &path);
        let call = Call::Subscription;
        match self.client.call(call, Method::GET, url, None).await {
            Ok(body) => self.form.standing(&body).ok_or(unreadable(call)),
            // What cannot be the id of one is not known either.
            Err(GenesysError::NotFound | GenesysError::Refused { .. }) => Ok(Standing::Unknown),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_it_is_active_is() {
        use SubscriptionForm::{EventStreams, Integration};
        for (form, body, expected) in [
            (
                EventStreams,
                r#"{"status":"ACTIVE"}"#,
                Some(Standing::Active),
            ),
            (
                EventStreams,
                r#"{"status":"active"}"#,
                Some(Standing::Active),
            ),
            (
                EventStreams,
                r#"{"status":"DISABLED"}"#,
                Some(Standing::Inactive),
            ),
            (EventStreams, r#"{"status":""}"#, Some(Standing::Inactive)),
            (EventStreams, r#"{"reportedState":{"code":"ACTIVE"}}"#, None),
            (EventStreams, "", None),
            (
                Integration,
                r#"{"reportedState":{"code":"ACTIVE"}}"#,
                Some(Standing::Active),
            ),
            (
                Integration,
                r#"{"reportedState":{"code":"ERROR"}}"#,
                Some(Standing::Inactive),
            ),
            (Integration, r#"{"intendedState":"ENABLED"}"#, None),
            (Integration, r#"{"status":"ACTIVE"}"#, None),
            (Integration, r#"[{"code":"ACTIVE"}]"#, None),
        ] {
            assert_eq!(form.standing(body.as_bytes()), expected, "{body}");
        }
    }
}
