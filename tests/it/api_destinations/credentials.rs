//! The credentials of connections, and their renewal after a refusal.

use super::*;

#[tokio::test]
async fn basic_connection_sends_user_and_password() -> TestResult {
    let mut crm = Crm::start().await?;
    crm.described("/events", 1).await;
    crm.connection("BASIC", json!({ "username": "u", "password": "p:\u{e4}" }), 1).await;
    let post = crm
        .endpoint
        .mock("POST", "/events")
        .match_header("authorization", "Basic dTpwOsOk")
        .create_async()
        .await;
    crm.deliver(EVENT, None).await?;
    post.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn secret_is_read_again_once_when_the_target_refuses_the_key() -> TestResult {
    for status in [401, 403] {
        let mut crm = Crm::start().await?;
        // A read within ten seconds of the last one is not repeated.
        let described = crm.described("/events", 1).await;
        let [_, secret] = crm.connection("API_KEY", api_key(), 1).await;
        let post = crm.endpoint.mock("POST", "/events").with_status(status).expect(2);
        let post = post.create_async().await;
        for _ in 0..2 {
            let error = crm.fault().await?;
            assert_eq!(error.code, FailureCode::TargetCredentials, "{status}");
            assert_eq!(error.certainty, Certainty::Refused, "{status}");
        }
        for mock in [described, secret, post] {
            mock.assert_async().await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn event_is_delivered_with_the_new_key_after_a_rotation() -> TestResult {
    let mut crm = Crm::start().await?;
    crm.described("/events", 2).await;
    let [_, secret] = crm.connection("API_KEY", api_key(), 1).await;
    let old = crm.endpoint.mock("POST", "/events").match_header("x-api-key", "hush");
    let old_key = old.expect(1).create_async().await;
    crm.deliver(EVENT, None).await?;
    old_key.assert_async().await;
    old_key.remove_async().await;
    secret.remove_async().await;
    crm.secret(json!({ "api_key_name": "X-Api-Key", "api_key_value": "new" }), 1).await;
    let old = crm.endpoint.mock("POST", "/events").match_header("x-api-key", "hush");
    let old = old.with_status(401).expect(1).create_async().await;
    let new = crm.endpoint.mock("POST", "/events").match_header("x-api-key", "new");
    let new = new.expect(2).create_async().await;
    crm.clock.advance_seconds(11);
    crm.deliver(EVENT, None).await?;
    crm.deliver(EVENT, None).await?;
    old.assert_async().await;
    new.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn description_is_read_again_after_five_minutes() -> TestResult {
    let mut crm = Crm::start().await?;
    let first = crm.described("/events", 1).await;
    crm.connection("API_KEY", api_key(), 2).await;
    let post = crm.endpoint.mock("POST", "/events").expect(2).create_async().await;
    crm.deliver(EVENT, None).await?;
    crm.clock.advance_seconds(299);
    crm.deliver(EVENT, None).await?;
    first.assert_async().await;
    first.remove_async().await;
    let moved = crm.described("/v2/events", 1).await;
    let post_v2 = crm.endpoint.mock("POST", "/v2/events").create_async().await;
    crm.clock.advance_seconds(2);
    crm.deliver(EVENT, None).await?;
    for mock in [post, moved, post_v2] {
        mock.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn last_description_is_used_when_event_bridge_is_down() -> TestResult {
    let mut crm = Crm::start().await?;
    let described = crm.described("/events", 1).await;
    crm.connection("API_KEY", api_key(), 1).await;
    let post = crm.endpoint.mock("POST", "/events").expect(2).create_async().await;
    crm.deliver(EVENT, None).await?;
    described.remove_async().await;
    crm.call("AWSEvents.DescribeApiDestination", 500, json!({}), 1).await;
    crm.clock.advance_seconds(301);
    crm.deliver(EVENT, None).await?;
    post.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn unusable_secret_is_a_configuration_error_without_its_text() -> TestResult {
    for (authorization, secret, fault) in [
        ("API_KEY", json!({ "username": "hush" }), "has no api_key_name"),
        ("API_KEY", json!(["hush"]), "is not a JSON object in the form of a connection"),
        ("NTLM", json!({ "username": "hush" }), "has none of the known types of authorization"),
    ] {
        let mut crm = Crm::start().await?;
        crm.described("/events", 1).await;
        crm.connection(authorization, secret, 1).await;
        let error = crm.fault().await?;
        assert_eq!(error.code, FailureCode::TargetMisconfigured);
        let shown = format!("{error} {error:?}");
        let expected = format!("the secret of connection crm-key {fault}");
        assert!(shown.contains(&expected) && !shown.contains("hush"), "{shown}");
    }
    Ok(())
}
