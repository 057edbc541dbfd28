//! Targets that store records: data streams, Firehose streams and log groups; and the size limits of targets.

use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_test_support::{Record, ReplayHarness, TestResult};
use mockito::{Matcher, Server};

use crate::aws_targets::deliver_at;

const STREAM: &str = "arn:aws:kinesis:eu-central-1:271828182845:stream/crm";
const FIREHOSE: &str = "arn:aws:firehose:eu-central-1:271828182845:deliverystream/crm";
const LOG_GROUP: &str = "arn:aws:logs:eu-central-1:271828182845:log-group:/aws/events/crm";
const PUBLISHED: &str =
    "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
const TOPIC: &str = "arn:aws:sns:eu-central-1:271828182845:crm";

#[tokio::test]
async fn log_stream_is_created_at_the_first_event() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let (group, name) = harness.aws.create_log_group(None).await?;
    // As in the target of a rule, and as AWS shows it.
    for (number, arn) in [group.clone(), format!("{group}:*")].into_iter().enumerate() {
        harness.set("REPLAY_TARGET", &arn);
        let record = Record::dead_letter("m-1", &format!("e-{number}"), "c-1");
        assert_eq!(harness.deliver(&[record]).await?, [""; 0], "{arn}");
        assert_eq!(harness.aws.log_events(&name).await?.len(), number + 1);
    }
    Ok(())
}

#[tokio::test]
async fn log_event_of_a_transformed_input_keeps_its_timestamp() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let now = SystemClock.now().as_millis();
    let earlier = now - 3_600_000;
    let form = format!(r#"{{"timestamp":{earlier},"message":"hello"}}"#);
    let more = format!(r#"{{"timestamp":{earlier},"message":"hello","more":1}}"#);
    for (payload, message, keeps) in
        [(&form, "hello", true), (&more, &*more, false), (&"[1]".to_owned(), "[1]", false)]
    {
        let (group, name) = harness.aws.create_log_group(None).await?;
        deliver_at(&harness.aws.endpoint(), &group, payload).await??;
        let events = harness.aws.log_events(&name).await?;
        let [(timestamp, text)] = &events[..] else {
            return Err(format!("{events:?}").into());
        };
        assert_eq!((text.as_str(), *timestamp == earlier), (message, keeps), "{payload}");
        assert!(keeps || *timestamp >= now, "{payload}");
    }
    Ok(())
}

#[tokio::test]
async fn rejected_log_event_is_refused() -> TestResult {
    for (member, says) in [
        ("tooOldLogEventEndIndex", "older than 14 days"),
        ("expiredLogEventEndIndex", "older than 14 days"),
        ("tooNewLogEventStartIndex", "in the future"),
    ] {
        let mut server = Server::new_async().await;
        server
            .mock("POST", "/")
            .with_body(format!(r#"{{"rejectedLogEventsInfo":{{"{member}":0}}}}"#))
            .create_async()
            .await;
        let refused = deliver_at(&server.url(), LOG_GROUP, "{}").await?.err().ok_or("accepted")?;
        assert_eq!(
            (refused.code, refused.disposition),
            (FailureCode::TargetRefused, Disposition::Permanent)
        );
        assert_eq!(refused.certainty, Certainty::Refused);
        assert!(refused.reason.contains(says), "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn missing_target_of_records_is_a_configuration_error() -> TestResult {
    let harness = ReplayHarness::start().await?;
    for target in [STREAM, FIREHOSE, LOG_GROUP] {
        let target = target.replace("271828182845", "000000000000");
        let error =
            deliver_at(&harness.aws.endpoint(), &target, "{}").await?.err().ok_or("accepted")?;
        assert_eq!(error.code, FailureCode::TargetMisconfigured, "{target}: {error}");
        assert_eq!(error.disposition, Disposition::Operator, "{target}");
        assert!(error.certainty != Certainty::Unknown, "{target}");
    }
    Ok(())
}

#[tokio::test]
async fn payload_over_the_limit_of_a_service_is_not_sent() -> TestResult {
    let mut server = Server::new_async().await;
    let none = server.mock("POST", Matcher::Any).expect(0).create_async().await;
    for (target, limit) in [(FIREHOSE, 1_024_000), (LOG_GROUP, 1_048_550), (TOPIC, 262_144)] {
        let refused = deliver_at(&server.url(), target, &"x".repeat(limit + 1)).await?;
        let refused = refused.err().ok_or("accepted")?;
        assert_eq!(refused.code, FailureCode::PayloadTooLarge, "{target}");
        assert_eq!(refused.disposition, Disposition::Permanent);
        assert_eq!(refused.certainty, Certainty::NotSent);
        assert!(refused.reason.contains(&format!("accepts {limit}")), "{refused}");
    }
    none.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn payload_at_the_limit_of_a_service_is_sent() -> TestResult {
    for (target, limit) in [(FIREHOSE, 1_024_000), (LOG_GROUP, 1_048_550), (TOPIC, 262_144)] {
        let mut server = Server::new_async().await;
        let answer = if target == TOPIC { PUBLISHED } else { r#"{"RecordId":"1"}"# };
        let sent = server.mock("POST", Matcher::Any).with_body(answer).create_async().await;
        deliver_at(&server.url(), target, &"x".repeat(limit)).await??;
        sent.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn queue_of_another_account_is_called_without_a_look_up() -> TestResult {
    let mut server = Server::new_async().await;
    let sent = server
        .mock("POST", "/")
        .match_header("x-amz-target", "AmazonSQS.SendMessage")
        .match_body(Matcher::Regex(
            "https://sqs.eu-central-1.amazonaws.com/111122223333/crm".to_owned(),
        ))
        .with_header("content-type", "application/x-amz-json-1.0")
        .with_body(r#"{"MessageId":"m-2","MD5OfMessageBody":"99914b932bd37a50b983c5e7c90ae93b"}"#)
        .expect(1)
        .create_async()
        .await;
    let target = "arn:aws:sqs:eu-central-1:111122223333:crm";
    assert_eq!(deliver_at(&server.url(), target, "{}").await??.as_deref(), Some("m-2"));
    sent.assert_async().await;
    Ok(())
}
