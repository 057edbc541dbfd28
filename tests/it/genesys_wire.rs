//! The requests to Genesys Cloud and the interpretation of its responses, against mockito.

use std::sync::Arc;
use std::time::Duration;

use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay::connections::FreezeDetector;
use genesys_replay::dead_letter::{InteractionId, InteractionRef};
use genesys_replay::genesys::{
    ApiForm, Call, Credentials, Genesys, GenesysError, Interaction, RetryMark, RetryStatus,
    UnavailableCause,
};
use genesys_replay::meter::UpstreamCounters;
use genesys_replay_genesys::{CredentialSource, GenesysClient, TokenSource, http_pool};
use genesys_stand_in::EVENTUALLY_LIMIT;
use genesys_test_support::TestResult;
use mockito::{Matcher, Mock, Server, ServerGuard};
use url::Url;

pub(crate) const CONVERSATION: &str = "/api/v2/conversations/c-1";
const ATTRIBUTES: &str = "/api/v2/conversations/c-1/participants/p-1/attributes";
pub(crate) const TOKEN: &str =
    r#"{"access_token":"token-1","token_type":"bearer","expires_in":86400}"#;
pub(crate) const BODY: &str =
    r#"{"id":"c-1","participants":[{"id":"p-1","purpose":"customer","attributes":{}}]}"#;

pub(crate) fn client(
    server: &ServerGuard,
    form: ApiForm,
) -> Result<GenesysClient, Box<dyn std::error::Error>> {
    client_with(server, form, Arc::default())
}

pub(crate) fn client_with(
    server: &ServerGuard,
    form: ApiForm,
    meter: Arc<UpstreamCounters>,
) -> Result<GenesysClient, Box<dyn std::error::Error>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // The pool is not replaced during the test, also on a slow machine.
    let detector = FreezeDetector::new(Arc::clone(&clock), EVENTUALLY_LIMIT);
    let http = http_pool(EVENTUALLY_LIMIT, detector, |client| client)?;
    let base = Url::parse(&server.url())?;
    let credentials = Credentials { client_id: "id".to_owned(), client_secret: "secret".into() };
    let source = CredentialSource::Settings(credentials);
    let tokens =
        TokenSource::new(Arc::clone(&http), &base, source, Arc::clone(&clock), Arc::clone(&meter));
    Ok(GenesysClient::new(http, base, form, tokens, Duration::from_secs(2), clock, meter))
}

pub(crate) fn interaction() -> Result<InteractionRef, &'static str> {
    Ok(InteractionRef { id: InteractionId::new("c-1").ok_or("id")?, participant: None })
}

pub(crate) fn conversation() -> Result<Interaction, &'static str> {
    Ok(Interaction::Conversation {
        id: InteractionId::new("c-1").ok_or("id")?,
        participant: InteractionId::new("p-1").ok_or("id")?,
    })
}

const MARK: RetryMark = RetryMark { attempt: 3, status: RetryStatus::Retrying };

pub(crate) async fn tokens(server: &mut ServerGuard) -> Mock {
    server.mock("POST", "/oauth/token").with_body(TOKEN).create_async().await
}

