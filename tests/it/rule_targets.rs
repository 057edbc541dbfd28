//! Targets with parameters of a rule, and targets that no local AWS has: mockito plays AWS.

use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::target::RuleTarget;
use genesys_test_support::TestResult;
use mockito::{Matcher, Mock, Server, ServerGuard};
use serde_json::{Value, json};

use super::aws_targets::{deliver_at, deliver_for_rule};

const RULE: &str = "arn:aws:events:eu-central-1:271828182845:rule/crm";
const STREAM: &str = "arn:aws:kinesis:eu-central-1:271828182845:stream/events";
const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:crm.fifo";
const METHOD: &str = "arn:aws:execute-api:eu-central-1:271828182845:a1b2c3/live/PUT/events/*";
const BUS: &str = "arn:aws:events:eu-central-1:271828182845:event-busv2/orders/5b6c";
const EVENT: &str =
    r#"{"id":"e-1","source":"s","detail-type":"t","detail":{"tenant":"acme","n":7}}"#;

/// Returns the target with this ARN in the rule.
fn target_of_rule(target_arn: &str) -> RuleTarget<'_> {
    RuleTarget { rule_arn: RULE, target_arn }
}

/// Mocks one call of AWS.
async fn call(server: &mut ServerGuard, name: &str, status: usize, body: Value) -> Mock {
    let mock = server.mock("POST", "/").match_header("x-amz-target", name);
    mock.with_status(status).with_body(body.to_string()).create_async().await
}

/// Mocks the rule, with this target on the default bus.
async fn rule(server: &mut ServerGuard, targets: Value) -> Mock {
    let mock = server.mock("POST", "/").match_header("x-amz-target", "AWSEvents.ListTargetsByRule");
    let mock = mock.match_body(Matcher::Json(json!({ "Rule": "crm" })));
    mock.with_body(json!({ "Targets": targets }).to_string()).create_async().await
}

