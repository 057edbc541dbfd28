//! The client of Genesys Cloud's API, in both forms.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use url::Url;

use super::rate_limit::{Pace, Reading};
use super::{ApiForm, Call, Genesys, GenesysError, Interaction, Outage, RetryMark, TokenSource};
use super::{conversations, interactions};
use crate::clock::Clock;
use crate::dead_letter::InteractionRef;
use crate::meter::Meter;
use crate::retry_after;

/// The most of an answer that is read, in bytes. A conversation with hundreds of participants
/// stays far below it; an endless answer must not fill the memory.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// Genesys Cloud over HTTP.
pub struct GenesysClient {
    http: reqwest::Client,
    api_base: Url,
    form: ApiForm,
    tokens: TokenSource,
    pace: Pace,
    patience: Duration,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    reading: Option<Reading>,
    pub(super) body: Vec<u8>,
}

/// The error body of the API.
#[derive(Deserialize)]
struct ApiRefusal {
    code: Option<String>,
}

impl GenesysClient {
    /// Speaks to the API at `api_base` through a client that must not follow redirects and must
    /// have timeouts. A call waits for its turn as long as `patience`; one that would wait longer
    /// is held back.
    #[must_use]
    pub fn new(
        http: reqwest::Client,
        api_base: Url,
        form: ApiForm,
        tokens: TokenSource,
        patience: Duration,
        clock: Arc<dyn Clock>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            http,
            api_base,
            form,
            tokens,
            pace: Pace::default(),
            patience,
            clock,
            meter,
        }
    }

    /// Does at start-up what the first call would otherwise wait for.
    pub async fn prepare(&self) {
        self.tokens.prepare().await;
    }

    async fn wait_for_turn(&self, call: Call) -> Result<(), GenesysError> {
        let turn = self.pace.turn(self.clock.now(), self.patience);
        let wait = turn.map_err(|after| {
            self.meter.genesys_held_back();
            GenesysError::HeldBack { call, after }
        })?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// What an answer says of the rate limit holds for the calls of every record.
    fn learn(&self, answer: &Answer) {
        let now = self.clock.now();
        if let Some(reading) = answer.reading {
            self.pace.observe(reading, now);
        }
        if let (StatusCode::TOO_MANY_REQUESTS, Some(after)) = (answer.status, answer.retry_after) {
            self.pace.throttled(after, now);
        }
    }

    /// Makes a call; when the token is refused, once more with a new one.
    async fn call(
        &self,
        call: Call,
        method: Method,
        url: Url,
        body: Option<String>,
    ) -> Result<Vec<u8>, GenesysError> {
        let mut token = self.tokens.get().await?;
        let mut renewed = false;
        loop {
            let mut request = self
                .http
                .request(method.clone(), url.clone())
                .header(ACCEPT, "application/json")
                .bearer_auth(token.expose());
            if let Some(body) = &body {
                request = request
                    .header(CONTENT_TYPE, "application/json")
                    .body(body.clone());
            }
            self.wait_for_turn(call).await?;
            self.meter.genesys_called();
            let answer = send(request, call, self.clock.as_ref()).await?;
            self.learn(&answer);
            if answer.status.is_success() {
                return Ok(answer.body);
            }
            if answer.status == StatusCode::UNAUTHORIZED && !renewed {
                tracing::info!(%call, "token refused, asking for a new one");
                token = self.tokens.renew(&token).await?;
                renewed = true;
                continue;
            }
            return Err(refusal(call, &answer)).inspect_err(|error| {
                if error.is_throttling() {
                    self.meter.genesys_throttled();
                }
            });
        }
    }
}

impl Genesys for GenesysClient {
    async fn fetch(&self, interaction: &InteractionRef) -> Result<Interaction, GenesysError> {
        let url = match self.form {
            ApiForm::Conversations => conversations::fetch_url(&self.api_base, &interaction.id),
            ApiForm::Interactions => interactions::url(&self.api_base, &interaction.id),
        };
        let body = self.call(Call::Fetch, Method::GET, url, None).await?;
        match self.form {
            ApiForm::Conversations => conversations::read(&body, interaction),
            ApiForm::Interactions => interactions::read(&body, interaction),
        }
        .ok_or(GenesysError::Unavailable {
            call: Call::Fetch,
            problem: Outage::Unreadable,
            after: None,
        })
    }

    async fn mark(&self, interaction: &Interaction, mark: RetryMark) -> Result<(), GenesysError> {
        let (url, body) = match interaction {
            Interaction::Conversation { id, participant } => (
                conversations::mark_url(&self.api_base, id, participant),
                conversations::mark_body(mark),
            ),
            Interaction::Record { id } => (
                interactions::url(&self.api_base, id),
                interactions::mark_body(mark),
            ),
        };
        // The answer's body is empty in one form and the interaction in the other: not read.
        self.call(Call::Mark, Method::PATCH, url, Some(body))
            .await?;
        Ok(())
    }
}

/// The URL of a path below a base, each segment escaped.
pub(super) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Sends a request and reads the answer; a failure to get one is told apart by what was seen.
pub(super) async fn send(
    request: RequestBuilder,
    call: Call,
    clock: &dyn Clock,
) -> Result<Answer, GenesysError> {
    let outage = |problem| GenesysError::Unavailable {
        call,
        problem,
        after: None,
    };
    let not_answered = |error: &reqwest::Error| {
        outage(if error.is_timeout() {
            Outage::Timeout
        } else if error.is_connect() {
            Outage::Unreachable
        } else {
            Outage::Broken
        })
    };
    let mut response = request.send().await.map_err(|error| not_answered(&error))?;
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after::parse(value, clock.now()));
    let reading = Reading::of(response.headers());
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| not_answered(&error))?
    {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(outage(Outage::Unreadable));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status,
        retry_after,
        reading,
        body,
    })
}

/// What an answer of the API other than success means.
fn refusal(call: Call, answer: &Answer) -> GenesysError {
    let code = || {
        serde_json::from_slice::<ApiRefusal>(&answer.body)
            .ok()
            .and_then(|refusal| refusal.code)
    };
    let after = answer.retry_after;
    match answer.status.as_u16() {
        429 => GenesysError::RateLimited { call, after },
        status @ (408 | 425 | 500..=599) => GenesysError::Unavailable {
            call,
            problem: Outage::Status(status),
            after,
        },
        404 => GenesysError::NotFound,
        // A redirect leads to a login page or another region: ours to repair, like the others.
        status @ (300..=399 | 401 | 403) => GenesysError::Credentials {
            call,
            status,
            code: code(),
        },
        status => GenesysError::Refused {
            call,
            status,
            code: code(),
        },
    }
}
