//! Tokens of OAuth connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay::cached::Cached;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::answers::{self, Meaning};
use genesys_replay::failure::{Certainty, Disposition};
use genesys_replay::target::DeliveryError;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::connection::OAuthClient;
use crate::http::HttpSender;
use crate::http::sender::{Answer, OutgoingRequest, answered};
use crate::http_parameters::{set_header, set_query};
use crate::refreshed::LoadError;

/// The maximum size of an answer with a token, in bytes.
const MAX_TOKEN_ANSWER_BYTES: usize = 64 * 1024;

/// The life of a token whose answer does not name it.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);

/// A token is renewed this long before its end, but is used for at least half of its life.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

/// A token, with the value of its header.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    number: u64,
    /// The digest of the connection that the token belongs to.
    connection: String,
    renew_at: Timestamp,
}

/// The token of one connection. Concurrent deliveries share one request.
#[derive(Default)]
pub(super) struct TokenCache {
    token: Cached<Token, LoadError>,
    next_number: AtomicU64,
}

/// A client with the digest of its connection.
#[derive(Clone, Copy)]
pub(super) struct Client<'c> {
    pub(super) oauth: &'c OAuthClient,
    pub(super) connection: &'c str,
}

impl TokenCache {
    /// Returns a token of the connection that is not `refused`.
    ///
    /// # Errors
    /// The token endpoint did not grant a token.
    pub(super) async fn get(
        &self,
        sender: &HttpSender,
        client: Client<'_>,
        refused: Option<&Token>,
    ) -> Result<Token, DeliveryError> {
        let refused = refused.map(|token| token.number);
        let is_usable = |token: &Token| {
            token.connection == client.connection
                && Some(token.number) != refused
                && sender.clock.now() < token.renew_at
        };
        let load = async { self.request(sender, client).await.map_err(LoadError::from) };
        Ok(self.token.get_or_load(is_usable, |_| false, load).await?)
    }

    async fn request(
        &self,
        sender: &HttpSender,
        client: Client<'_>,
    ) -> Result<Token, DeliveryError> {
        let asked_at = sender.clock.now();
        let mut answer = exchange(sender, client.oauth, CredentialPlace::Body).await?;
        if matches!(answer.status.as_u16(), 400 | 401) && is_invalid_client(&answer) {
            answer = exchange(sender, client.oauth, CredentialPlace::Header).await?;
        }
        if !answer.status.is_success() {
            return Err(refused(&answer));
        }
        let grant = TokenGrant::parse(&answer.body).ok_or_else(unreadable)?;
        Ok(Token {
            header: grant.header,
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            connection: client.connection.to_owned(),
            renew_at: asked_at.plus(grant.life.saturating_sub(EXPIRY_MARGIN).max(grant.life / 2)),
        })
    }
}

/// The place of the client's credentials in a request for a token. OAuth allows both; servers often support one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CredentialPlace {
    Body,
    Header,
}

async fn exchange(
    sender: &HttpSender,
    client: &OAuthClient,
    place: CredentialPlace,
) -> Result<Answer, DeliveryError> {
    let request = token_request(client, place)?;
    let answer = sender.exchange(request, MAX_TOKEN_ANSWER_BYTES).await;
    answer.map_err(|error| DeliveryError {
        // The event itself was not sent.
        certainty: Certainty::NotSent,
        reason: format!("the OAuth endpoint of the connection: {}", error.reason),
        ..error
    })
}

fn token_request(
    client: &OAuthClient,
    place: CredentialPlace,
) -> Result<OutgoingRequest, DeliveryError> {
    let malformed = || {
        DeliveryError::from(LoadError::misconfigured(
            "the connection has a malformed OAuth client".to_owned(),
        ))
    };
    let mut form = vec![("grant_type", "client_credentials")];
    let secret = client.client_secret.expose_secret();
    if place == CredentialPlace::Body {
        form.extend([("client_id", client.client_id.as_str()), ("client_secret", secret)]);
    }
    for (name, value) in client.parameters.body.pairs() {
        form.retain(|(other, _)| *other != name);
        form.push((name, value));
    }
    let mut request = OutgoingRequest {
        method: Method::from_bytes(client.method.as_bytes()).map_err(|_| malformed())?,
        url: client.endpoint.clone(),
        headers: HeaderMap::new(),
        body: String::new(),
    };
    if request.method == Method::GET {
        set_query(&mut request.url, form.into_iter());
    } else {
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers.insert(CONTENT_TYPE, form_type);
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        request.body = encoded.extend_pairs(form).finish();
    }
    for (name, value) in client.parameters.headers.pairs() {
        set_header(&mut request, name, value, true).map_err(|_| malformed())?;
    }
    set_query(&mut request.url, client.parameters.query.pairs().into_iter());
    if place == CredentialPlace::Header {
        let credentials = basic(&client.client_id, secret).ok_or_else(malformed)?;
        request.headers.insert(AUTHORIZATION, credentials);
    }
    Ok(request)
}

