//! A plain HTTP server, for hosts without a Lambda runtime.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use genesys_replay_telemetry as telemetry;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

use super::{IngestService, log, router};
use crate::IngestPorts;

/// The maximum time for the head of a request to arrive; slow and idle connections are closed after it. A load
/// balancer in front needs a shorter idle timeout.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// The maximum time that a write may block. Otherwise a client that never reads would hold its connection forever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// The time that open requests have to finish after the shutdown signal.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);

/// The maximum number of open connections; more wait to be accepted. This limit is half of a process's usual limit of
/// open files, because the queue's client needs some too.
const MAX_CONNECTIONS: usize = 512;

/// The maximum number of bytes that a connection reads ahead.
const READ_AHEAD: usize = 32 * 1024;

/// The delay after a connection could not be accepted, mostly because too many files are open.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves requests until `ended`, then drains open requests.
///
/// # Errors
/// The listener's address cannot be read.
pub async fn serve<P: IngestPorts>(
    listener: TcpListener,
    edge: Arc<IngestService<P>>,
    ended: impl Future<Output = ()>,
) -> io::Result<()> {
    log::listening(listener.local_addr()?);
    let connections = GracefulShutdown::new();
    tokio::select! {
        () = accept(&listener, router(edge), &connections) => {}
        () = ended => {}
    }
    drop(listener);
    telemetry::ending();
    if timeout(SHUTDOWN_GRACE, connections.shutdown()).await.is_err() {
        log::cut_off();
    }
    Ok(())
}

/// Serves one connection to its end, with the same time limits as [`serve`].
pub async fn serve_connection<P, S>(stream: S, edge: Arc<IngestService<P>>)
where
    P: IngestPorts,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let service = TowerToHyperService::new(router(edge));
    let connection = http().serve_connection(limited(stream), service);
    // A broken connection is ignored: requests that arrived whole are still completed and logged.
    let _ = connection.await;
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(READ_AHEAD)
        // A client that closes its sending side still waits for the answer. Without this option hyper drops a request
        // whose client disconnects, before the request is completed and logged.
        .half_close(true);
    http
}

fn limited<S: AsyncRead + AsyncWrite>(stream: S) -> TokioIo<Pin<Box<TimeoutStream<S>>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    TokioIo::new(Box::pin(stream))
}

async fn accept(listener: &TcpListener, router: Router, connections: &GracefulShutdown) {
    let http = http();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut is_in_trouble = false;
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if !is_in_trouble {
                    log::not_accepted(&error);
                }
                is_in_trouble = true;
                sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        is_in_trouble = false;
        // Answers are one small packet each, so disable Nagle's algorithm. A failure only slows answers.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = connections.watch(http.serve_connection(limited(stream), service));
        tokio::spawn(async move {
            // A broken connection is ignored, as in `serve_connection`.
            let _ = connection.await;
            drop(permit);
        });
    }
}
