//! OAuth tokens by client credentials, fetched once for all concurrent callers.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genesys_replay::cached::Cached;
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::genesys::{Call, Credentials, GenesysError};
use genesys_replay::meter::UpstreamCounters;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::answer::{join_path, unreadable_body};
use super::body::parse_object;
use super::credential_source::CredentialSource;
use super::exchange::send;
use super::http_pool::HttpPool;

/// A token is renewed this long before its expiry, so that it does not expire during a call.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

/// The source of tokens. It fetches a token if the current one is missing or about to expire.
///
/// Concurrent callers share one request: the others wait for its token or its error.
pub struct TokenSource {
    http: Arc<HttpPool>,
    url: Url,
    source: CredentialSource,
    clock: Arc<dyn Clock>,
    meter: Arc<UpstreamCounters>,
    token: Cached<Token, GenesysError>,
    /// The credentials of the last read. Locked during a read and during a token request.
    credentials: Mutex<Option<Credentials>>,
    /// The number of the next token.
    next_number: AtomicU64,
}

#[derive(Clone)]
pub(super) struct Token {
    secret: SecretString,
    number: u64,
    /// The time of renewal by the wall clock, because other clocks stop while the execution environment is
    /// frozen.
    renew_at: Timestamp,
}

impl Token {
    pub(super) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

/// A token from the token endpoint.
#[derive(Debug)]
pub struct Grant {
    /// The token.
    pub secret: SecretString,
    /// The lifetime of the token, from the time of the request.
    pub life: Duration,
}

impl Grant {
    /// Parses the body of the token endpoint's answer.
    ///
    /// # Errors
    /// [`GenesysError::Unavailable`] if the body contains no usable token.
    pub fn read(body: &[u8]) -> Result<Self, GenesysError> {
        let TokenAnswer { access_token, expires_in } =
            parse_object(body).ok_or(unreadable_body(Call::Token))?;
        // A token with characters that are illegal in a header would break every call until it expires.
        if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unreadable_body(Call::Token));
        }
        Ok(Self { secret: access_token.into(), life: Duration::from_secs(expires_in) })
    }
}

impl TokenSource {
    /// Creates a source that uses `{login_base}/oauth/token`.
    #[must_use]
    pub fn new(
        http: Arc<HttpPool>,
        login_base: &Url,
        source: CredentialSource,
        clock: Arc<dyn Clock>,
        meter: Arc<UpstreamCounters>,
    ) -> Self {
        Self {
            http,
            url: join_path(login_base, &["oauth", "token"]),
            source,
            clock,
            meter,
            token: Cached::default(),
            credentials: Mutex::default(),
            next_number: AtomicU64::new(0),
        }
    }

    /// Reads the credentials, so that the first batch does not have to. An error is only logged, because the
    /// first call reads them again.
    pub(super) async fn prepare(&self) {
        let mut known = self.credentials.lock().await;
        match self.source.read().await {
            Ok(credentials) => *known = Some(credentials),
            Err(error) => tracing::error!(
                setting = "GENESYS_SECRET_ID",
                %error,
                "secret not read, next attempt with the next token request"
            ),
        }
    }

    /// Returns a token that does not expire soon.
    pub(super) async fn get(&self) -> Result<Token, GenesysError> {
        self.get_other_than(None).await
    }

    /// Returns another token than `refused`, which the API did not accept.
    pub(super) async fn renew(&self, refused: &Token) -> Result<Token, GenesysError> {
        self.get_other_than(Some(refused.number)).await
    }

    async fn get_other_than(&self, refused: Option<u64>) -> Result<Token, GenesysError> {
        let usable =
            |token: &Token| Some(token.number) != refused && self.clock.now() < token.renew_at;
        let load = async {
            let fetched = self.fetch().await;
            if fetched.is_err() {
                // Another call with the earlier token would be refused again.
                self.token.clear();
            }
            fetched
        };
        self.token.get_or_load(usable, |_| false, load).await
    }

    /// Requests a token. If the credentials are refused, repeats the request once with credentials that
    /// replaced them.
    async fn fetch(&self) -> Result<Token, GenesysError> {
        let mut known = self.credentials.lock().await;
        let credentials = match known.take() {
            Some(credentials) => credentials,
            None => self.source.read().await.map_err(GenesysError::NoCredentials)?,
        };
        let answer = self.request(&credentials).await;
        let rotated = match &answer {
            Err(error) if error.is_invalid_client() => self.source.rotated(&credentials).await,
            Ok(_) | Err(_) => Ok(None),
        };
        match rotated {
            Ok(None) => {
                *known = Some(credentials);
                answer
            }
            Ok(Some(rotated)) => {
                tracing::info!("credentials refused, the secret has new credentials");
                let answer = self.request(&rotated).await;
                *known = Some(rotated);
                answer
            }
            // The refused credentials are dropped: the next fetch reads the secret first.
            Err(error) => Err(GenesysError::NoCredentials(error)),
        }
    }

    async fn request(&self, credentials: &Credentials) -> Result<Token, GenesysError> {
        let request = |http: &reqwest::Client| {
            http.post(self.url.clone())
                .basic_auth(&credentials.client_id, Some(credentials.client_secret.expose_secret()))
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body("grant_type=client_credentials")
        };
        let admit = || {
            self.meter.token_requested();
            ready(Ok(()))
        };
        let asked_at = self.clock.now();
        let answer = send(&self.http, Call::Token, self.clock.as_ref(), request, admit).await?;
        let body = answer.into_success_body().inspect_err(|error| {
            if error.is_throttling() {
                self.meter.token_throttled();
            }
        })?;
        let Grant { secret, life } = Grant::read(&body)?;
        tracing::debug!(expires_in_s = life.as_secs(), "token fetched");
        Ok(Token {
            secret,
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            renew_at: asked_at.plus(life.saturating_sub(EXPIRY_MARGIN).max(life / 2)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(token: &str) -> Result<String, GenesysError> {
        let body = serde_json::json!({ "access_token": token, "expires_in": 86_399 });
        let grant = Grant::read(body.to_string().as_bytes())?;
        Ok(grant.secret.expose_secret().to_owned())
    }

    #[test]
    fn token_is_refused_when_it_cannot_be_a_header() {
        let token = "b3BhcXVl-token_of.a/test+==";
        assert_eq!(granted(token).as_deref(), Ok(token));
        for token in ["", "two\nlines", "a b", "t\u{f6}ken"] {
            assert_eq!(granted(token), Err(unreadable_body(Call::Token)), "{token}");
        }
        let list = Grant::read(br#"["a-token",86399]"#);
        assert!(list.is_err(), "a list is not an answer");
    }
}
