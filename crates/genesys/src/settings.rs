//! The settings of a client, and the client from its settings.

use std::sync::Arc;
use std::time::Duration;

use genesys_replay::clock::Clock;
use genesys_replay::genesys::{ApiForm, Credentials};
use genesys_replay::meter::UpstreamCounters;
use reqwest::redirect;
use url::Url;

use crate::client::GenesysClient;
use crate::credential_source::{CredentialSource, ReadSecret};
use crate::token::TokenSource;

/// A connection that is not made by then will not be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How to reach Genesys Cloud.
#[derive(Clone, Debug)]
pub struct GenesysSettings {
    /// Which form of the API is spoken.
    pub form: ApiForm,
    /// The host of the API.
    pub api_base: Url,
    /// The host of the token endpoint.
    pub login_base: Url,
    /// The OAuth client, or where it is kept.
    pub credentials: CredentialSetting,
}

impl GenesysSettings {
    /// Returns the name or ARN of the secret with the OAuth client; `None` where the settings hold the client itself.
    #[must_use]
    pub fn secret_id(&self) -> Option<&str> {
        match &self.credentials {
            CredentialSetting::Secret(id) => Some(id),
            CredentialSetting::Given(_) => None,
        }
    }
}

/// Who we are to Genesys Cloud, as far as the settings say.
#[derive(Clone, Debug)]
pub enum CredentialSetting {
    /// The credentials themselves.
    Given(Credentials),
    /// The name or ARN of the secret that holds them.
    Secret(String),
}

/// The parts of a client beside its settings.
pub struct Parts {
    /// A client that must not follow redirects and must have timeouts.
    pub http: reqwest::Client,
    /// The longest time that a call waits for the local rate limiter.
    pub max_wait: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The counters of calls.
    pub meter: Arc<UpstreamCounters>,
}

/// The HTTP client cannot be built: no TLS roots were found.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built")]
pub struct BuildError(#[from] reqwest::Error);

/// Returns a builder of HTTP clients without redirects: one of the API means a wrong host, and one of a delivery
/// could lead anywhere. A request takes `within` at most.
pub fn http_client(within: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(within)
}

/// Builds a client; `secret` opens the secret with this name or ARN.
#[must_use]
pub fn client<S: ReadSecret + 'static>(
    settings: GenesysSettings,
    parts: Parts,
    secret: impl FnOnce(String) -> S,
) -> GenesysClient {
    let GenesysSettings {
        form,
        api_base,
        login_base,
        credentials,
    } = settings;
    let Parts {
        http,
        max_wait,
        clock,
        meter,
    } = parts;
    let source = match credentials {
        CredentialSetting::Given(credentials) => CredentialSource::Settings(credentials),
        CredentialSetting::Secret(id) => CredentialSource::Secret(Box::new(secret(id))),
    };
    let tokens = TokenSource::new(
        http.clone(),
        &login_base,
        source,
        Arc::clone(&clock),
        Arc::clone(&meter),
    );
    GenesysClient::new(http, api_base, form, tokens, max_wait, clock, meter)
}
