//! The real program as a Lambda function behind a function URL or an HTTP API.

use std::error::Error;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_test_support::ingest_harness::{SECRET, signature, wrapper};
use genesys_test_support::{Function, HIDDEN_SECONDS, Invocation, ReplayHarness, TestResult};
use serde_json::{Value, json};

use super::program::settings;

/// Starts the function with this queue. It accepts the requests that AWS IAM has authorized.
pub(super) async fn start_with_iam(
    harness: &ReplayHarness,
    queue_arn: &str,
) -> Result<Function, Box<dyn Error>> {
    let mut settings = settings(harness, queue_arn).await?;
    for (name, value) in
        [("INGEST_AUTH", "iam"), ("INGEST_SECRET", ""), ("SUBSCRIPTION_CHECK", "off")]
    {
        settings.insert(name.to_owned(), value.to_owned());
    }
    Function::start(crate::INGEST, &settings, &harness.aws).await
}

/// Returns a request in payload format 2.0.
pub(super) fn request(path: &str, headers: &[(&str, String)], body: &[u8]) -> Value {
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.lambda-url.eu-central-1.on.aws",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": "POST",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "curl/8",
            },
            "requestId": "r-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "22/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1_795_348_800_000_i64,
        },
        "body": STANDARD.encode(body),
        "isBase64Encoded": true,
    })
}

/// Returns the status and the body of a response.
pub(super) fn answered(invocation: Invocation) -> Result<(u64, Value), Box<dyn Error>> {
    let Invocation::Response(response) = invocation else {
        return Err(format!("{invocation:?}").into());
    };
    assert_eq!(response["isBase64Encoded"], false, "{response}");
    let status = response["statusCode"].as_u64().ok_or("no status")?;
    let body = response["body"].as_str().unwrap_or_default();
    Ok((status, serde_json::from_str(body)?))
}

#[tokio::test]
async fn function_url_accepts_the_same_requests_as_the_server() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("SUBSCRIPTION_CHECK".to_owned(), "eventstreams".to_owned());
    let mut function = Function::start(crate::INGEST, &settings, &harness.aws).await?;
    let body = wrapper("s-1", 2, r#"{"é":1}"#);
    let headers = signature(SECRET, "msg-1", 0, &body)?;
    let answer =
        answered(function.invoke(request("/dead-letter", &headers, body.as_bytes())).await?)?;
    let queued = harness.aws.receive(&arn, HIDDEN_SECONDS).await?;
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].body.as_deref(), Some(body.as_str()));
    let expected = json!({ "status": "accepted", "attempt": 3, "messageId": queued[0].message_id });
    assert_eq!(answer, (200, expected));

    let unsigned = request("/dead-letter", &headers[..1], body.as_bytes());
    let answer = answered(function.invoke(unsigned).await?)?;
    assert_eq!((answer.0, &answer.1["code"]), (401, &json!("INGEST_NOT_AUTHENTICATED")));
    let answer = answered(function.invoke(request("/else", &headers, b"")).await?)?;
    assert_eq!((answer.0, &answer.1["code"]), (404, &json!("INGEST_NOT_FOUND")));
    let asked = harness.genesys.calls_to("GET", "/api/v2/eventstreams/subscriptions/s-1");
    assert_eq!(asked.len(), 1);

    let lines = function.end().await?.lines()?;
    let handled: Vec<_> =
        lines.iter().filter(|line| line["message"] == "request handled").collect();
    assert_eq!(handled.len(), 3);
    for line in handled {
        assert_eq!(line["request_id"], "request-1");
        assert_eq!(line["xray_trace_id"], "1-5bef4de7-ad49b0e87f6ef6c87fc2e700");
    }
    let metrics: Vec<_> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
    assert_eq!(metrics.len(), 3, "one document per request");
    assert!(metrics.iter().all(|line| line["Requests"] == 1));
    Ok(())
}

#[tokio::test]
async fn request_is_accepted_only_when_iam_has_authorized_it() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut function = start_with_iam(&harness, &arn).await?;
    // IAM also authenticates requests that the signature scheme does not support.
    let mut event = request("/webhooks/genesys-outbound", &[], b"\xff\xfe");
    let answer = answered(function.invoke(event.clone()).await?)?;
    assert_eq!(answer.0, 401, "{}", answer.1);
    event["requestContext"]["authorizer"] = json!({ "iam": {
        "accessKey": "AKIAIOSFODNN7EXAMPLE",
        "accountId": "271828182845",
        "callerId": "AIDACKCEVSQ6C2EXAMPLE",
        "userArn": "arn:aws:iam::271828182845:role/sender",
        "userId": "AIDACKCEVSQ6C2EXAMPLE",
    }});
    let answer = answered(function.invoke(event).await?)?;
    assert_eq!(answer, (200, json!({ "status": "accepted" })));
    let queued = harness.aws.receive(&arn, HIDDEN_SECONDS).await?;
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].body.as_deref(), Some("//4="));
    Ok(())
}

#[tokio::test]
async fn custom_domain_with_a_base_path_is_accepted() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("INGEST_BASE_PATH".to_owned(), "/hooks".to_owned());
    let mut function = Function::start(crate::INGEST, &settings, &harness.aws).await?;
    let body = wrapper("s-1", 2, r#"{"a":1}"#);
    for (path, expected) in [("/hooks/dead-letter", 200), ("/other/dead-letter", 404)] {
        let headers = signature(SECRET, "msg-1", 0, &body)?;
        let event = request(path, &headers, body.as_bytes());
        let (status, answer) = answered(function.invoke(event).await?)?;
        assert_eq!(status, expected, "{path}: {answer}");
    }
    Ok(())
}
