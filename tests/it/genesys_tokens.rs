//! Token requests, and the sharing, renewal and counting of tokens, against mockito.

use std::sync::Arc;

use futures_util::future::join_all;
use genesys_replay::genesys::{ApiForm, Call, Genesys, GenesysError};
use genesys_replay::meter::{CounterSnapshot, UpstreamCounters};
use genesys_test_support::TestResult;
use mockito::Server;

use crate::genesys_wire::{
    BODY, CONVERSATION, TOKEN, client, client_with, conversation, interaction, tokens,
};

#[tokio::test]
async fn token_is_fetched_with_basic_auth_and_used_for_every_call() -> TestResult {
    let mut server = Server::new_async().await;
    let token = server
        .mock("POST", "/oauth/token")
        .match_header("authorization", "Basic aWQ6c2VjcmV0")
        .match_header("content-type", "application/x-www-form-urlencoded")
        .match_body("grant_type=client_credentials")
        .with_body(TOKEN)
        .expect(1)
        .create_async()
        .await;
    let get = server
        .mock("GET", CONVERSATION)
        .match_header("authorization", "Bearer token-1")
        .with_body(BODY)
        .expect(20)
        .create_async()
        .await;
    let (client, interaction) = (client(&server, ApiForm::Conversations)?, interaction()?);

    let found = join_all((0..20).map(|_| client.fetch(&interaction))).await;

    for answer in found {
        assert_eq!(answer, Ok(conversation()?));
    }
    token.assert_async().await;
    get.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn counters_include_every_request_and_every_throttling() -> TestResult {
    let mut server = Server::new_async().await;
    let interaction = interaction()?;
    let meter = Arc::new(UpstreamCounters::default());
    let client = client_with(&server, ApiForm::Conversations, Arc::clone(&meter))?;

    let _throttled = server
        .mock("POST", "/oauth/token")
        .with_status(400)
        .with_body(r#"{"error":"invalid_request","description":"rate limit exceeded; try later"}"#)
        .create_async()
        .await;
    assert!(client.fetch(&interaction).await.is_err());
    let expected = CounterSnapshot {
        genesys_calls: 1,
        genesys_throttled: 1,
        token_fetches: 1,
        tokens_throttled: 1,
        ..CounterSnapshot::default()
    };
    assert_eq!(meter.take(), expected);

    server.reset();
    let _token = tokens(&mut server).await;
    let _limit = server.mock("GET", CONVERSATION).with_status(429).create_async().await;
    assert!(client.fetch(&interaction).await.is_err());
    let expected = CounterSnapshot {
        genesys_calls: 2,
        genesys_throttled: 1,
        token_fetches: 1,
        ..CounterSnapshot::default()
    };
    assert_eq!(meter.take(), expected);

    server.reset();
    let _down = server.mock("GET", CONVERSATION).with_status(503).create_async().await;
    assert!(client.fetch(&interaction).await.is_err());
    let expected = CounterSnapshot { genesys_calls: 1, ..CounterSnapshot::default() };
    assert_eq!(meter.take(), expected, "an outage is not throttling");
    Ok(())
}

#[tokio::test]
async fn concurrent_calls_share_a_refused_token_request() -> TestResult {
    let mut server = Server::new_async().await;
    let token = server
        .mock("POST", "/oauth/token")
        .with_status(400)
        .with_body(r#"{"error":"invalid_client","description":"client not found","error_description":"client not found"}"#)
        .expect(1)
        .create_async()
        .await;
    let (client, interaction) = (client(&server, ApiForm::Conversations)?, interaction()?);
    let answers = join_all((0..20).map(|_| client.fetch(&interaction))).await;
    let refused = GenesysError::Credentials {
        call: Call::Token,
        status: 400,
        code: Some("invalid_client".to_owned()),
    };
    assert!(refused.to_string().contains("wrong region or credentials?"));
    assert!(answers.into_iter().all(|answer| answer == Err(refused.clone())));
    token.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn token_is_renewed_before_use_when_about_to_expire() -> TestResult {
    let mut server = Server::new_async().await;
    let token = server
        .mock("POST", "/oauth/token")
        .with_body(r#"{"access_token":"brief","token_type":"bearer","expires_in":0}"#)
        .expect(2)
        .create_async()
        .await;
    server.mock("GET", CONVERSATION).with_body(BODY).create_async().await;
    let (client, interaction) = (client(&server, ApiForm::Conversations)?, interaction()?);
    client.fetch(&interaction).await?;
    client.fetch(&interaction).await?;
    token.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn token_is_renewed_once_when_refused() -> TestResult {
    let mut server = Server::new_async().await;
    let token = server.mock("POST", "/oauth/token").with_body(TOKEN).expect(2).create_async().await;
    let get = server.mock("GET", CONVERSATION).with_status(401).expect(2).create_async().await;
    let (client, interaction) = (client(&server, ApiForm::Conversations)?, interaction()?);
    let error = client.fetch(&interaction).await;
    assert!(
        matches!(error, Err(GenesysError::Credentials { call: Call::Fetch, status: 401, .. })),
        "{error:?}"
    );
    token.assert_async().await;
    get.assert_async().await;
    Ok(())
}
