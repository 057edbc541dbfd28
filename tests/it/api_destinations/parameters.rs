//! HTTP parameters of the rule and of the connection.

use super::*;

fn with_parameters(parameters: Value) -> Value {
    let mut secret = api_key();
    secret["invocation_http_parameters"] = parameters;
    secret
}

#[tokio::test]
async fn rule_and_connection_parameters_are_sent() -> TestResult {
    let mut crm = Crm::start().await?;
    let described = crm.described("/*/events/*?fixed=1&tenant=old", 1).await;
    let connection = json!({
        "header_parameters": [{ "key": "X-Source", "value": "connection" }],
        "query_string_parameters": [{ "key": "both", "value": "connection" }],
    });
    crm.connection("API_KEY", with_parameters(connection), 1).await;
    let rule = json!({
        "PathParameterValues": ["v 1", "$.detail.tenant"],
        "HeaderParameters": { "X-Source": "rule", "X-Event": "$.id", "X-None": "$.detail.none" },
        "QueryStringParameters": { "tenant": "$.detail.tenant", "both": "rule" },
    });
    let rule = crm.rule(rule, 1).await;
    let path = "/v%201/events/acme%2F1?fixed=1&tenant=acme%2F1&both=connection";
    let post = crm
        .endpoint
        .mock("POST", path)
        .match_header("x-source", "connection")
        .match_header("x-event", "e-1")
        .match_header("x-none", "")
        .match_header("x-api-key", "hush")
        .match_body(EVENT)
        .expect(2)
        .create_async()
        .await;
    for _ in 0..2 {
        crm.deliver(EVENT, Some(RULE)).await?;
    }
    for mock in [described, rule, post] {
        mock.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn dynamic_parameter_is_rejected_when_the_body_is_transformed() -> TestResult {
    let mut crm = Crm::start().await?;
    crm.described("/events", 1).await;
    crm.connection("API_KEY", api_key(), 1).await;
    crm.rule(json!({ "HeaderParameters": { "X-Event": "$.id" } }), 1).await;
    let post = crm.endpoint.mock("POST", "/events").expect(0).create_async().await;
    let error = crm.deliver(r#"{"tenant":"acme"}"#, Some(RULE)).await.err().ok_or("accepted")?;
    assert_eq!(error.code, FailureCode::TargetParametersUnknown);
    assert_eq!((error.disposition, error.certainty), (Disposition::Permanent, Certainty::NotSent));
    let reason = "the parameter $.id needs the original event, and the payload is not one";
    assert_eq!(error.reason, reason);
    post.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn event_is_delivered_without_parameters_when_the_rule_is_gone() -> TestResult {
    let mut crm = Crm::start().await?;
    crm.described("/events", 1).await;
    crm.connection("API_KEY", api_key(), 1).await;
    let gone = json!({ "__type": "ResourceNotFoundException" });
    crm.call("AWSEvents.ListTargetsByRule", 400, gone, 1).await;
    let post = crm.endpoint.mock("POST", "/events").create_async().await;
    crm.deliver(EVENT, Some(RULE)).await?;
    post.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn rule_of_another_account_is_not_read() -> TestResult {
    let mut crm = Crm::start().await?;
    crm.described("/events", 1).await;
    crm.connection("API_KEY", api_key(), 1).await;
    let rule = crm.rule(json!({ "HeaderParameters": { "X-Forged": "1" } }), 0).await;
    let post = crm.endpoint.mock("POST", "/events").match_header("x-forged", Matcher::Missing);
    let post = post.create_async().await;
    crm.deliver(EVENT, Some(&RULE.replace("271828182845", "111111111111"))).await?;
    rule.assert_async().await;
    post.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn path_without_a_value_is_a_configuration_error() -> TestResult {
    let mut crm = Crm::start().await?;
    crm.described("/events/*", 1).await;
    crm.connection("API_KEY", api_key(), 1).await;
    let error = crm.fault().await?;
    assert_eq!(error.code, FailureCode::TargetMisconfigured);
    assert_eq!((error.disposition, error.certainty), (Disposition::Operator, Certainty::NotSent));
    assert!(error.reason.contains("has a *"), "{error}");
    Ok(())
}

#[tokio::test]
async fn body_parameters_of_the_connection_are_added_to_an_object() -> TestResult {
    let mut crm = Crm::start().await?;
    crm.described("/events", 1).await;
    let connection = json!({ "body_parameters": [{ "key": "token", "value": "hush" }] });
    crm.connection("API_KEY", with_parameters(connection), 1).await;
    let body = r#"{"a":1.0,"token":"hush"}"#;
    let post = crm.endpoint.mock("POST", "/events").match_body(body).create_async().await;
    crm.deliver(r#"{"a": 1.0}"#, None).await?;
    post.assert_async().await;
    let error = crm.deliver("[1]", None).await.err().ok_or("accepted")?;
    assert_eq!(error.code, FailureCode::TargetParametersUnknown);
    Ok(())
}
