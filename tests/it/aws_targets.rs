//! Targets by ARN: the local AWS where it shows the delivered events, mockito for the others.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::types::MessageSystemAttributeName as Name;
use genesys_fakes::first_delivery;
use genesys_replay::failure::Certainty;
use genesys_replay::target::{
    Delivery, DeliveryError, DeliveryId, DeliveryProgress, RuleTarget, Target,
};
use genesys_replay_lambda::app;
use genesys_replay_settings::Settings;
use genesys_test_support::replay_harness::invoke;
use genesys_test_support::{
    HIDDEN_SECONDS, Record, ReplayHarness, TestResult, aws_at, event, eventually,
};
use mockito::{Matcher, Server};
use serde_json::json;

pub(crate) const LAMBDA: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";

#[tokio::test]
async fn queue_target_gets_the_raw_body() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let queue = harness.aws.create_queue(false).await?;
    harness.set("REPLAY_TARGET", &queue);
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    let body = record.0["body"].as_str().map(str::to_owned);
    assert!(harness.deliver(&[record]).await?.is_empty());
    let messages = harness.aws.receive(&queue, 0).await?;
    assert_eq!(messages.iter().map(|message| message.body.clone()).collect::<Vec<_>>(), [body]);
    let status = harness.aws.attribute(&format!("e-1|{queue}"), "Status").await?;
    assert_eq!(status.as_deref(), Some("COMPLETED"));
    Ok(())
}

#[tokio::test]
async fn fifo_queue_target_gets_the_interaction_as_group() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let queue = harness.aws.create_queue(true).await?;
    harness.set("REPLAY_TARGET", &queue);
    assert!(harness.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?.is_empty());
    let messages = harness.aws.receive(&queue, HIDDEN_SECONDS).await?;
    let message = messages.first().ok_or("nothing arrived")?;
    let attribute =
        |name| message.attributes().and_then(|attributes| attributes.get(&name)).cloned();
    assert_eq!(attribute(Name::MessageGroupId).as_deref(), Some("c-1"));
    let deduplication = attribute(Name::MessageDeduplicationId).ok_or("no deduplication id")?;
    assert_eq!(deduplication.len(), 64);
    Ok(())
}

#[tokio::test]
async fn topic_target_gets_the_raw_body() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let queue = harness.aws.create_queue(false).await?;
    let topic = harness.aws.create_topic(&queue, false).await?;
    harness.set("REPLAY_TARGET", &topic);
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    let body = record.0["body"].as_str().map(str::to_owned);
    assert!(harness.deliver(&[record]).await?.is_empty());
    let messages = harness.aws.receive(&queue, 0).await?;
    assert_eq!(messages.first().and_then(|message| message.body.clone()), body);
    Ok(())
}

