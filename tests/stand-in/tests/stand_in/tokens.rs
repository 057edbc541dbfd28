//! Token requests, and the use of tokens.

use std::time::Duration;

use genesys_stand_in::StandIn;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::advance;

use crate::client::{Client, Result};

const CONVERSATION: &str = "/api/v2/conversations/abc";

#[tokio::test]
async fn token_is_granted_for_the_configured_credentials() -> Result {
    let life = Duration::from_mins(5);
    let stand_in = StandIn::builder().expires_in(life).start().await?;
    let mut client = Client::anonymous(&stand_in.url())?;

    let reply = client.ask_for_token("demo-client", "demo-secret").await?;

    assert_eq!(reply.status, StatusCode::OK);
    let expected =
        json!({"access_token": "stand-in-token-1", "token_type": "bearer", "expires_in": 300});
    assert_eq!(reply.json()?, expected);
    client.log_in().await?;
    assert_eq!(client.get(CONVERSATION).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn token_is_refused_for_other_credentials() -> Result {
    let builder = StandIn::builder().client_id("me").client_secret("mine");
    let stand_in = builder.start().await?;
    let client = Client::anonymous(&stand_in.url())?;

    let wrong = client.ask_for_token("demo-client", "demo-secret").await?;

    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let error = wrong.json()?;
    assert_eq!(error["error"], "invalid_client");
    assert!(error["description"].is_string());
    assert_eq!(error["description"], error["error_description"]);
    assert_eq!(client.ask_for_token("me", "mine").await?.status, StatusCode::OK);
    let acted: Vec<_> = stand_in.calls().iter().map(|call| call.acted).collect();
    assert_eq!(acted, [false, true]);
    Ok(())
}

#[tokio::test]
async fn token_is_refused_for_another_grant_type() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::anonymous(&stand_in.url())?;

    // base64 of demo-client:demo-secret
    let authorization = "Basic ZGVtby1jbGllbnQ6ZGVtby1zZWNyZXQ=";
    let reply = client.post_form(authorization, "grant_type=password").await?;

    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.json()?["error"], "unsupported_grant_type");
    Ok(())
}

#[tokio::test]
async fn api_refuses_requests_without_a_token() -> Result {
    let stand_in = StandIn::builder().start().await?;

    let reply = Client::anonymous(&stand_in.url())?.get(CONVERSATION).await?;

    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let error = reply.json()?;
    assert_eq!(error["code"], "authentication.required");
    assert_eq!(error["status"], 401);
    assert_eq!(error["contextId"].as_str(), reply.header("ININ-Correlation-Id"));
    assert_eq!((&error["details"], &error["errors"]), (&json!([]), &json!([])));
    assert!(error["message"].is_string());
    Ok(())
}

#[tokio::test]
async fn revoked_token_is_refused_and_a_new_one_works() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let mut client = Client::logged_in(&stand_in).await?;

    stand_in.revoke_tokens();

    let reply = client.get(CONVERSATION).await?;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(reply.json()?["code"], "bad.credentials");
    client.log_in().await?;
    assert_eq!(client.get(CONVERSATION).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn token_expires_at_the_end_of_its_lifetime() -> Result {
    let life = Duration::from_mins(5);
    let stand_in = StandIn::builder().expires_in(life).start().await?;
    let client = Client::logged_in(&stand_in).await?;

    advance(life).await;

    assert_eq!(client.get(CONVERSATION).await?.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn token_rate_limit_lasts_one_minute() -> Result {
    let stand_in = StandIn::builder().rate_limit(2).start().await?;
    let client = Client::logged_in(&stand_in).await?;

    for count in ["1", "2"] {
        let reply = client.get(CONVERSATION).await?;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.header("inin-ratelimit-count"), Some(count));
        assert_eq!(reply.header("inin-ratelimit-allowed"), Some("2"));
    }
    advance(Duration::from_millis(17_500)).await;
    let over = client.get(CONVERSATION).await?;

    assert_eq!(over.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(over.header("retry-after"), Some("43"));
    assert_eq!(over.header("inin-ratelimit-reset"), Some("43"));
    let error = over.json()?;
    let message = "Rate limit exceeded the maximum. Retry the request in [43] seconds";
    assert_eq!(error["message"], message);
    assert_eq!(error["code"], "too.many.requests.retry.after");
    advance(Duration::from_secs(43)).await;
    assert_eq!(client.get(CONVERSATION).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn token_rate_limit_is_per_token() -> Result {
    let stand_in = StandIn::builder().rate_limit(1).start().await?;

    for _ in 0..2 {
        let client = Client::logged_in(&stand_in).await?;
        assert_eq!(client.get(CONVERSATION).await?.status, StatusCode::OK);
    }
    Ok(())
}
