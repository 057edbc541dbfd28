//! The results of sending a plan's messages to a queue, on the wire.

use aws_sdk_sqs::Client;
use genesys_replay::message::{Message, MessageId};
use genesys_replay::queue::{MessageSender, NewMessage};
use genesys_replay_aws::sqs_sender::SqsSender;
use genesys_replay_cli::operator::apply::{QueueSender, SendResult, Sender};
use genesys_test_support::{TestResult, aws_at};
use mockito::{Matcher, Server};
use serde_json::json;

use super::diagnose::lazy_queue::LazyQueue;

const QUEUE: &str = "https://sqs.eu-central-1.amazonaws.com/271828182845/dead-letters";

fn sender(server: &Server) -> QueueSender<SqsSender, LazyQueue> {
    let client = Client::new(&aws_at(&server.url()));
    let sender = SqsSender::new(client, QUEUE.to_owned());
    QueueSender { sender, queue: LazyQueue::empty(), name: "q".to_owned() }
}

fn message(body: &str) -> Result<Message, &'static str> {
    Ok(Message::new(MessageId::new("m-1").ok_or("id")?, body.to_owned()))
}

#[tokio::test]
async fn failed_entry_of_a_batch_is_sent_never_or_perhaps() -> TestResult {
    for (code, is_senders_fault, says, expected) in [
        (
            "InvalidMessageContents",
            true,
            "invalid characters",
            Ok("rejected the message: SQS answered InvalidMessageContents: invalid characters"),
        ),
        (
            "InvalidParameterValue",
            true,
            "Message must be shorter than 262144 bytes.",
            Ok(
                "does not accept a message of 4 bytes; its limit (MaximumMessageSize) is 262144 bytes",
            ),
        ),
        ("KmsThrottled", true, "Rate exceeded", Ok("SQS answered KmsThrottled")),
        ("InternalError", false, "", Err("may be stored: SQS answered InternalError")),
    ] {
        let mut server = Server::new_async().await;
        let failed =
            json!({"Id": "0", "Code": code, "SenderFault": is_senders_fault, "Message": says});
        let answer = json!({"Successful": [], "Failed": [failed]}).to_string();
        let call = server.mock("POST", Matcher::Any).with_body(answer).expect(1);
        let call = call.create_async().await;
        let results = sender(&server).send(&[message("body")?]).await?;
        let result = results.first().ok_or("no result")?;
        match (result, expected) {
            (SendResult::NotSent(reason), Ok(text)) | (SendResult::Doubtful(reason), Err(text)) => {
                assert!(reason.contains(text), "{code}: {reason}");
            }
            _ => return Err(format!("{code}: {result:?}").into()),
        }
        call.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn message_above_the_queues_limit_is_refused_without_a_call() -> TestResult {
    let mut server = Server::new_async().await;
    let never = server.mock("POST", Matcher::Any).expect(0).create_async().await;
    let client = Client::new(&aws_at(&server.url()));
    let sender = SqsSender::new(client, QUEUE.to_owned()).with_max_bytes(1_000);
    let long = NewMessage {
        body: "x".repeat(1_001),
        attributes: Vec::new(),
        group: "g".to_owned(),
        deduplication: "d".to_owned(),
    };
    let expected = "the queue does not accept a message of 1001 bytes; its limit (MaximumMessageSize) is 1000 bytes";
    let one = sender.send(&long).await.err().map(|error| error.to_string());
    assert_eq!(one.as_deref(), Some(expected));
    let all = sender.send_all(&[long]).await?;
    let all = all.into_iter().filter_map(Result::err).map(|error| error.to_string());
    assert_eq!(all.collect::<Vec<_>>(), [expected]);
    never.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn message_with_ten_attributes_is_refused_with_the_way_out() -> TestResult {
    let server = Server::new_async().await;
    let mut full = message("body")?;
    full.attributes = (0..10).map(|number| (format!("a{number}"), "x".to_owned())).collect();
    full.attributes.insert("ReplayPlan".to_owned(), "p-1".to_owned());
    let results = sender(&server).send(&[full]).await?;
    let Some(SendResult::NotSent(reason)) = results.first() else {
        return Err(format!("{results:?}").into());
    };
    assert!(reason.contains("11 message attributes") && reason.contains("--to target"), "{reason}");
    Ok(())
}
