//! Connections and the handling of a request.

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::answer::AnswerBody;
use crate::control;
use crate::fault::Fault;
use crate::received::Received;
use crate::state::{Arrival, Shared};

/// The delay after a failed accept, whose usual reason is too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Passes each request to `answer` until it is dropped, with all connections.
///
/// On an error, hyper closes the connection without a response.
pub(crate) async fn serve<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(Received) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<Response<AnswerBody>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, answer.clone()));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection<A, F>(stream: TcpStream, answer: A)
where
    A: Fn(Received) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<Response<AnswerBody>>> + Send + 'static,
{
    // Without TCP_NODELAY, a keep-alive client may wait 40 ms. If it cannot be set, responses are only slower.
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| {
        let answer = answer.clone();
        async move { answer(receive(request).await?).await }
    });
    // An error means that the client or a fault closed the connection, which is expected.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn receive(request: Request<Incoming>) -> io::Result<Received> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Received { method: head.method, uri: head.uri, headers: head.headers, body })
}

/// Handles one request to the stand-in.
///
/// # Errors
///
/// A fault closes the connection without a response.
pub(crate) async fn respond(
    request: Received,
    shared: Arc<Shared>,
) -> io::Result<Response<AnswerBody>> {
    if let Some(path) = request.uri.path().strip_prefix("/_stand-in/") {
        return Ok(control::answer(&request, path, &shared).whole());
    }
    let Arrival { seq, fault, latency } = shared.lock().arrive(&request);
    pause(latency).await;
    if let Some(fault) = fault {
        return misbehave(&request, seq, &fault, &shared).await;
    }
    let mut state = shared.lock();
    let answer = state.act(&request, seq);
    state.calls.answered(seq, answer.status);
    Ok(answer.whole())
}

async fn misbehave(
    request: &Received,
    seq: u64,
    fault: &Fault,
    shared: &Shared,
) -> io::Result<Response<AnswerBody>> {
    let normal = fault.act.then(|| shared.lock().act(request, seq));
    pause(fault.wait()).await;
    if fault.hang {
        return pending().await;
    }
    if fault.close {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let status = fault.status.and_then(|status| StatusCode::from_u16(status).ok());
    let mut state = shared.lock();
    let answer = match (status, normal) {
        (Some(status), _) => state.fault(request, seq, status, fault),
        (None, Some(normal)) => normal,
        (None, None) => state.act(request, seq),
    };
    state.calls.answered(seq, answer.status);
    Ok(if fault.truncate { answer.truncated() } else { answer.whole() })
}

pub(crate) async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
