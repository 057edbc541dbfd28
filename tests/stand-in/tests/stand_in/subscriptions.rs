//! Subscriptions of event streams, and integrations.

use std::time::Duration;

use genesys_stand_in::{Fault, StandIn};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use crate::client::{Client, Result};

const SUBSCRIPTION: &str = "/api/v2/eventstreams/subscriptions/s-1";
const INTEGRATION: &str = "/api/v2/integrations/s-1";

#[tokio::test]
async fn subscriptions_exist_and_are_active_by_default() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;

    let subscription = client.get(SUBSCRIPTION).await?;
    let integration = client.get(INTEGRATION).await?;

    assert_eq!(subscription.status, StatusCode::OK);
    let expected = json!({"id": "s-1", "name": "Events of s-1", "status": "ACTIVE"});
    assert_eq!(subscription.json()?, expected);
    assert_eq!(integration.status, StatusCode::OK);
    let integration = integration.json()?;
    assert_eq!(integration["id"], "s-1");
    assert_eq!(integration["name"], "Events of s-1");
    assert_eq!(integration["intendedState"], "ENABLED");
    assert_eq!(integration["reportedState"]["code"], "ACTIVE");
    assert_eq!(integration["reportedState"]["effective"], "active");
    assert!(integration["reportedState"]["detail"]["message"].is_string());
    Ok(())
}

#[tokio::test]
async fn subscription_status_is_shown_in_both_api_forms() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;

    for (status, intended) in [
        ("INACTIVE", "DISABLED"),
        ("DEACTIVATING", "DISABLED"),
        ("ERROR", "ENABLED"),
        ("ACTIVE", "ENABLED"),
        ("", "ENABLED"),
    ] {
        stand_in.put_subscription("s-1", status);
        let subscription = client.get(SUBSCRIPTION).await?.json()?;
        let integration = client.get(INTEGRATION).await?.json()?;
        assert_eq!(subscription["status"], status);
        assert_eq!(integration["reportedState"]["code"], status);
        assert_eq!(integration["intendedState"], intended, "{status}");
    }
    let path = "/api/v2/eventstreams/subscriptions/s-2";
    assert_eq!(client.get(path).await?.json()?["status"], "ACTIVE");
    Ok(())
}

#[tokio::test]
async fn subscription_is_404_when_removed_until_it_is_put() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    stand_in.remove_subscription("s-1");

    for path in [SUBSCRIPTION, INTEGRATION] {
        let reply = client.get(path).await?;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(reply.json()?["code"], "not.found");
        assert_eq!(reply.json()?["status"], 404);
        assert!(reply.json()?["contextId"].is_string());
    }
    assert!(stand_in.calls_to("GET", "s-1").iter().all(|it| !it.acted));

    stand_in.put_subscription("s-1", "ACTIVE");
    assert_eq!(client.get(SUBSCRIPTION).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn subscription_apis_need_a_token_and_are_read_only() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let stranger = Client::anonymous(&stand_in.url())?;
    let client = Client::logged_in(&stand_in).await?;

    for path in [SUBSCRIPTION, INTEGRATION] {
        let refused = stranger.get(path).await?;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(refused.json()?["code"], "authentication.required");
        let reply = client.send(Method::DELETE, path, "").await?;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn subscription_calls_have_faults_latency_and_counts() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    stand_in.set_latency(Duration::from_secs(2), Duration::ZERO, Duration::ZERO);

    for (path, name) in [(SUBSCRIPTION, "/subscriptions/"), (INTEGRATION, "/integrations/")] {
        let throttled = Fault::on("GET", name).status(429).times(1);
        stand_in.fault(throttled.header("Retry-After", "7"));
        stand_in.fault(Fault::on("GET", name).status(500).times(1));

        let start = Instant::now();
        let throttled = client.get(path).await?;
        assert!(start.elapsed() >= Duration::from_secs(2));
        assert_eq!(throttled.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(throttled.header("retry-after"), Some("7"));
        let broken = client.get(path).await?;
        assert_eq!(broken.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(client.get(path).await?.status, StatusCode::OK);

        let calls = stand_in.calls_to("GET", name);
        let statuses: Vec<_> = calls.iter().map(|call| call.status).collect();
        assert_eq!(statuses, [Some(429), Some(500), Some(200)]);
    }
    Ok(())
}

#[tokio::test]
async fn subscriptions_are_put_and_removed_by_the_control_api() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    let control = "/_stand-in/subscriptions/a%20b";
    let path = "/api/v2/eventstreams/subscriptions/a%20b";

    let put = client.put(control, r#"{"status":"INACTIVE"}"#).await?;
    assert_eq!(put.status, StatusCode::OK);
    assert_eq!(client.get(path).await?.json()?["status"], "INACTIVE");

    let removed = client.delete(control).await?;
    assert_eq!(removed.status, StatusCode::OK);
    assert_eq!(client.get(path).await?.status, StatusCode::NOT_FOUND);

    for mistake in [r#"{"state":"INACTIVE"}"#, "INACTIVE", "{}"] {
        let refused = client.put(control, mistake).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{mistake}");
    }
    Ok(())
}