/// Mocks `PutRecord` with this partition key.
async fn put_record(server: &mut ServerGuard, key: &str) -> Mock {
    let mock = server.mock("POST", "/").match_header("x-amz-target", "Kinesis_20131202.PutRecord");
    let mock = mock.match_body(Matcher::PartialJson(json!({ "PartitionKey": key })));
    mock.with_body(r#"{"ShardId":"s","SequenceNumber":"1"}"#).create_async().await
}

#[tokio::test]
async fn kinesis_record_has_the_partition_key_of_the_rule() -> TestResult {
    let transformed = r#"{"tenant":"acme"}"#;
    for (path, payload, key) in [
        ("$.detail.tenant", EVENT, "acme"),
        ("$.detail.n", EVENT, "7"),
        // Without a value, the event's id.
        ("$.detail.none", EVENT, "e-1"),
        ("$.detail.tenant", transformed, "e-1"),
    ] {
        let mut server = Server::new_async().await;
        let target = json!([{ "Id": "1", "Arn": STREAM, "KinesisParameters": { "PartitionKeyPath": path } }]);
        let listed = rule(&mut server, target).await;
        let put = put_record(&mut server, key).await;
        deliver_for_rule(&server.url(), STREAM, payload, target_of_rule(STREAM)).await??;
        listed.assert_async().await;
        put.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn kinesis_record_has_the_id_as_key_when_the_rule_cannot_be_read() -> TestResult {
    let mut server = Server::new_async().await;
    let denied = json!({ "__type": "AccessDeniedException" });
    let denied = call(&mut server, "AWSEvents.ListTargetsByRule", 400, denied).await;
    let put = put_record(&mut server, "e-1").await;
    deliver_for_rule(&server.url(), STREAM, EVENT, target_of_rule(STREAM)).await??;
    denied.assert_async().await;
    put.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn fifo_queue_gets_the_group_of_the_rule() -> TestResult {
    for (group, expected) in [("orders", "orders"), ("$.detail.tenant", "acme")] {
        let mut server = Server::new_async().await;
        let target =
            json!([{ "Id": "1", "Arn": QUEUE, "SqsParameters": { "MessageGroupId": group } }]);
        let listed = rule(&mut server, target).await;
        let send = server.mock("POST", "/").match_header("x-amz-target", "AmazonSQS.SendMessage");
        let send = send.match_body(Matcher::PartialJson(json!({ "MessageGroupId": expected })));
        let send = send.with_body(r#"{"MessageId":"1"}"#).create_async().await;
        deliver_for_rule(&server.url(), QUEUE, EVENT, target_of_rule(QUEUE)).await??;
        listed.assert_async().await;
        send.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn api_gateway_gets_a_signed_request_with_the_parameters_of_the_rule() -> TestResult {
    let mut server = Server::new_async().await;
    let parameters = json!({
        "PathParameterValues": ["$.detail.tenant"],
        "HeaderParameters": { "X-Event": "$.id" },
        "QueryStringParameters": { "v": "1" },
    });
    let target = json!([{ "Id": "1", "Arn": METHOD, "HttpParameters": parameters }]);
    rule(&mut server, target).await;
    let put = server
        .mock("PUT", "/_aws/execute-api/a1b2c3/live/events/acme?v=1")
        .match_header(
            "authorization",
            Matcher::Regex(
                "^AWS4-HMAC-SHA256 Credential=ANOTREAL/[0-9]{8}/eu-central-1/execute-api/aws4_request, "
                    .to_owned(),
            ),
        )
        .match_header("x-amz-date", Matcher::Regex("^[0-9]{8}T[0-9]{6}Z$".to_owned()))
        .match_header("x-event", "e-1")
        .match_header("idempotency-key", Matcher::Any)
        .match_body(EVENT)
        .create_async()
        .await;
    deliver_for_rule(&server.url(), METHOD, EVENT, target_of_rule(METHOD)).await??;
    put.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn api_gateway_that_denies_the_call_is_an_operator_error() -> TestResult {
    let mut server = Server::new_async().await;
    let post = "arn:aws:execute-api:eu-central-1:271828182845:a1b2c3/live/POST/events";
    let path = "/_aws/execute-api/a1b2c3/live/events";
    // No other credentials are known, so no second request.
    let denied = server.mock("POST", path).with_status(403).expect(1).create_async().await;
    let error = deliver_at(&server.url(), post, EVENT).await?.err().ok_or("accepted")?;
    assert_eq!(error.code, FailureCode::TargetCredentials);
    assert_eq!((error.disposition, error.certainty), (Disposition::Operator, Certainty::Refused));
    denied.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn rule_without_exactly_this_target_is_an_operator_error() -> TestResult {
    let with = |value: &str| json!({ "Id": value, "Arn": METHOD, "HttpParameters": { "PathParameterValues": [value] } });
    for (targets, reason) in [
        (json!([with("1"), with("2")]), "several targets"),
        (json!([{ "Id": "1", "Arn": STREAM }]), "does not have this target any more"),
    ] {
        let mut server = Server::new_async().await;
        rule(&mut server, targets).await;
        let delivered =
            deliver_for_rule(&server.url(), METHOD, EVENT, target_of_rule(METHOD)).await?;
        let error = delivered.err().ok_or("accepted")?;
        let seen = (error.code, error.disposition, error.certainty);
        let misconfigured =
            (FailureCode::TargetMisconfigured, Disposition::Operator, Certainty::NotSent);
        assert_eq!(seen, misconfigured, "{error}");
        assert!(error.reason.contains(reason), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn rule_that_has_only_the_new_target_gives_its_parameters() -> TestResult {
    let mut server = Server::new_async().await;
    let old = "arn:aws:execute-api:eu-central-1:271828182845:old/live/PUT/events/*";
    let parameters = json!({ "PathParameterValues": ["$.detail.tenant"] });
    rule(&mut server, json!([{ "Id": "1", "Arn": METHOD, "HttpParameters": parameters }])).await;
    let put = server.mock("PUT", "/_aws/execute-api/a1b2c3/live/events/acme").create_async().await;
    deliver_for_rule(&server.url(), METHOD, EVENT, target_of_rule(old)).await??;
    put.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn defaults_are_not_used_while_eventbridge_does_not_answer() -> TestResult {
    for (target, status, kind, code) in [
        (STREAM, 400, "ThrottlingException", FailureCode::TargetRateLimited),
        (QUEUE, 500, "InternalException", FailureCode::TargetUnavailable),
    ] {
        let mut server = Server::new_async().await;
        let failed = json!({ "__type": kind });
        call(&mut server, "AWSEvents.ListTargetsByRule", status, failed).await;
        let delivered =
            deliver_for_rule(&server.url(), target, EVENT, target_of_rule(target)).await?;
        let error = delivered.err().ok_or("accepted")?;
        assert_eq!((error.code, error.certainty), (code, Certainty::NotSent), "{error}");
        assert!(matches!(error.disposition, Disposition::Transient { .. }), "{error}");
    }
    Ok(())
}

/// Mocks `PutRawEvents`, whose protocol is CBOR.
async fn put_raw(
    server: &mut ServerGuard,
    status: usize,
    body: Value,
) -> Result<Mock, Box<dyn std::error::Error>> {
    let mut encoded = Vec::new();
    ciborium::into_writer(&body, &mut encoded)?;
    let mock = server.mock("POST", Matcher::Regex("/operation/PutRawEvents$".to_owned()));
    let mock = mock.match_request(|request| {
        let body = request.body().cloned().unwrap_or_default();
        let Ok(sent) = ciborium::from_reader::<ciborium::Value, _>(body.as_slice()) else {
            return false;
        };
        let member = |value: &ciborium::Value, name: &str| {
            let mut members = value.as_map()?.iter();
            members.find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value.clone())
        };
        let is_sent = || {
            let entry = member(&sent, "Entries")?.as_array()?.first()?.clone();
            let metadata = member(&entry, "SystemMetadata")?;
            let is_raw = member(&entry, "Data")?.as_bytes()?.as_slice() == EVENT.as_bytes();
            let is_named = member(&metadata, "DeduplicationId")?.as_text()? == "name";
            let is_json = member(&metadata, "ContentType")?.as_text()? == "application/json";
            Some(is_raw && is_named && is_json && member(&sent, "EventBusArn")?.as_text()? == BUS)
        };
        is_sent() == Some(true)
    });
    let mock = mock.with_status(status).with_header("smithy-protocol", "rpc-v2-cbor");
    let mock = mock.with_header("content-type", "application/cbor");
    Ok(mock.with_body(encoded).create_async().await)
}

#[tokio::test]
async fn custom_bus_gets_the_raw_event_and_failed_entries_count() -> TestResult {
    let mut server = Server::new_async().await;
    let accepted = json!({ "FailedEntryCount": 0, "Entries": [{ "EventId": "id-1" }] });
    let put = put_raw(&mut server, 200, accepted).await?;
    let id = deliver_at(&server.url(), BUS, EVENT).await??;
    assert_eq!(id.as_deref(), Some("id-1"));
    put.assert_async().await;
    let refused = json!({
        "FailedEntryCount": 1, "Entries": [{ "ErrorCode": "ThrottlingException", "ErrorMessage": "slow" }],
    });
    let missing = json!({ "__type": "com.amazonaws.events#ResourceNotFoundException" });
    for (status, body, code) in [
        (200, refused, FailureCode::TargetRateLimited),
        (200, json!({ "FailedEntryCount": 1, "Entries": [] }), FailureCode::TargetRefused),
        (404, missing, FailureCode::TargetMisconfigured),
        (500, json!({ "__type": "InternalException" }), FailureCode::TargetUnavailable),
    ] {
        let mut server = Server::new_async().await;
        put_raw(&mut server, status, body).await?;
        let error = deliver_at(&server.url(), BUS, EVENT).await?.err().ok_or("accepted")?;
        assert_eq!(error.code, code, "{error}");
    }
    Ok(())
}
