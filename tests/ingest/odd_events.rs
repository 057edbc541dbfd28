//! Events of the Lambda function with parts that are not HTTP. Strangers choose most parts of a request.

use genesys_test_support::ingest_harness::{SECRET, signature, wrapper};
use genesys_test_support::{Function, HIDDEN_SECONDS, ReplayHarness, TestResult};
use serde_json::{Map, Value, json};

use crate::lambda::{answered, request, start_with_iam};
use crate::program::settings;

/// A change of a well-formed event.
type Change = fn(&mut Value);

/// Events that are not requests, with the part that is named in the answer.
const MALFORMED: &[(&str, Change)] = &[
    ("query", |event| event["rawQueryString"] = json!("a=\"b\"")),
    ("query", |event| event["rawQueryString"] = json!("a=<b>")),
    ("query", |event| event["rawQueryString"] = json!("a b")),
    ("query", |event| event["rawQueryString"] = json!("a=\u{0}\r\n\u{7f}")),
    ("query", |event| event["rawQueryString"] = json!("a".repeat(70_000))),
    ("path", |event| event["rawPath"] = json!(format!("/{}", "a".repeat(70_000)))),
    ("path", |event| event["rawPath"] = json!("/dead-letter\r\n")),
    ("path", |event| event["rawPath"] = json!("/dead letter")),
    ("path", |event| event["rawPath"] = json!("/dead-letter?a=b")),
    ("path", |event| event["rawPath"] = json!("/dead-letter#a")),
    ("path", |event| event["rawPath"] = json!("dead-letter")),
    ("path", |event| event["rawPath"] = json!("")),
    ("method", |event| event["requestContext"]["http"]["method"] = json!("PO ST")),
    ("method", |event| event["requestContext"]["http"]["method"] = json!("")),
    ("header", |event| event["headers"]["a b"] = json!("c")),
    ("header", |event| event["headers"][""] = json!("c")),
    ("header", |event| event["headers"]["a"] = json!("b\r\nc: d")),
    ("header", |event| event["headers"]["a"] = json!("b\u{0}")),
    ("header", |event| {
        let many = (0..40_000).map(|number| (format!("h-{number}"), json!("1")));
        event["headers"] = Value::Object(many.collect());
    }),
    ("base64", |event| event["body"] = json!("{}")),
    ("base64", |event| event["body"] = json!("e30")),
    ("payload format", |event| drop(event.as_object_mut().map(|it| it.remove("rawPath")))),
    ("payload format", |event| event["rawPath"] = Value::Null),
    ("payload format", |event| event["rawQueryString"] = json!(1)),
    ("payload format", |event| event["headers"] = json!(["a"])),
    ("payload format", |event| event["headers"]["a"] = json!({})),
    ("payload format", |event| event["body"] = json!({ "eventType": "dead-letter" })),
    ("payload format", |event| event["isBase64Encoded"] = json!("true")),
    ("payload format", |event| event["requestContext"] = Value::Null),
    ("payload format", |event| event["requestContext"]["http"] = json!({})),
    ("payload format", |event| *event = json!({})),
    ("payload format", |event| *event = json!([])),
    ("payload format", |event| *event = Value::Null),
    ("payload format", |event| *event = json!("/dead-letter")),
    ("payload format", |event| {
        // A REST API, a load balancer, and payload format 1.0 of an HTTP API.
        *event = json!({
            "version": "1.0", "resource": "/dead-letter", "path": "/dead-letter", "httpMethod": "POST",
            "headers": {}, "multiValueHeaders": {}, "queryStringParameters": null, "body": "{}",
            "requestContext": { "stage": "prod", "identity": { "userArn": "arn:aws:iam::1:role/a" } },
            "isBase64Encoded": false,
        });
    }),
];

/// Events that are unusual, and are requests.
const ODD: &[Change] = &[
    |event| event["rawQueryString"] = json!("a=%00&b=[]&%zz&?&='{}|\\^`"),
    |event| event["rawQueryString"] = json!("é=語"),
    |event| event["rawQueryString"] = Value::Null,
    |event| event["cookies"] = json!(["a=\"b\r\n\u{0}", "é"]),
    |event| event["cookies"] = json!(7),
    |event| event["queryStringParameters"] = json!([1]),
    |event| event["headers"]["x"] = json!("é語 \u{80}"),
    |event| event["headers"]["host"] = json!("<a b>/?#"),
    |event| event["headers"]["x-forwarded-proto"] = json!("h ttp:\\"),
    |event| event["requestContext"]["domainName"] = json!("a b"),
    |event| event["requestContext"]["stage"] = json!("<\" >"),
    |event| event["requestContext"]["timeEpoch"] = json!("never"),
    |event| event["requestContext"]["authorizer"] = json!({ "iam": null, "jwt": { "claims": 1 } }),
    |event| event["new"] = json!({ "deep": [[[[{}]]]] }),
];

