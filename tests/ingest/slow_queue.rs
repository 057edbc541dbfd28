//! A queue that is slow, throttled or not reachable, or whose answer is lost.

use std::error::Error;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::{FaultHookFuture, Faults, ManualClock};
use genesys_replay::clock::Timestamp;
use genesys_replay::queue::{MessageSender, NewMessage, PutError};
use genesys_replay_aws::sqs_inlet::SqsInlet;
use genesys_replay_aws::sqs_sender::SqsSender;
use genesys_replay_ingest::http::lambda::LambdaEdge;
use genesys_replay_ingest::{Authentication, Ingest};
use genesys_test_support::ingest_harness::{Answer, IngestHarness, now, wrapper};
use genesys_test_support::{Printed, ReplayHarness, TestResult, aws_at};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::time::Instant;

use crate::lambda::request;
use crate::program::settings;
use crate::support::queue::{Reaction, StandInQueue};
use crate::support::server::Server;

const AT_ONCE: Reaction = Reaction::StoreAndAnswerAfter(Duration::ZERO);

/// A text of answers after a send of unknown fate, and one after a send that stored nothing.
const UNKNOWN: &str = "it is not known if the event is queued";
const NOT_QUEUED: &str = "the event is not queued";

fn message() -> NewMessage {
    NewMessage {
        body: "{}".to_owned(),
        attributes: Vec::new(),
        group: "g".to_owned(),
        deduplication: "d".to_owned(),
    }
}

/// Sends one dead letter through the real program to a queue of this name.
async fn post(queue: &StandInQueue, name: &str) -> Result<(Answer, Printed), Box<dyn Error>> {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    for (name, value) in [
        ("REPLAY_QUEUE_URL", queue.url(name)),
        ("AWS_ENDPOINT_URL_SQS", queue.endpoint()),
        ("INGEST_AUTH", "none".to_owned()),
        ("SUBSCRIPTION_CHECK", "off".to_owned()),
    ] {
        settings.insert(name.to_owned(), value);
    }
    let server = Server::start(&settings, &harness.aws).await?;
    let request = reqwest::Client::new()
        .post(server.url("/dead-letter"))
        .header("content-type", "application/json")
        .body(wrapper("s-1", 0, r#"{"id":"e-1"}"#));
    let answer = Answer::of(request.send().await?).await?;
    Ok((answer, server.end().await?.1))
}

#[tokio::test]
async fn message_is_sent_once_when_sqs_answers_slowly() -> TestResult {
    for millis in [1_100, 2_000] {
        let slow = Reaction::StoreAndAnswerAfter(Duration::from_millis(millis));
        let queue = StandInQueue::start([slow]).await?;
        let (answer, _) = post(&queue, "slow").await?;
        assert_eq!((answer.status, queue.stored()), (200, 1), "{}", answer.text);
    }
    Ok(())
}

#[tokio::test]
async fn message_is_not_sent_again_when_its_fate_is_unknown() -> TestResult {
    for reaction in [
        Reaction::StoreAndAnswerAfter(Duration::from_secs(60)),
        Reaction::StoreAndClose,
        Reaction::AnswerWithoutId,
        Reaction::Refuse(500, "InternalFailure"),
        Reaction::Refuse(502, "BadGateway"),
    ] {
        let queue = StandInQueue::start([reaction]).await?;
        let (answer, printed) = post(&queue, "standard").await?;
        assert_eq!(answer.status, 503, "{reaction:?}: {}", answer.text);
        assert_eq!(answer.json()["code"], "INGEST_QUEUE_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert!(answer.text.contains(UNKNOWN), "{}", answer.text);
        assert_eq!(queue.calls().len(), 1, "{reaction:?}: {}", printed.stdout);
    }
    Ok(())
}

#[tokio::test]
async fn fifo_message_is_sent_again_when_the_answer_is_lost() -> TestResult {
    let queue = StandInQueue::start([Reaction::StoreAndClose, AT_ONCE]).await?;
    let (answer, _) = post(&queue, "ordered.fifo").await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let calls = queue.calls();
    let ids: Vec<_> = calls.iter().map(|call| &call["MessageDeduplicationId"]).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids[0].is_string() && ids[0] == ids[1], "{ids:?}");

    let refused = Reaction::Refuse(403, "AccessDenied");
    let queue = StandInQueue::start([Reaction::StoreAndClose, refused]).await?;
    let (answer, _) = post(&queue, "ordered.fifo").await?;
    assert_eq!((answer.status, queue.calls().len()), (503, 2));
    assert!(answer.text.contains(UNKNOWN), "the first may be stored: {}", answer.text);
    Ok(())
}

#[tokio::test]
async fn message_is_sent_again_when_sqs_throttles() -> TestResult {
    for throttled in [
        Reaction::Refuse(400, "RequestThrottled"),
        Reaction::Refuse(400, "KmsThrottled"),
        Reaction::Refuse(403, "RequestThrottled"),
        Reaction::Refuse(429, "TooManyRequests"),
        Reaction::Refuse(503, "ServiceUnavailable"),
    ] {
        let queue = StandInQueue::start([throttled]).await?;
        let (answer, _) = post(&queue, "standard").await?;
        assert_eq!(answer.status, 200, "{throttled:?}: {}", answer.text);
        assert_eq!((queue.calls().len(), queue.stored()), (2, 1), "{throttled:?}");
    }
    Ok(())
}

#[tokio::test]
async fn refused_message_is_reported_as_not_queued() -> TestResult {
    let queue = StandInQueue::start([Reaction::Refuse(403, "AccessDenied")]).await?;
    let (answer, printed) = post(&queue, "standard").await?;
    assert_eq!((answer.status, queue.calls().len()), (503, 1));
    assert!(answer.text.contains(NOT_QUEUED), "{}", answer.text);
    assert!(printed.stdout.contains("SQS answered AccessDenied"));
    Ok(())
}

#[tokio::test]
async fn message_is_not_queued_when_sqs_is_not_reachable() -> TestResult {
    // A bound port on which nothing listens refuses connections, and no other test gets it.
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let endpoint = format!("http://{}", socket.local_addr()?);
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("AWS_ENDPOINT_URL_SQS".to_owned(), endpoint.clone());
    settings.insert("REPLAY_QUEUE_URL".to_owned(), format!("{endpoint}/1/q"));
    settings.insert("INGEST_AUTH".to_owned(), "none".to_owned());
    let server = Server::start(&settings, &harness.aws).await?;
    let request = reqwest::Client::new().post(server.url("/webhooks/genesys-outbound")).body("{}");
    let answer = Answer::of(request.send().await?).await?;
    assert_eq!(answer.status, 503);
    assert!(answer.text.contains(NOT_QUEUED), "{}", answer.text);
    let (_, printed) = server.end().await?;
    assert!(printed.stdout.contains("no connection"), "{}", printed.stdout);
    Ok(())
}

#[tokio::test]
async fn connection_is_renewed_when_it_was_idle_for_long() -> TestResult {
    let queue = StandInQueue::start([]).await?;
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_785_000_000_000)));
    let inlet = SqsInlet::new(&aws_at(&queue.endpoint()), queue.url("q"), clock.clone());
    for (idle, connections) in [(0, 1), (9, 1), (10, 2), (0, 2), (3_600, 3)] {
        clock.pass(Duration::from_secs(idle));
        inlet.send(&message()).await?;
        assert_eq!(queue.connections(), connections, "idle for {idle} s");
    }
    Ok(())
}