/// Returns the value of `Authorization` for a user and a password.
pub(super) fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A token from the token endpoint.
pub struct TokenGrant {
    header: HeaderValue,
    life: Duration,
}

impl TokenGrant {
    /// Returns the value of the header `Authorization`.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// Parses the body of an answer; `None` if it contains no usable token.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct GrantBody {
            access_token: SecretString,
            token_type: Option<String>,
            expires_in: Option<Seconds>,
        }
        /// Some servers quote the number.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Seconds {
            Number(f64),
            Text(String),
        }
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        first.filter(|byte| **byte == b'{')?;
        let GrantBody { access_token, token_type, expires_in } =
            serde_json::from_slice(body).ok()?;
        let token = access_token.expose_secret();
        let kind = token_type.as_deref().unwrap_or("Bearer");
        let kind = if kind.eq_ignore_ascii_case("bearer") { "Bearer" } else { kind };
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_graphic());
        if !is_word(token) || !is_word(kind) {
            return None;
        }
        let seconds = match expires_in {
            Some(Seconds::Number(seconds)) => Some(seconds),
            Some(Seconds::Text(text)) => text.parse().ok(),
            None => None,
        };
        let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let mut header = HeaderValue::try_from(format!("{kind} {token}")).ok()?;
        header.set_sensitive(true);
        Some(Self { header, life: life.unwrap_or(DEFAULT_LIFE) })
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Returns the error code in an answer, if it has the form of one.
fn error_code(answer: &Answer) -> Option<String> {
    let Refusal { error } = serde_json::from_slice(&answer.body).ok()?;
    let is_code = error.len() <= 64
        && error.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    is_code.then_some(error)
}

fn is_invalid_client(answer: &Answer) -> bool {
    // A server that reads the header only may not find a client at all.
    matches!(error_code(answer).as_deref(), Some("invalid_client" | "invalid_request"))
        || answer.status.as_u16() == 401
}

/// Returns the meaning of an answer without a token. A refusal is about the connection, never about the event.
fn refused(answer: &Answer) -> DeliveryError {
    let meaning = match answers::of_http_target(answer.status.as_u16()) {
        Meaning::Refused | Meaning::Conflict | Meaning::Missing | Meaning::Credentials => {
            Meaning::Credentials
        }
        Meaning::AnswerLost | Meaning::Unavailable => Meaning::Unavailable,
        meaning @ (Meaning::RateLimited | Meaning::Misconfigured) => meaning,
    };
    let code = error_code(answer).map(|code| format!(" ({code})")).unwrap_or_default();
    let error = answered("the OAuth endpoint of the connection", meaning, answer);
    DeliveryError {
        certainty: Certainty::NotSent,
        reason: format!("{}{code}", error.reason),
        ..error
    }
}

fn unreadable() -> DeliveryError {
    LoadError {
        code: genesys_replay::failure::FailureCode::TargetUnavailable,
        disposition: Disposition::Transient { after: None },
        reason: "the answer of the OAuth endpoint of the connection has no token".to_owned(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_has_a_header_and_a_life() {
        let read = |body: &str| {
            let grant = TokenGrant::parse(body.as_bytes())?;
            Some((grant.header.to_str().ok()?.to_owned(), grant.life.as_secs()))
        };
        let granted = |header: &str, life| Some((header.to_owned(), life));
        for (body, expected) in [
            (
                r#"{"access_token":"t","token_type":"bearer","expires_in":3600}"#,
                granted("Bearer t", 3_600),
            ),
            (r#"{"access_token":"t","expires_in":"60"}"#, granted("Bearer t", 60)),
            (r#" {"access_token":"t","token_type":"MAC"}"#, granted("MAC t", 300)),
            (r#"{"access_token":"t","expires_in":-1}"#, granted("Bearer t", 300)),
            (r#"{"access_token":"t","expires_in":1e300}"#, granted("Bearer t", 300)),
            (r#"{"access_token":""}"#, None),
            (r#"{"access_token":"a b"}"#, None),
            (r#"{"access_token":"t","token_type":"a b"}"#, None),
            (r#"["t","Bearer",60]"#, None),
            ("{}", None),
            ("", None),
        ] {
            assert_eq!(read(body), expected, "{body}");
        }
    }
}
