//! The settings of a client, and the client that is built from them.

use std::sync::Arc;
use std::time::Duration;

use genesys_replay::clock::Clock;
use genesys_replay::genesys::{ApiForm, Credentials};
use genesys_replay::meter::UpstreamCounters;
use url::Url;

use crate::client::GenesysClient;
use crate::credential_source::{CredentialSource, ReadSecret};
use crate::http_pool::HttpPool;
use crate::token::TokenSource;

/// The API, the hosts and the credentials of Genesys Cloud.
#[derive(Clone, Debug)]
pub struct GenesysSettings {
    /// The form of the API.
    pub form: ApiForm,
    /// The host of the API.
    pub api_base: Url,
    /// The host of the token endpoint.
    pub login_base: Url,
    /// The OAuth client, or its secret.
    pub credentials: CredentialSetting,
}

impl GenesysSettings {
    /// Returns the name or ARN of the secret with the OAuth client; `None` if the settings contain the client
    /// itself.
    #[must_use]
    pub fn secret_id(&self) -> Option<&str> {
        match &self.credentials {
            CredentialSetting::Secret(id) => Some(id),
            CredentialSetting::Given(_) => None,
        }
    }
}

/// The credentials of the OAuth client, as set.
#[derive(Clone, Debug)]
pub enum CredentialSetting {
    /// The credentials themselves.
    Given(Credentials),
    /// The name or ARN of the secret with the credentials.
    Secret(String),
}

/// The parts of a client that are not settings.
pub struct Parts {
    /// The connections.
    pub http: Arc<HttpPool>,
    /// The longest time that a call waits for the local rate limiter.
    pub max_wait: Duration,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// The counters of calls.
    pub meter: Arc<UpstreamCounters>,
}

/// Builds a client; `secret` returns the reader of the secret with this name or ARN.
#[must_use]
pub fn client<S: ReadSecret + 'static>(
    settings: GenesysSettings,
    parts: Parts,
    secret: impl FnOnce(String) -> S,
) -> GenesysClient {
    let GenesysSettings { form, api_base, login_base, credentials } = settings;
    let Parts { http, max_wait, clock, meter } = parts;
    let source = match credentials {
        CredentialSetting::Given(credentials) => CredentialSource::Settings(credentials),
        CredentialSetting::Secret(id) => CredentialSource::Secret(Box::new(secret(id))),
    };
    let tokens = TokenSource::new(
        Arc::clone(&http),
        &login_base,
        source,
        Arc::clone(&clock),
        Arc::clone(&meter),
    );
    GenesysClient::new(http, api_base, form, tokens, max_wait, clock, meter)
}