#[tokio::test]
async fn batch_entry_without_a_result_has_an_unknown_fate() -> TestResult {
    let queue = StandInQueue::start([Reaction::AnswerWithoutId]).await?;
    let client = aws_sdk_sqs::Client::new(&aws_at(&queue.endpoint()));
    let results = SqsSender::new(client, queue.url("q")).send_all(&[message(), message()]).await?;
    let is_unknown = |result: &_| matches!(result, Err(PutError::Unanswered { .. }));
    assert!(results.len() == 2 && results.iter().all(is_unknown), "{results:?}");
    Ok(())
}

/// A hook that never ends.
struct Hangs;

impl Faults<PutError> for Hangs {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, PutError> {
        Box::pin(pending())
    }
}

fn hanging(ingest: Ingest<genesys_fakes::InMemory>) -> Ingest<genesys_fakes::InMemory> {
    Ingest { sender: ingest.sender.with_faults(Arc::new(Hangs)), ..ingest }
}

#[tokio::test(start_paused = true)]
async fn event_is_answered_before_the_deadline_when_the_queue_hangs() -> TestResult {
    let ingest = IngestHarness::with(Authentication::None, hanging).await?;
    let edge = LambdaEdge::new(ingest.service());
    for (left_ms, expected_ms) in [(3_000, 2_500), (10_000, 4_500), (100, 0)] {
        let event = request("/webhooks/genesys-outbound", &[], b"{}").to_string();
        let mut context = lambda_runtime::Context::default();
        context.deadline = u64::try_from(now() * 1_000)? + left_ms;
        let before = Instant::now();
        let answer = edge.answer(&event, context).await;
        assert_eq!(answer.status_code, 503);
        assert!(answer.body.contains(UNKNOWN), "{}", answer.body);
        // The wall clock is not paused, so less time may be left than at the begin of the test.
        let took = i64::try_from(before.elapsed().as_millis())?;
        assert!(took <= expected_ms, "{took} ms");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn request_is_answered_within_five_seconds_when_all_hangs() -> TestResult {
    let ingest = IngestHarness::with(Authentication::None, hanging).await?;
    let edge = LambdaEdge::new(ingest.service());
    let body = wrapper("s-1", 0, "[1]");
    let headers = [("content-type", "application/json".to_owned())];
    let event = request("/dead-letter", &headers, body.as_bytes()).to_string();
    let mut context = lambda_runtime::Context::default();
    context.deadline = u64::MAX / 2;
    let before = Instant::now();
    let answer = edge.answer(&event, context).await;
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    let problem: serde_json::Value = serde_json::from_str(&answer.body)?;
    assert_eq!(problem["code"], json!("INGEST_QUEUE_UNAVAILABLE"));
    Ok(())
}
