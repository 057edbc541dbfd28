//! The client of Genesys Cloud's API, in both forms.

use std::sync::Arc;
use std::time::Duration;

use genesys_replay::clock::Clock;
use genesys_replay::dead_letter::InteractionRef;
use genesys_replay::genesys::{
    ApiForm, CALLS_PER_REPLAY, Call, Genesys, GenesysError, Interaction, RetryMark,
};
use genesys_replay::meter::UpstreamCounters;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use url::Url;

use super::answer;
use super::exchange::send;
use super::http_pool::HttpPool;
use super::{RateLimiter, TokenSource, conversations, interactions};

/// Genesys Cloud over HTTP.
pub struct GenesysClient {
    http: Arc<HttpPool>,
    api_base: Url,
    form: ApiForm,
    tokens: TokenSource,
    rate_limiter: RateLimiter,
    max_wait: Duration,
    clock: Arc<dyn Clock>,
    meter: Arc<UpstreamCounters>,
}

impl GenesysClient {
    /// Creates a client of the API at `api_base`. A call waits at most `max_wait` for the rate limiter; a call with a
    /// longer delay is locally throttled.
    #[must_use]
    pub fn new(
        http: Arc<HttpPool>,
        api_base: Url,
        form: ApiForm,
        tokens: TokenSource,
        max_wait: Duration,
        clock: Arc<dyn Clock>,
        meter: Arc<UpstreamCounters>,
    ) -> Self {
        Self {
            http,
            api_base,
            form,
            tokens,
            rate_limiter: RateLimiter::default(),
            max_wait,
            clock,
            meter,
        }
    }

    /// Reads the credentials at start-up, so that the first call does not have to.
    pub async fn prepare(&self) {
        self.tokens.prepare().await;
    }

    /// Returns the form of the API.
    #[must_use]
    pub const fn form(&self) -> ApiForm {
        self.form
    }

    /// Returns the host of the API.
    #[must_use]
    pub const fn api_base(&self) -> &Url {
        &self.api_base
    }

    /// Waits for the rate limiter and counts the request that is sent then.
    async fn admit(&self, call: Call) -> Result<(), GenesysError> {
        let now = self.clock.now();
        let delay = match call {
            // The calls of a replay are reserved together.
            Call::Fetch | Call::Mark => self.rate_limiter.delay_of_reserved(now, self.max_wait),
            Call::Token
            | Call::Subscription
            | Call::FailedEvents
            | Call::Reinject
            | Call::Analytics => self.rate_limiter.reserve(1, now, self.max_wait),
        };
        let locally_limited = |after| GenesysError::LocallyRateLimited { call, after };
        self.wait(delay).await.map_err(locally_limited)?;
        self.meter.genesys_called();
        Ok(())
    }

    /// Waits for this delay of the rate limiter.
    ///
    /// # Errors
    /// The delay, if the limiter found it too long.
    async fn wait(&self, delay: Result<Duration, Duration>) -> Result<(), Duration> {
        match delay {
            Ok(delay) if delay.is_zero() => {}
            Ok(delay) => tokio::time::sleep(delay).await,
            Err(after) => {
                self.meter.genesys_held_back();
                return Err(after);
            }
        }
        Ok(())
    }

    /// Makes a call. If the API refuses the token, repeats the call once with a new token. If an idle connection
    /// breaks, and the repetition is harmless, repeats the request once on a new connection.
    ///
    /// # Errors
    /// The meaning of an unsuccessful answer.
    pub async fn call(
        &self,
        call: Call,
        method: Method,
        url: Url,
        body: Option<String>,
    ) -> Result<Vec<u8>, GenesysError> {
        let mut token = self.tokens.get().await?;
        let mut renewed = false;
        loop {
            let request = |http: &reqwest::Client| {
                let request = http
                    .request(method.clone(), url.clone())
                    .header(ACCEPT, "application/json")
                    .bearer_auth(token.expose());
                match &body {
                    Some(body) => {
                        request.header(CONTENT_TYPE, "application/json").body(body.clone())
                    }
                    None => request,
                }
            };
            let admit = || self.admit(call);
            let answer = send(&self.http, call, self.clock.as_ref(), request, admit).await?;
            // The answer's rate-limit headers apply to the calls of every record.
            self.rate_limiter.observe(answer.reading(), answer.throttled_for(), self.clock.now());
            if answer.status() == StatusCode::UNAUTHORIZED && !renewed {
                tracing::info!(%call, "token refused, new token requested");
                token = self.tokens.renew(&token).await?;
                renewed = true;
                continue;
            }
            return answer.into_success_body().inspect_err(|error| {
                if error.is_throttling() {
                    self.meter.genesys_throttled();
                }
            });
        }
    }
}

impl Genesys for GenesysClient {
    async fn reserve_replay(&self, max_wait: Duration) -> Result<(), Duration> {
        let max_wait = max_wait.min(self.max_wait);
        let delay = self.rate_limiter.reserve(CALLS_PER_REPLAY, self.clock.now(), max_wait);
        self.wait(delay).await
    }

    fn calls_per_minute(&self) -> u32 {
        self.rate_limiter.calls_per_minute()
    }

    async fn fetch(&self, interaction: &InteractionRef) -> Result<Interaction, GenesysError> {
        let url = match self.form {
            ApiForm::Conversations => conversations::fetch_url(&self.api_base, &interaction.id),
            ApiForm::Interactions => interactions::url(&self.api_base, &interaction.id),
        };
        let body = self.call(Call::Fetch, Method::GET, url, None).await?;
        self::interaction(self.form, &body, interaction)
    }

    async fn mark(&self, interaction: &Interaction, mark: RetryMark) -> Result<(), GenesysError> {
        let (url, body) = match interaction {
            Interaction::Conversation { id, participant } => (
                conversations::mark_url(&self.api_base, id, participant),
                conversations::mark_body(mark),
            ),
            Interaction::Record { id } => {
                (interactions::url(&self.api_base, id), interactions::mark_body(mark))
            }
        };
        // The answer's body is empty in one form and the interaction in the other; it is not read.
        self.call(Call::Mark, Method::PATCH, url, Some(body)).await?;
        Ok(())
    }
}

/// Reads the body of the answer to the GET of an interaction.
///
/// # Errors
/// [`GenesysError::Unavailable`] if the body is not an interaction, or if the interaction cannot be marked.
pub fn interaction(
    form: ApiForm,
    body: &[u8],
    wanted: &InteractionRef,
) -> Result<Interaction, GenesysError> {
    match form {
        ApiForm::Conversations => conversations::read(body, wanted),
        ApiForm::Interactions => interactions::read(body, wanted),
    }
    .ok_or(answer::unreadable_body(Call::Fetch))
}
