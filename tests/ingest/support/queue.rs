//! A stand-in SQS queue whose reactions to `SendMessage` are set by a test. It also has attributes.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// The reaction to one call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reaction {
    /// Stores the message, and answers after this time.
    StoreAndAnswerAfter(Duration),
    /// Stores the message, and closes the connection without an answer.
    StoreAndClose,
    /// Answers with this status and code.
    Refuse(u16, &'static str),
    /// Answers 200 without a message id.
    AnswerWithoutId,
}

/// A listening queue. A call without a set reaction is stored and answered at once.
#[derive(Clone)]
pub(crate) struct StandInQueue {
    address: SocketAddr,
    reactions: Arc<Mutex<VecDeque<Reaction>>>,
    calls: Arc<Mutex<Vec<Value>>>,
    stored: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StandInQueue {
    pub(crate) async fn start(reactions: impl IntoIterator<Item = Reaction>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let queue = Self {
            address: listener.local_addr()?,
            reactions: Arc::new(Mutex::new(reactions.into_iter().collect())),
            calls: Arc::default(),
            stored: Arc::default(),
            connections: Arc::default(),
        };
        let serving = queue.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let queue = serving.clone();
                let service = service_fn(move |request| queue.clone().react(request));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Ok(queue)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the URL of a queue with this name.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/271828182845/{name}", self.endpoint())
    }

    /// Returns the bodies of all calls.
    pub(crate) fn calls(&self) -> Vec<Value> {
        lock(&self.calls).clone()
    }

    /// Returns the number of stored messages.
    pub(crate) fn stored(&self) -> usize {
        self.stored.load(Ordering::SeqCst)
    }

    /// Returns the number of accepted connections.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    async fn react(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
        let target = request.headers().get("x-amz-target").cloned();
        if target.is_some_and(|target| target == "AmazonSQS.GetQueueAttributes") {
            return Ok(respond(StatusCode::OK, &json!({ "Attributes": {} })));
        }
        let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        lock(&self.calls).push(serde_json::from_slice(&body)?);
        let reaction = lock(&self.reactions).pop_front();
        let id = json!({ "MessageId": "590dfd22-b30f-4a63-81f8-72cbb5e782d0" });
        let answer = match reaction.unwrap_or(Reaction::StoreAndAnswerAfter(Duration::ZERO)) {
            Reaction::StoreAndAnswerAfter(delay) => {
                self.stored.fetch_add(1, Ordering::SeqCst);
                sleep(delay).await;
                respond(StatusCode::OK, &id)
            }
            Reaction::StoreAndClose => {
                self.stored.fetch_add(1, Ordering::SeqCst);
                return Err(io::Error::other("the connection is closed"));
            }
            Reaction::Refuse(status, code) => {
                let error =
                    json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": "-" });
                respond(StatusCode::from_u16(status).unwrap_or_default(), &error)
            }
            Reaction::AnswerWithoutId => respond(StatusCode::OK, &json!({})),
        };
        Ok(answer)
    }
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response
}
