//! Lambda's Runtime API for one process: it sends events and receives their responses.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

use crate::http::{ReceivedRequest, Server};

/// The maximum duration of a batch: Lambda's own limit, because sequential records take long.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(900);

/// The ARN of the function.
const FUNCTION_ARN: &str = "arn:aws:lambda:eu-central-1:271828182845:function:replay";

const PREFIX: &str = "/2018-06-01/runtime/";

/// An invocation, from the delivery of its event to its response.
#[derive(Debug)]
pub(crate) struct TimedResponse {
    /// The response. `Err`: the function reported an error.
    pub(crate) answer: Result<Bytes, Bytes>,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
}

impl TimedResponse {
    pub(crate) fn took(&self) -> Duration {
        self.ended - self.started
    }
}

/// The API for one process.
pub(crate) struct RuntimeApi {
    events: mpsc::UnboundedSender<Pending>,
    server: Server,
}

struct Pending {
    payload: Bytes,
    answered: oneshot::Sender<TimedResponse>,
}

struct Shared {
    events: AsyncMutex<mpsc::UnboundedReceiver<Pending>>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    count: u64,
    started: HashMap<String, (Instant, oneshot::Sender<TimedResponse>)>,
}

impl RuntimeApi {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) async fn start() -> io::Result<Self> {
        let (events, receiver) = mpsc::unbounded_channel();
        let shared =
            Arc::new(Shared { events: AsyncMutex::new(receiver), running: Mutex::default() });
        let server = Server::start(move |asked| answer(asked, Arc::clone(&shared))).await?;
        Ok(Self { events, server })
    }

    /// Returns the value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Sends an event when the function polls for one, and waits for the response.
    ///
    /// `None`: the server has ended.
    pub(crate) async fn invoke(&self, payload: Bytes) -> Option<TimedResponse> {
        let (answered, answer) = oneshot::channel();
        self.events.send(Pending { payload, answered }).ok()?;
        answer.await.ok()
    }
}

async fn answer(asked: ReceivedRequest, shared: Arc<Shared>) -> Response<Full<Bytes>> {
    let ended = Instant::now();
    let path = asked.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    match (&asked.method, parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(&shared).await,
        (&Method::POST, ["invocation", id, how @ ("response" | "error")]) => {
            let body = asked.body;
            let answer = if *how == "response" { Ok(body) } else { Err(body) };
            let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
            match running.started.remove(*id) {
                Some((started, answered)) => {
                    let done = TimedResponse { answer, started, ended };
                    // The receiver is dropped when the harness ends.
                    answered.send(done).ok();
                    plain(StatusCode::ACCEPTED)
                }
                None => plain(StatusCode::BAD_REQUEST),
            }
        }
        // The process ends after this error, and its log has the reason.
        (&Method::POST, ["init", "error"]) => plain(StatusCode::ACCEPTED),
        _ => plain(StatusCode::NOT_FOUND),
    }
}

async fn next(shared: &Shared) -> Response<Full<Bytes>> {
    let Some(Pending { payload, answered }) = shared.events.lock().await.recv().await else {
        return plain(StatusCode::GONE);
    };
    let deadline = (SystemTime::now() + TIMEOUT).duration_since(UNIX_EPOCH);
    let deadline_ms = deadline.unwrap_or_default().as_millis();
    let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
    running.count += 1;
    let id = format!("00000000-0000-4000-8000-{:012x}", running.count);
    let started = (Instant::now(), answered);
    running.started.insert(id.clone(), started);
    Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-deadline-ms", deadline_ms.to_string())
        .header("lambda-runtime-invoked-function-arn", FUNCTION_ARN)
        .header("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0")
        .body(Full::new(payload))
        .unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR))
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
