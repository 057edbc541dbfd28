//! The state of a subscription: event streams of the legacy sample API, and integrations of the real one.

use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::{Call, GenesysError, Standing, SubscriptionForm, Subscriptions};
use reqwest::Method;
use serde::Deserialize;

use super::answer::{join_path, unreadable_body};
use super::body::parse_object;
use super::client::GenesysClient;

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

const fn path(form: SubscriptionForm) -> &'static [&'static str] {
    match form {
        SubscriptionForm::EventStreams => &["api", "v2", "eventstreams", "subscriptions"],
        SubscriptionForm::Integration => &["api", "v2", "integrations"],
    }
}

/// Reads the body of a successful answer; returns `None` if it has another form.
fn standing(form: SubscriptionForm, body: &[u8]) -> Option<Standing> {
    let word = match form {
        SubscriptionForm::EventStreams => parse_object::<EventStream>(body)?.status,
        SubscriptionForm::Integration => parse_object::<Integration>(body)?.reported_state.code,
    };
    Some(if word.eq_ignore_ascii_case("active") { Standing::Active } else { Standing::Inactive })
}

impl GenesysSubscriptions {
    /// Creates an adapter that uses this client.
    #[must_use]
    pub const fn new(client: GenesysClient, form: SubscriptionForm) -> Self {
        Self { client, form }
    }

    /// Reads the credentials at start-up, so that the first call does not have to.
    pub async fn prepare(&self) {
        self.client.prepare().await;
    }
}

impl Subscriptions for GenesysSubscriptions {
    async fn standing(&self, id: &InteractionId) -> Result<Standing, GenesysError> {
        let mut path = path(self.form).to_vec();
        path.push(id.as_str());
        let url = join_path(self.client.api_base(), &path);
        let call = Call::Subscription;
        match self.client.call(call, Method::GET, url, None).await {
            Ok(body) => standing(self.form, &body).ok_or(unreadable_body(call)),
            // An id that the API refuses cannot be the id of a subscription.
            Err(GenesysError::NotFound | GenesysError::Refused { .. }) => Ok(Standing::Unknown),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscription_is_active_only_by_its_status() {
        use SubscriptionForm::{EventStreams, Integration};
        for (form, body, expected) in [
            (EventStreams, r#"{"status":"ACTIVE"}"#, Some(Standing::Active)),
            (EventStreams, r#"{"status":"active"}"#, Some(Standing::Active)),
            (EventStreams, r#"{"status":"DISABLED"}"#, Some(Standing::Inactive)),
            (EventStreams, r#"{"status":""}"#, Some(Standing::Inactive)),
            (EventStreams, r#"{"reportedState":{"code":"ACTIVE"}}"#, None),
            (EventStreams, "", None),
            (Integration, r#"{"reportedState":{"code":"ACTIVE"}}"#, Some(Standing::Active)),
            (Integration, r#"{"reportedState":{"code":"ERROR"}}"#, Some(Standing::Inactive)),
            (Integration, r#"{"intendedState":"ENABLED"}"#, None),
            (Integration, r#"{"status":"ACTIVE"}"#, None),
            (Integration, r#"[{"code":"ACTIVE"}]"#, None),
        ] {
            assert_eq!(standing(form, body.as_bytes()), expected, "{body}");
        }
    }
}
