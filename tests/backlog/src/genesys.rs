//! Genesys Cloud with one rate limit for all environments, behind the real rate limiter of each environment.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use genesys_replay::clock::{Clock, Random, Timestamp};
use genesys_replay::dead_letter::InteractionRef;
use genesys_replay::genesys::{
    CALLS_PER_REPLAY, Call, Genesys, GenesysError, Interaction, RetryMark,
};
use genesys_replay_genesys::{RateLimitHeaders, RateLimiter};
use tokio::time::sleep;

use crate::time::{UPSTREAM_LATENCY, lock};

/// The window of the rate limit.
const WINDOW: Duration = Duration::from_secs(60);

/// Genesys Cloud's limit of calls in a window.
const CALLS_PER_WINDOW: u64 = 300;

/// The longest wait for the rate limiter, as set by `MAX_WAIT_SECONDS`.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// The server side, whose clones share the limit.
#[derive(Clone)]
pub(crate) struct GenesysServer {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    started: Timestamp,
}

#[derive(Default)]
struct State {
    window: u64,
    in_window: u64,
    calls: usize,
    refused: usize,
}

impl GenesysServer {
    pub(crate) fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { state: Arc::default(), started: clock.now(), clock, random }
    }

    /// Returns the number of calls, and the number of those that the rate limit refused.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.calls, state.refused)
    }

    /// Returns the headers of the answer, and the requested delay if the limit was reached.
    fn answer(&self) -> (RateLimitHeaders, Option<Duration>) {
        let passed = self.clock.now().since(self.started).as_secs();
        let window = passed / WINDOW.as_secs();
        let left = Duration::from_secs(WINDOW.as_secs() - passed % WINDOW.as_secs());
        let mut state = lock(&self.state);
        if window != state.window {
            (state.window, state.in_window) = (window, 0);
        }
        state.calls += 1;
        let is_refused = state.in_window >= CALLS_PER_WINDOW;
        if is_refused {
            state.refused += 1;
        } else {
            state.in_window += 1;
        }
        let headers = RateLimitHeaders::new(state.in_window, CALLS_PER_WINDOW, left);
        (headers, is_refused.then_some(left))
    }
}

/// The client of one environment.
pub(crate) struct GenesysClient {
    server: GenesysServer,
    rate_limiter: RateLimiter,
}

impl GenesysClient {
    pub(crate) fn new(server: GenesysServer) -> Self {
        Self { server, rate_limiter: RateLimiter::default() }
    }

    async fn call(&self, call: Call) -> Result<(), GenesysError> {
        let delay = self.rate_limiter.delay_of_reserved(self.server.clock.now(), MAX_WAIT);
        sleep(delay.map_err(|after| GenesysError::LocallyRateLimited { call, after })?).await;
        // Not always the same, because otherwise the environments would call in step.
        sleep(UPSTREAM_LATENCY.mul_f64(self.server.random.unit())).await;
        let (headers, after) = self.server.answer();
        sleep(UPSTREAM_LATENCY / 2).await;
        self.rate_limiter.observe(Some(headers), after, self.server.clock.now());
        match after {
            None => Ok(()),
            Some(_) => Err(GenesysError::RateLimited { call, after }),
        }
    }
}

impl Genesys for GenesysClient {
    async fn reserve_replay(&self, max_wait: Duration) -> Result<(), Duration> {
        let (now, max_wait) = (self.server.clock.now(), max_wait.min(MAX_WAIT));
        sleep(self.rate_limiter.reserve(CALLS_PER_REPLAY, now, max_wait)?).await;
        Ok(())
    }

    fn calls_per_minute(&self) -> u32 {
        self.rate_limiter.calls_per_minute()
    }

    async fn fetch(&self, interaction: &InteractionRef) -> Result<Interaction, GenesysError> {
        self.call(Call::Fetch).await?;
        Ok(Interaction::Record { id: interaction.id.clone() })
    }

    async fn mark(&self, _: &Interaction, _: RetryMark) -> Result<(), GenesysError> {
        self.call(Call::Mark).await
    }
}
