//! A plain HTTP server, where no Lambda runtime is.

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

/// A connection that says nothing whole for so long is closed, whether it is slow or idle. A load balancer in front
/// has to give up its own idle connections sooner.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// An answer that is not taken for so long is not wanted: otherwise who never reads would hold a connection for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// What is in flight when the process is told to end gets so long.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);

/// Connections at once; more wait to be accepted. Half of the files that a process may usually open: the queue needs
/// some, too.
const MAX_CONNECTIONS: usize = 512;

/// The most that a connection reads ahead, in bytes.
const READ_AHEAD: usize = 32 * 1024;

/// How long nothing is accepted after the system could not: mostly, too many files are open.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves requests until `ended`, then finishes what is in flight.
///
/// # Errors
/// The listener does not say where it is.
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
    if timeout(SHUTDOWN_GRACE, connections.shutdown())
        .await
        .is_err()
    {
        log::cut_off();
    }
    Ok(())
}

/// Serves one connection to its end, with the time limits of all.
pub async fn serve_connection<P, S>(stream: S, edge: Arc<IngestService<P>>)
where
    P: IngestPorts,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let service = TowerToHyperService::new(router(edge));
    let connection = http().serve_connection(limited(stream), service);
    // A connection that breaks is its client's affair: what it sent whole is answered and said.
    let _ = connection.await;
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(READ_AHEAD)
        // Who says that nothing more will come still waits for the answer; and what was begun is ended, and said,
        // when its sender goes away: otherwise hyper would drop it.
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
        // Answers are one small packet each: nothing to gather. Without it they come later, no more.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = connections.watch(http.serve_connection(limited(stream), service));
        tokio::spawn(async move {
            // As above.
            let _ = connection.await;
            drop(permit);
        });
    }
}
