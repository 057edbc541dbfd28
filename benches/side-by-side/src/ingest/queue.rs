//! The queue of the server under test: serves `SendMessage` and counts the messages.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::request::{Digest, Route, digest};
use crate::http::{ReceivedRequest, Server};

const PATH: &str = "/271828182845/dead-letters";

/// The number of messages by body and route. `None`: unknown origin.
pub(crate) type Sent = HashMap<(Digest, Option<Route>), u32>;

/// The stand-in queue. Dropping it closes its port.
pub(crate) struct Queue {
    server: Server,
    sent: Arc<Mutex<Sent>>,
}

impl Queue {
    /// Starts a queue that responds to each `SendMessage` after `latency`.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) async fn start(latency: Duration) -> io::Result<Self> {
        let sent = Arc::<Mutex<Sent>>::default();
        let noted = Arc::clone(&sent);
        let server = Server::start(move |asked| {
            let answer = send_message(&asked, &noted);
            async move {
                if !latency.is_zero() {
                    sleep(latency).await;
                }
                answer
            }
        })
        .await?;
        Ok(Self { server, sent })
    }

    /// Returns the endpoint URL of SQS for the server under test.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Returns the queue URL.
    pub(crate) fn url(&self) -> String {
        self.endpoint() + PATH
    }

    /// Returns and clears the messages since the last call.
    pub(crate) fn take(&self) -> Sent {
        std::mem::take(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the id of the message with this body.
pub(crate) fn message_id(digest: &Digest) -> String {
    let hex = hex(digest);
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

fn hex(digest: &Digest) -> String {
    let mut hex = String::with_capacity(32);
    for byte in digest {
        // Writing to a string cannot fail.
        write!(hex, "{byte:02x}").ok();
    }
    hex
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage<'r> {
    #[serde(borrow)]
    queue_url: Cow<'r, str>,
    #[serde(borrow)]
    message_body: Cow<'r, str>,
    #[serde(default)]
    message_attributes: HashMap<String, Value>,
}

fn send_message(asked: &ReceivedRequest, sent: &Mutex<Sent>) -> Response<Full<Bytes>> {
    let target = asked.headers.get("x-amz-target");
    if target.is_none_or(|target| target != "AmazonSQS.SendMessage") {
        return refuse("UnsupportedOperation");
    }
    let Ok(message) = serde_json::from_slice::<SendMessage<'_>>(&asked.body) else {
        return refuse("SerializationException");
    };
    if !message.queue_url.ends_with(PATH) {
        return refuse("QueueDoesNotExist");
    }
    let origin = message.message_attributes.get("Origin");
    let origin = origin.and_then(|origin| origin["StringValue"].as_str());
    let route = Route::ALL.into_iter().find(|route| Some(route.origin()) == origin);
    let digest = digest(message.message_body.as_bytes());
    let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
    *sent.entry((digest, route)).or_default() += 1;
    let answer = json!({"MessageId": message_id(&digest), "MD5OfMessageBody": hex(&digest)});
    respond(StatusCode::OK, &answer)
}

fn refuse(code: &str) -> Response<Full<Bytes>> {
    let error = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": "the stand-in queue takes no such message"});
    respond(StatusCode::BAD_REQUEST, &error)
}

fn respond(status: StatusCode, answer: &Value) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(Full::new(answer.to_string().into()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Answer, Connection};

    async fn ask(queue: &Queue, target: &str, body: &Value) -> anyhow::Result<(Answer, Value)> {
        let body = body.to_string();
        let length = body.len();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: queue\r\nx-amz-target: AmazonSQS.{target}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut connection = Connection::open(&queue.server.address.to_string()).await?;
        let answer = connection.exchange(&[request.as_bytes()]).await?;
        let body = serde_json::from_slice(&answer.body)?;
        Ok((answer, body))
    }

    #[tokio::test]
    async fn message_is_counted_by_the_digest_of_its_response() -> anyhow::Result<()> {
        let queue = Queue::start(Duration::ZERO).await?;
        let origin = json!({"DataType": "String", "StringValue": "ingest/webhook"});
        let message = json!({
            "QueueUrl": queue.url(),
            "MessageBody": "{\"a\":\"b\"}",
            "MessageAttributes": {"Origin": origin},
        });
        for _ in 0..2 {
            let (answer, body) = ask(&queue, "SendMessage", &message).await?;
            assert_eq!(answer.status, 200);
            // Computed with `md5sum`.
            assert_eq!(body["MD5OfMessageBody"], "92eff9dda44cb8003ee13990782580ff");
            assert_eq!(body["MessageId"], "92eff9dd-a44c-b800-3ee1-3990782580ff");
        }
        let sent = queue.take();
        let key = (digest(br#"{"a":"b"}"#), Some(Route::Webhook));
        assert_eq!(sent, HashMap::from([(key, 2)]));
        assert!(queue.take().is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn queue_refuses_other_operations_and_queues() -> anyhow::Result<()> {
        let queue = Queue::start(Duration::ZERO).await?;
        let elsewhere = format!("{}/1/other", queue.endpoint());
        for (target, body) in [
            ("DeleteMessage", json!({"QueueUrl": queue.url(), "MessageBody": "{}"})),
            ("SendMessage", json!({"QueueUrl": elsewhere, "MessageBody": "{}"})),
            ("SendMessage", json!({"QueueUrl": queue.url()})),
        ] {
            assert_eq!(ask(&queue, target, &body).await?.0.status, 400, "{body}");
        }
        assert!(queue.take().is_empty());
        Ok(())
    }
}