#[tokio::test]
async fn mark_of_a_conversation_is_a_flat_map_of_strings() -> TestResult {
    let mut server = Server::new_async().await;
    tokens(&mut server).await;
    let patch = server
        .mock("PATCH", ATTRIBUTES)
        .match_header("content-type", "application/json")
        .match_header("user-agent", genesys_replay_version::USER_AGENT)
        .match_body(Matcher::JsonString(
            r#"{"attributes":{"system.retryAttempt":"3","system.retryStatus":"retrying"}}"#
                .to_owned(),
        ))
        .with_body("")
        .create_async()
        .await;
    client(&server, ApiForm::Conversations)?.mark(&conversation()?, MARK).await?;
    patch.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn mark_of_an_interaction_is_nested_with_a_numeric_attempt() -> TestResult {
    let mut server = Server::new_async().await;
    tokens(&mut server).await;
    let get = server
        .mock("GET", "/api/v2/interactions/c-1")
        .with_body(r#"{"id":"c-1","state":"completed"}"#)
        .create_async()
        .await;
    let patch = server
        .mock("PATCH", "/api/v2/interactions/c-1")
        .match_body(Matcher::JsonString(
            r#"{"attributes":{"system":{"retryAttempt":3,"retryStatus":"retrying"}}}"#.to_owned(),
        ))
        .with_body("{}")
        .create_async()
        .await;
    let client = client(&server, ApiForm::Interactions)?;
    let found = client.fetch(&interaction()?).await?;
    client.mark(&found, MARK).await?;
    get.assert_async().await;
    patch.assert_async().await;
    Ok(())
}

/// Checks the result of a GET of the conversation for each response, all with `Retry-After: 42`.
async fn assert_understood(answers: Vec<(usize, &str, GenesysError)>) -> TestResult {
    for (status, body, expected) in answers {
        let mut server = Server::new_async().await;
        tokens(&mut server).await;
        server
            .mock("GET", CONVERSATION)
            .with_status(status)
            .with_header("Retry-After", "42")
            .with_body(body)
            .create_async()
            .await;
        let client = client(&server, ApiForm::Conversations)?;
        assert_eq!(client.fetch(&interaction()?).await, Err(expected), "{status} {body}");
    }
    Ok(())
}

#[tokio::test]
async fn rate_limiter_makes_no_call_after_a_429() -> TestResult {
    let mut server = Server::new_async().await;
    tokens(&mut server).await;
    let get = server
        .mock("GET", CONVERSATION)
        .with_status(429)
        .with_header("Retry-After", "42")
        .expect(1)
        .create_async()
        .await;
    let (client, interaction) = (client(&server, ApiForm::Conversations)?, interaction()?);
    let first = client.fetch(&interaction).await;
    assert!(matches!(first, Err(GenesysError::RateLimited { .. })), "{first:?}");
    for _ in 0..5 {
        let answer = client.fetch(&interaction).await;
        assert!(
            matches!(answer, Err(GenesysError::LocallyRateLimited { call: Call::Fetch, .. })),
            "{answer:?}"
        );
    }
    get.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn rate_limiter_makes_no_call_with_a_long_delay() -> TestResult {
    let mut server = Server::new_async().await;
    tokens(&mut server).await;
    let get = server
        .mock("GET", CONVERSATION)
        .with_header("inin-ratelimit-count", "299")
        .with_header("inin-ratelimit-allowed", "300")
        .with_header("inin-ratelimit-reset", "3600")
        .with_body(BODY)
        .expect(2)
        .create_async()
        .await;
    let (client, interaction) = (client(&server, ApiForm::Conversations)?, interaction()?);
    client.reserve_replay(Duration::MAX).await.map_err(|_| "reserved before the first answer")?;
    client.fetch(&interaction).await?;
    // A replay that has begun goes on.
    client.fetch(&interaction).await?;
    let after =
        client.reserve_replay(Duration::MAX).await.err().ok_or("reserved near the limit")?;
    // Longer than the 2 s of the rate limiter's maximum delay. The rest depends on the machine.
    assert!(after > Duration::from_secs(2) && after <= Duration::from_secs(3_600), "{after:?}");
    get.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn response_status_determines_the_error() -> TestResult {
    let (call, after) = (Call::Fetch, Some(Duration::from_secs(42)));
    let down = |status| GenesysError::Unavailable {
        call,
        problem: UnavailableCause::Status(status),
        after,
    };
    let refused = |status, code: Option<&str>| {
        let code = code.map(str::to_owned);
        GenesysError::Refused { call, status, code }
    };
    let credentials = |status, code: Option<&str>| {
        let code = code.map(str::to_owned);
        GenesysError::Credentials { call, status, code }
    };
    let conflict = |status, code: Option<&str>| {
        let code = code.map(str::to_owned);
        GenesysError::Conflict { call, status, code, after }
    };
    assert_understood(vec![
        (404, r#"{"code":"not.found","status":404}"#, GenesysError::NotFound),
        (404, "{}", credentials(404, None)),
        (404, "<html>", credentials(404, None)),
        (405, "", credentials(405, None)),
        (
            403,
            r#"{"code":"missing.any.division.permissions","status":403}"#,
            GenesysError::Forbidden {
                call,
                code: Some("missing.any.division.permissions".to_owned()),
            },
        ),
        (429, "", GenesysError::RateLimited { call, after }),
        (500, "<html>", down(500)),
        (503, "", down(503)),
        (408, "", down(408)),
        (403, r#"{"code":"missing.permissions"}"#, credentials(403, Some("missing.permissions"))),
        (302, "", credentials(302, None)),
        (400, r#"{"code":"bad.request","status":400}"#, refused(400, Some("bad.request"))),
        (422, "no json", refused(422, None)),
        (409, "no json", conflict(409, None)),
        (409, r#"{"code":"conflict","status":409}"#, conflict(409, Some("conflict"))),
        (412, "", conflict(412, None)),
        (423, "", conflict(423, None)),
    ])
    .await
}

#[tokio::test]
async fn unreadable_success_response_is_an_outage() -> TestResult {
    let unreadable = GenesysError::Unavailable {
        call: Call::Fetch,
        problem: UnavailableCause::Unreadable,
        after: None,
    };
    let bodies =
        ["", "<html>captive portal</html>", r#"{"participants":[{"id":"#, r#"{"id":"c-1"}"#];
    assert_understood(bodies.map(|body| (200, body, unreadable.clone())).into()).await
}

#[tokio::test]
async fn token_rate_limit_differs_from_wrong_credentials() -> TestResult {
    let (call, after) = (Call::Token, Some(Duration::from_secs(42)));
    let credentials = |status, code: Option<&str>| GenesysError::Credentials {
        call,
        status,
        code: code.map(str::to_owned),
    };
    for (status, body, expected) in [
        (
            400,
            r#"{"error":"invalid_request","description":"rate limit exceeded; try again later"}"#,
            GenesysError::RateLimited { call, after },
        ),
        (
            400,
            r#"{"error":"invalid_request","error_description":"Rate limit exceeded; slow down"}"#,
            GenesysError::RateLimited { call, after },
        ),
        (429, "", GenesysError::RateLimited { call, after }),
        (400, r#"{"error":"invalid_client"}"#, credentials(400, Some("invalid_client"))),
        (401, "", credentials(401, None)),
        (404, "<html>", credentials(404, None)),
        (301, "", credentials(301, None)),
        (
            502,
            "",
            GenesysError::Unavailable { call, problem: UnavailableCause::Status(502), after },
        ),
        (
            200,
            "<html>",
            GenesysError::Unavailable { call, problem: UnavailableCause::Unreadable, after: None },
        ),
        (
            200,
            r#"{"access_token":"x"}"#,
            GenesysError::Unavailable { call, problem: UnavailableCause::Unreadable, after: None },
        ),
    ] {
        let mut server = Server::new_async().await;
        server
            .mock("POST", "/oauth/token")
            .with_status(status)
            .with_header("Retry-After", "42")
            .with_body(body)
            .create_async()
            .await;
        let client = client(&server, ApiForm::Conversations)?;
        assert_eq!(client.fetch(&interaction()?).await, Err(expected), "{status} {body}");
    }
    Ok(())
}

#[tokio::test]
async fn response_over_the_size_limit_is_unreadable() -> TestResult {
    let mut server = Server::new_async().await;
    tokens(&mut server).await;
    server.mock("GET", CONVERSATION).with_body("x".repeat(9 * 1024 * 1024)).create_async().await;
    let client = client(&server, ApiForm::Conversations)?;
    let answer = client.fetch(&interaction()?).await;
    assert!(
        matches!(
            answer,
            Err(GenesysError::Unavailable { problem: UnavailableCause::Unreadable, .. })
        ),
        "{answer:?}"
    );
    Ok(())
}