#[tokio::test]
async fn malformed_event_of_a_stranger_gets_a_400() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let settings = settings(&harness, &arn).await?;
    let mut function = Function::start(crate::INGEST, &settings, &harness.aws).await?;
    for (part, change) in MALFORMED {
        let mut event = request("/dead-letter", &[], b"{}");
        change(&mut event);
        let name: String = event.to_string().chars().take(300).collect();
        let answer =
            answered(function.invoke(event).await?).map_err(|it| format!("{name}: {it}"))?;
        assert_eq!(
            (answer.0, &answer.1["code"]),
            (400, &json!("INGEST_REQUEST_MALFORMED")),
            "{name}"
        );
        let detail = answer.1["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(part), "{part} in {detail}");
    }
    let lines = function.end().await?.lines()?;
    let is_named = |line: &&Value, name: &str| line["message"] == name;
    let handled: Vec<_> = lines.iter().filter(|it| is_named(it, "request handled")).collect();
    assert_eq!(handled.len(), MALFORMED.len());
    for line in handled {
        assert_eq!(line["problem"], "INGEST_REQUEST_MALFORMED");
        assert_eq!(line["request_id"], "request-1");
    }
    let metrics = lines.iter().filter(|line| line.get("_aws").is_some());
    let refused = metrics.filter_map(|line| line["Refused"].as_u64()).sum::<u64>();
    assert_eq!(refused, u64::try_from(MALFORMED.len())?);
    assert!(!lines.iter().any(|it| is_named(&it, "panic")));
    Ok(())
}

#[tokio::test]
async fn signed_event_is_accepted_when_unused_parts_are_odd() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("SUBSCRIPTION_CHECK".to_owned(), "off".to_owned());
    let mut function = Function::start(crate::INGEST, &settings, &harness.aws).await?;
    for (number, change) in ODD.iter().enumerate() {
        let body = wrapper("s-1", 0, "[1]");
        let headers = signature(SECRET, &format!("msg-{number}"), 0, &body)?;
        let mut event = request("/dead-letter", &headers, body.as_bytes());
        change(&mut event);
        let name = event.to_string();
        let answer =
            answered(function.invoke(event).await?).map_err(|it| format!("{name}: {it}"))?;
        assert_eq!(answer.0, 200, "{name}: {}", answer.1);
    }
    let mut queued = 0;
    while queued < ODD.len() {
        let messages = harness.aws.receive(&arn, HIDDEN_SECONDS).await?;
        assert!(!messages.is_empty(), "{queued} messages");
        queued += messages.len();
    }
    assert_eq!(queued, ODD.len());
    Ok(())
}

#[tokio::test]
async fn forged_authorization_is_refused_when_iam_is_required() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut function = start_with_iam(&harness, &arn).await?;
    let caller = json!({ "userArn": "arn:aws:iam::271828182845:role/sender" });
    let iam = json!({ "iam": caller });
    let context = json!({ "authorizer": iam }).to_string();
    let authorizers = [
        Value::Null,
        json!({}),
        json!({ "iam": null }),
        json!({ "iam": {} }),
        json!({ "iam": [] }),
        json!({ "iam": "x" }),
        json!({ "iam": true }),
        json!({ "lambda": { "iam": caller } }),
        json!({ "jwt": { "claims": { "iam": "x" }, "scopes": ["iam"] } }),
        json!([caller]),
        json!("iam"),
    ];
    for authorizer in authorizers {
        // Parts that the caller chooses do not authorize.
        let headers = [
            ("requestcontext", context.clone()),
            ("x-amzn-request-context", context.clone()),
            ("authorizer", iam.to_string()),
        ];
        let mut event = request("/webhooks/genesys-outbound", &headers, context.as_bytes());
        event["authorizer"] = iam.clone();
        event["rawQueryString"] = json!("requestContext.authorizer.iam.userArn=a");
        event["queryStringParameters"] = json!({ "authorizer": "iam" });
        event["requestContext"]["iam"] = caller.clone();
        event["requestContext"]["identity"] = caller.clone();
        event["requestContext"]["authorizer"] = authorizer;
        let name = event["requestContext"]["authorizer"].to_string();
        let answer =
            answered(function.invoke(event).await?).map_err(|it| format!("{name}: {it}"))?;
        assert!([400, 401].contains(&answer.0), "{name}: {}", answer.1);
    }
    assert!(harness.aws.receive(&arn, 0).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn event_is_answered_when_optional_members_are_missing() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let settings = settings(&harness, &arn).await?;
    let mut function = Function::start(crate::INGEST, &settings, &harness.aws).await?;
    for name in ["headers", "body", "isBase64Encoded"] {
        for change in [
            (|event: &mut Map<String, Value>, name| drop(event.remove(name)))
                as fn(&mut Map<String, Value>, &str),
            |event, name| drop(event.insert(name.to_owned(), Value::Null)),
        ] {
            let mut event = request("/dead-letter", &[], b"e30=");
            change(event.as_object_mut().ok_or("not an object")?, name);
            let answer = answered(function.invoke(event).await?)?;
            assert_eq!(answer.0, 401, "{name}: {}", answer.1);
        }
    }
    Ok(())
}
