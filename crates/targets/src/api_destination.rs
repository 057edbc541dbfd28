//! Delivers to an API destination as `EventBridge` does: with its endpoint, its connection, and the parameters of the rule.

pub mod connection;
mod description;
pub mod oauth;
mod pace;
mod request;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genesys_replay::clock::Clock;
use genesys_replay::destination::Arn;
use genesys_replay::failure::{Disposition, FailureCode};
use genesys_replay::target::{Delivery, DeliveryError};
use lru::LruCache;

use crate::aws::AwsTargets;
use crate::http::HttpSender;
use crate::parameters::EventValues;
use crate::refreshed::{DESCRIPTION_TTL, Loaded, Refreshed};
use crate::rule::TargetParameters;
use connection::{ConnectionAuth, PlainHttp};
use description::ApiDestination;
use oauth::{Client, Token, TokenCache};
use pace::RequestPace;

/// The maximum number of API destinations whose descriptions are cached.
const MAX_API_DESTINATIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// The adapter for API destinations.
pub struct ApiDestinations {
    sender: HttpSender,
    /// The longest delay inside a delivery that keeps to the rate limit.
    max_wait: Duration,
    plain_http: PlainHttp,
    known: Mutex<LruCache<String, Arc<Known>>>,
    clock: Arc<dyn Clock>,
}

/// An API destination as far as this execution environment knows it.
struct Known {
    described: Refreshed<ApiDestination>,
    tokens: TokenCache,
    pace: RequestPace,
}

impl ApiDestinations {
    /// Creates an adapter. A delivery waits at most `max_wait` for the rate limit of its API destination. Tokens
    /// are requested over plain HTTP as far as `plain_http` allows it.
    #[must_use]
    pub fn new(
        sender: HttpSender,
        max_wait: Duration,
        plain_http: PlainHttp,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            sender,
            max_wait,
            plain_http,
            known: Mutex::new(LruCache::new(MAX_API_DESTINATIONS)),
            clock,
        }
    }

    /// Delivers one event.
    ///
    /// # Errors
    /// The errors of [`Target::deliver`](genesys_replay::target::Target::deliver).
    pub(crate) async fn deliver(
        &self,
        aws: &AwsTargets,
        arn: &Arn,
        parameters: &TargetParameters,
        delivery: &Delivery<'_>,
    ) -> Result<(), DeliveryError> {
        let known = self.known(arn);
        let load = || Box::pin(description::load(aws, arn, self.plain_http));
        let described = known.described.get(load()).await?;
        self.wait_for_turn(&known, &described.value).await?;
        let (answer, token) = self.attempt(&known, &described, parameters, delivery, None).await;
        let error = match answer {
            Err(error) if error.code == FailureCode::TargetCredentials => error,
            answer => return answer,
        };
        delivery.progress.preparing();
        // The refusal proves that the target did not act, so another request with other credentials does no harm.
        let newer = known.described.newer(&described, load()).await;
        if newer.is_none() && token.is_none() {
            return Err(error);
        }
        tracing::info!(target = %arn.as_str(), "credentials refused, connection or token is renewed");
        let current = newer.as_ref().unwrap_or(&described);
        self.attempt(&known, current, parameters, delivery, token.as_ref()).await.0
    }

    /// Makes one request. Returns the answer of the target, and the token that was used. `refused` is a token that the
    /// target did not accept.
    async fn attempt(
        &self,
        known: &Known,
        described: &Loaded<ApiDestination>,
        parameters: &TargetParameters,
        delivery: &Delivery<'_>,
        refused: Option<&Token>,
    ) -> (Result<(), DeliveryError>, Option<Token>) {
        let ApiDestination { connection, .. } = described.value.as_ref();
        let token = match &connection.auth {
            ConnectionAuth::OAuth(oauth) => {
                let client = Client { oauth, connection: &described.digest };
                match known.tokens.get(&self.sender, client, refused).await {
                    Ok(token) => Some(token),
                    Err(error) => return (Err(error), None),
                }
            }
            ConnectionAuth::Basic { .. } | ConnectionAuth::ApiKey { .. } => None,
        };
        let event = EventValues::new(delivery.payload);
        let request = request::request(
            &described.value,
            parameters,
            delivery,
            token.as_ref().map(|token| &token.header),
            &event,
        );
        let answer = match request {
            Ok(request) => self.sender.deliver(request, delivery).await,
            Err(error) => Err(error),
        };
        (answer, token)
    }

    /// Waits until the rate limit of the API destination allows another request.
    async fn wait_for_turn(
        &self,
        known: &Known,
        described: &ApiDestination,
    ) -> Result<(), DeliveryError> {
        match known.pace.reserve(described.per_second, self.max_wait) {
            Ok(delay) if delay.is_zero() => Ok(()),
            Ok(delay) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Err(after) => Err(DeliveryError {
                disposition: Disposition::Transient { after: Some(after) },
                locally_throttled: true,
                ..DeliveryError::never(
                    FailureCode::TargetRateLimited,
                    format!(
                        "locally throttled to stay within the rate limit of the API destination, {} per second",
                        described.per_second
                    ),
                )
            }),
        }
    }

    fn known(&self, arn: &Arn) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Known {
                described: Refreshed::new(DESCRIPTION_TTL, Arc::clone(&self.clock)),
                tokens: TokenCache::default(),
                pace: RequestPace::default(),
            })
        };
        Arc::clone(known.get_or_insert(arn.as_str().to_owned(), new))
    }
}
