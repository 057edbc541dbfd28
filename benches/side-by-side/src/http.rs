//! A small HTTP server on a free port of 127.0.0.1.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// A request with its body read.
pub(crate) struct ReceivedRequest {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A running server. Dropping it closes its port and its connections.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    running: AbortHandle,
}

impl Server {
    /// Starts a server on the current runtime.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) async fn start<A, F>(answer: A) -> io::Result<Self>
    where
        A: Fn(ReceivedRequest) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // The usual reason is too many open files, which is temporary.
                    sleep(Duration::from_millis(10)).await;
                    continue;
                };
                stream.set_nodelay(true).ok();
                let answer = answer.clone();
                let service = service_fn(move |request| respond(request, answer.clone()));
                connections
                    .spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, running: serving.abort_handle() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn respond<F>(
    request: Request<Incoming>,
    answer: impl Fn(ReceivedRequest) -> F,
) -> Result<Response<Full<Bytes>>, Infallible>
where
    F: Future<Output = Response<Full<Bytes>>>,
{
    let (head, body) = request.into_parts();
    // An incomplete body comes from a closed connection: no client reads the response.
    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
    Ok(answer(ReceivedRequest {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body: body.unwrap_or_default(),
    })
    .await)
}
