//! The trace of an invocation, in every call that it makes.

use genesys_replay::trace::{self, Trace};
use genesys_test_support::replay_harness::invoke_traced;
use genesys_test_support::{Record, ReplayHarness, TestResult, event};
use mockito::{Matcher, Server};
use serde_json::json;

use super::aws_targets::deliver_at;

const HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const TRACEPARENT: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";

#[tokio::test]
async fn delivery_and_genesys_calls_carry_the_trace() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let function = harness.function()?;
    let batch = event(&[Record::dead_letter("m-1", "e-1", "c-1")]);
    assert!(invoke_traced(&function, batch, HEADER).await??.is_empty());
    for (method, path) in [
        ("POST", "/oauth/token"),
        ("GET", "/api/v2/conversations/"),
        ("PATCH", "/api/v2/conversations/"),
        ("POST", "/targets/"),
    ] {
        let calls = harness.genesys.calls_to(method, path);
        assert!(!calls.is_empty(), "{method} {path}");
        for call in calls {
            let header = |name: &str| call.headers.get(name).map(String::as_str);
            assert_eq!(header("x-amzn-trace-id"), Some(HEADER), "{method} {path}");
            assert_eq!(header("traceparent"), Some(TRACEPARENT), "{method} {path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn aws_targets_get_the_trace_in_their_own_place() -> TestResult {
    let queue = Matcher::PartialJson(json!({
        "MessageSystemAttributes": { "AWSTraceHeader": { "DataType": "String", "StringValue": HEADER } },
    }));
    let bus = Matcher::PartialJson(json!({ "Entries": [{ "TraceHeader": HEADER }] }));
    for (target, body) in [
        ("arn:aws:sqs:eu-central-1:271828182845:crm", queue),
        ("arn:aws:events:eu-central-1:271828182845:event-bus/crm", bus),
        ("arn:aws:sns:eu-central-1:271828182845:crm", Matcher::Any),
        ("arn:aws:lambda:eu-central-1:271828182845:function:crm", Matcher::Any),
    ] {
        let mut server = Server::new_async().await;
        let bus = "AWSEvents.DescribeEventBus";
        let described = server.mock("POST", "/").match_header("x-amz-target", bus);
        described.with_body("{}").create_async().await;
        let answer = if target.contains(":sns:") {
            "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
        } else {
            r#"{"MessageId":"1","FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#
        };
        let call = server
            .mock("POST", Matcher::Any)
            .match_header("x-amzn-trace-id", HEADER)
            .match_body(body)
            .with_body(answer)
            .create_async()
            .await;
        let url = server.url();
        let delivered =
            trace::scope(Trace::parse(HEADER), Box::pin(deliver_at(&url, target, "{}"))).await?;
        assert!(delivered.is_ok(), "{target}: {delivered:?}");
        call.assert_async().await;
    }
    Ok(())
}