#[tokio::test]
async fn original_target_is_called_only_when_allowed() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let queue = harness.aws.create_queue(false).await?;
    let other = harness.aws.create_queue(false).await?;
    harness.set("REPLAY_TARGET", "original");
    harness.set("ALLOWED_TARGETS", &queue);
    let records = [
        Record::dead_letter("m-1", "e-1", "c-1").with("TARGET_ARN", &queue),
        Record::dead_letter("m-2", "e-2", "c-1").with("TARGET_ARN", &other),
        Record::dead_letter("m-3", "e-3", "c-1")
            .with("TARGET_ARN", "arn:aws:kinesis:eu-central-1:1:stream/x"),
    ];
    assert_eq!(harness.deliver(&records).await?, ["m-2", "m-3"]);
    assert_eq!(harness.aws.receive(&queue, 0).await?.len(), 1);
    assert!(harness.aws.receive(&other, 0).await?.is_empty());
    for (key, code) in [
        (format!("e-2|{other}"), "TARGET_NOT_ALLOWED"),
        ("e-3|arn:aws:kinesis:eu-central-1:1:stream/x".to_owned(), "TARGET_NOT_ALLOWED"),
    ] {
        assert_eq!(
            harness.aws.attribute(&key, "FailureCode").await?.as_deref(),
            Some(code),
            "{key}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn unsupported_target_is_deferred_as_target_unsupported() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("REPLAY_TARGET", "original");
    let cluster = "arn:aws:ecs:eu-central-1:271828182845:cluster/x";
    let records = [
        Record::dead_letter("m-1", "e-1", "c-1").with("TARGET_ARN", cluster),
        Record::new("m-2", r#"{"interactionId":"c-1"}"#),
    ];
    assert_eq!(harness.deliver(&records).await?, ["m-1", "m-2"]);
    for key in [format!("e-1|{cluster}"), "m-2|unknown".to_owned()] {
        let code = harness.aws.attribute(&key, "FailureCode").await?;
        assert_eq!(code.as_deref(), Some("TARGET_UNSUPPORTED"), "{key}");
    }
    Ok(())
}

#[tokio::test]
async fn missing_queue_target_is_a_configuration_error() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let queue = harness.aws.create_queue(false).await?;
    let gone = format!("{queue}-gone");
    harness.set("REPLAY_TARGET", &gone);
    assert_eq!(harness.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?, ["m-1"]);
    let code = harness.aws.attribute(&format!("e-1|{gone}"), "FailureCode").await?;
    assert_eq!(code.as_deref(), Some("TARGET_MISCONFIGURED"));
    Ok(())
}

/// Delivers an event to `target`, whose service is mockito. Returns the failure code in the ledger.
async fn deliver(
    harness: &ReplayHarness,
    server: &Server,
    target: &str,
) -> Result<Option<String>, Box<dyn std::error::Error>> {
    deliver_record(harness, server, target, Record::dead_letter("m-1", "e-1", "c-1")).await?;
    harness.aws.attribute(&format!("e-1|{target}"), "FailureCode").await
}

/// Delivers a dead letter to `target`, whose service is mockito.
async fn deliver_record(
    harness: &ReplayHarness,
    server: &Server,
    target: &str,
    record: Record,
) -> TestResult {
    let mut settings = harness.settings().clone();
    settings.insert("REPLAY_TARGET".to_owned(), target.to_owned());
    let settings = || Settings::from_lookup(|name| settings.get(name).cloned());
    let aws = aws_at(&server.url())
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .build();
    let with_target = app::build(settings()?, &aws)?;
    let mut function = app::build(settings()?, &harness.aws.config())?;
    function.target = with_target.target;
    Box::pin(invoke(&function, event(&[record]))).await??;
    Ok(())
}

#[tokio::test]
async fn function_target_is_invoked_asynchronously_with_the_raw_body() -> TestResult {
    let (harness, mut server) = (ReplayHarness::start().await?, Server::new_async().await);
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    let invocation = server
        .mock("POST", Matcher::Regex("^/2015-03-31/functions/.+/invocations$".to_owned()))
        .match_header("x-amz-invocation-type", "Event")
        .match_body(record.0["body"].as_str().unwrap_or_default())
        .with_status(202)
        .expect(1)
        .create_async()
        .await;
    assert_eq!(deliver(&harness, &server, LAMBDA).await?, None);
    invocation.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn service_error_determines_failure_code_and_retries() -> TestResult {
    for (status, kind, code, calls) in [
        (429, "TooManyRequestsException", "TARGET_RATE_LIMITED", 3),
        (403, "AccessDeniedException", "TARGET_CREDENTIALS", 1),
        (404, "ResourceNotFoundException", "TARGET_MISCONFIGURED", 1),
        (409, "ResourceConflictException", "TARGET_UNAVAILABLE", 3),
        (409, "CodeArtifactUserPendingException", "TARGET_UNAVAILABLE", 3),
        (409, "SnapStartNotReadyException", "TARGET_UNAVAILABLE", 3),
        (502, "KMSDisabledException", "TARGET_MISCONFIGURED", 1),
        (413, "RequestTooLargeException", "TARGET_REFUSED", 1),
        (500, "ServiceException", "TARGET_UNAVAILABLE", 3),
        (502, "EC2UnexpectedException", "TARGET_UNAVAILABLE", 3),
    ] {
        let (harness, mut server) = (ReplayHarness::start().await?, Server::new_async().await);
        let service = server
            .mock("POST", Matcher::Any)
            .with_status(status)
            .with_header("x-amzn-errortype", kind)
            .with_body("{}")
            // Only our attempts: the SDK makes no retries.
            .expect(calls)
            .create_async()
            .await;
        let seen = deliver(&harness, &server, LAMBDA).await?;
        assert_eq!(seen.as_deref(), Some(code), "{status} {kind}");
        service.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn error_does_not_show_payload_quoted_by_the_service() -> TestResult {
    let mut server = Server::new_async().await;
    server
        .mock("POST", Matcher::Any)
        .with_status(400)
        .with_header("x-amzn-errortype", "InvalidRequestContentException")
        .with_body(r#"{"message":"Unrecognized token 'tel:+4930123456'"}"#)
        .create_async()
        .await;
    let shown = deliver_at(&server.url(), LAMBDA, "tel:+4930123456")
        .await?
        .map_err(|error| format!("{error} {error:?}"));
    let Err(shown) = shown else {
        return Err("accepted".into());
    };
    assert!(shown.contains("InvalidRequestContentException"), "{shown}");
    assert!(!shown.contains("tel:"), "{shown}");
    Ok(())
}

/// The result of one attempt.
pub(crate) type Delivered = Result<Option<DeliveryId>, DeliveryError>;

/// Delivers a payload to a target of the AWS at `endpoint`, as one attempt.
pub(crate) async fn deliver_at(
    endpoint: &str,
    target: &str,
    payload: &str,
) -> Result<Delivered, Box<dyn std::error::Error>> {
    deliver_for_rule(endpoint, target, payload, None).await
}

/// As [`deliver_at`], for a dead letter of this rule.
pub(crate) async fn deliver_for_rule(
    endpoint: &str,
    target: &str,
    payload: &str,
    rule_target: impl Into<Option<RuleTarget<'_>>>,
) -> Result<Delivered, Box<dyn std::error::Error>> {
    let settings = |name: &str| match name {
        "REPLAY_TARGET" => Some(target.to_owned()),
        "RETRY_STATE" => Some("off".to_owned()),
        _ => None,
    };
    let aws = aws_at(endpoint).into_builder();
    let aws = aws.credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()));
    let function = app::build(Settings::from_lookup(settings)?, &aws.build())?;
    let destination = function.destination.destination(None, &[]);
    let key = genesys_replay::ledger::EventKey::stored(&format!("e-1|{target}"));
    let progress = DeliveryProgress::default();
    let delivery = Delivery {
        rule_target: rule_target.into(),
        ..first_delivery(&destination, &key, payload, &progress)
    };
    let delivered = function.target.deliver(&delivery).await;
    // A delivery that is cut off after the call may have acted.
    assert!(delivered.is_err() || progress.certainty_when_cut_off() == Certainty::Unknown);
    Ok(delivered)
}

#[tokio::test]
async fn function_target_in_the_local_aws_gets_the_event() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let function =
        harness.aws.create_function(&format!("{}/targets/lambda", harness.genesys.url())).await?;
    harness.set("REPLAY_TARGET", "original");
    let record = Record::dead_letter("m-1", "e-1", "c-1").with("TARGET_ARN", &function);
    let body = record.0["body"].as_str().unwrap_or_default().to_owned();
    assert!(harness.deliver(&[record]).await?.is_empty());
    // The invocation is asynchronous: an accepted event arrives later.
    let arrived = eventually("the function has called", async || {
        let calls = harness.genesys.calls_to("POST", "/targets/lambda");
        Ok(calls.into_iter().next())
    })
    .await?;
    let arrived: serde_json::Value = serde_json::from_str(&arrived.body)?;
    assert_eq!(arrived, serde_json::from_str::<serde_json::Value>(&body)?);
    Ok(())
}

#[tokio::test]
async fn state_machine_execution_is_named_after_the_event() -> TestResult {
    let (harness, mut server) = (ReplayHarness::start().await?, Server::new_async().await);
    let start = server
        .mock("POST", "/")
        .match_header("x-amz-target", "AWSStepFunctions.StartExecution")
        .match_body(Matcher::Regex(r#""name":"e-1-[0-9a-f]{32}""#.to_owned()))
        .with_body(r#"{"executionArn":"arn","startDate":1}"#)
        .expect(1)
        .create_async()
        .await;
    let target = "arn:aws:states:eu-central-1:271828182845:stateMachine:flow";
    assert_eq!(deliver(&harness, &server, target).await?, None);
    start.assert_async().await;
    Ok(())
}

/// Mocks a Step Functions with an execution of the event's name. `described` is the response to `DescribeExecution`.
async fn deliver_again(
    described: (usize, &str, serde_json::Value),
) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let (harness, mut server) = (ReplayHarness::start().await?, Server::new_async().await);
    server
        .mock("POST", "/")
        .match_header("x-amz-target", "AWSStepFunctions.StartExecution")
        .with_status(400)
        .with_header("x-amzn-errortype", "ExecutionAlreadyExists")
        .with_body(r#"{"__type":"ExecutionAlreadyExists"}"#)
        .create_async()
        .await;
    let (status, kind, body) = described;
    server
        .mock("POST", "/")
        .match_header("x-amz-target", "AWSStepFunctions.DescribeExecution")
        .match_body(Matcher::Regex(r"271828182845:execution:flow:e-1-[0-9a-f]{32}".to_owned()))
        .with_status(status)
        .with_header("x-amzn-errortype", kind)
        .with_body(body.to_string())
        .expect(1)
        .create_async()
        .await;
    let target = "arn:aws:states:eu-central-1:271828182845:stateMachine:flow";
    deliver(&harness, &server, target).await
}

#[tokio::test]
async fn state_machine_duplicate_is_detected_by_its_input() -> TestResult {
    let event = Record::dead_letter("m-1", "e-1", "c-1");
    let event = event.0["body"].as_str().ok_or("no body")?;
    let execution = |input: Option<&str>| {
        json!({
            "executionArn": "arn", "stateMachineArn": "arn", "status": "FAILED", "startDate": 1, "input": input,
        })
    };
    for (described, expected) in [
        ((200, "", execution(Some(event))), None),
        ((200, "", execution(None)), None),
        ((200, "", execution(Some("{}"))), Some("TARGET_REFUSED")),
        // Without the permission to describe executions, the name is enough.
        ((400, "AccessDeniedException", json!({})), None),
        ((500, "InternalFailure", json!({})), Some("TARGET_UNAVAILABLE")),
    ] {
        let what = format!("{described:?}");
        let code = deliver_again(described).await?;
        assert_eq!(code.as_deref(), expected, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn missing_bus_target_is_a_configuration_error() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let gone = "arn:aws:events:us-east-1:000000000000:event-bus/gone";
    harness.set("REPLAY_TARGET", gone);
    let dead_letter = Record::dead_letter("m-1", "e-1", "c-1");
    assert_eq!(harness.deliver(&[dead_letter]).await?, ["m-1"]);
    assert_eq!(harness.state("e-1").await?, "DEFERRED TARGET_MISCONFIGURED");
    Ok(())
}

/// Mocks the response to `DescribeEventBus`.
async fn described(server: &mut Server, status: usize, body: &str) -> mockito::Mock {
    server
        .mock("POST", "/")
        .match_header("x-amz-target", "AWSEvents.DescribeEventBus")
        .with_status(status)
        .with_body(body)
        .expect_at_least(1)
        .create_async()
        .await
}

#[tokio::test]
async fn bus_target_gets_no_event_when_its_existence_is_unknown() -> TestResult {
    let target = "arn:aws:events:eu-central-1:271828182845:event-bus/crm";
    for (status, body, code, puts) in [
        (400, r#"{"__type":"ThrottlingException"}"#, Some("TARGET_RATE_LIMITED"), 0),
        (500, r#"{"__type":"InternalException"}"#, Some("TARGET_UNAVAILABLE"), 0),
        (400, r#"{"__type":"AccessDeniedException"}"#, None, 1),
    ] {
        let (harness, mut server) = (ReplayHarness::start().await?, Server::new_async().await);
        let _described = described(&mut server, status, body).await;
        let put = server
            .mock("POST", "/")
            .match_header("x-amz-target", "AWSEvents.PutEvents")
            .with_body(r#"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#)
            .expect(puts)
            .create_async()
            .await;
        assert_eq!(deliver(&harness, &server, target).await?.as_deref(), code, "{body}");
        put.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn bus_target_gets_a_wrapped_event_and_failed_entries_count() -> TestResult {
    let target = "arn:aws:events:eu-central-1:271828182845:event-bus/crm";
    for (answer, code) in [
        (r#"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#, None),
        (
            r#"{"FailedEntryCount":1,"Entries":[{"ErrorCode":"ThrottlingException","ErrorMessage":"slow"}]}"#,
            Some("TARGET_RATE_LIMITED"),
        ),
        (
            r#"{"FailedEntryCount":1,"Entries":[{"ErrorCode":"MalformedDetail","ErrorMessage":"no"}]}"#,
            Some("TARGET_REFUSED"),
        ),
    ] {
        let (harness, mut server) = (ReplayHarness::start().await?, Server::new_async().await);
        let _described = described(&mut server, 200, &format!(r#"{{"Arn":"{target}"}}"#)).await;
        let put = server
            .mock("POST", "/")
            .match_header("x-amz-target", "AWSEvents.PutEvents")
            .match_body(Matcher::AllOf(vec![
                Matcher::Regex(r#""Source":"genesys-replay""#.to_owned()),
                Matcher::Regex(
                    r#""DetailType":"v2.detail.events.conversation.\{id\}.customer.end""#
                        .to_owned(),
                ),
                Matcher::Regex("aws.partner/genesys.com".to_owned()),
            ]))
            .with_body(answer)
            .expect_at_least(1)
            .create_async()
            .await;
        assert_eq!(deliver(&harness, &server, target).await?.as_deref(), code, "{answer}");
        put.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn bus_target_gets_the_source_of_a_scheduled_event() -> TestResult {
    let target = "arn:aws:events:eu-central-1:271828182845:event-bus/crm";
    for (given, sent) in [("my.app", "my.app"), ("aws.ec2", "genesys-replay")] {
        let (harness, mut server) = (ReplayHarness::start().await?, Server::new_async().await);
        let _described = described(&mut server, 200, &format!(r#"{{"Arn":"{target}"}}"#)).await;
        let put = server
            .mock("POST", "/")
            .match_header("x-amz-target", "AWSEvents.PutEvents")
            .match_body(Matcher::AllOf(vec![
                Matcher::Regex(format!(r#""Source":"{sent}""#)),
                Matcher::Regex(r#""DetailType":"Order Event""#.to_owned()),
            ]))
            .with_body(r#"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#)
            .expect(1)
            .create_async()
            .await;
        let entry = json!({
            "Source": given, "DetailType": "Order Event", "Detail": "{}", "EventBusName": target,
        });
        let record = Record::new("m-1", &json!({ "Entries": [entry] }).to_string())
            .with("TARGET_ARN", "arn:aws:scheduler:::aws-sdk:eventbridge:putEvents")
            .with("EXECUTION_ID", "x-1");
        deliver_record(&harness, &server, target, record).await?;
        put.assert_async().await;
    }
    Ok(())
}
