//! A plain HTTP server, for hosts without a Lambda runtime.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use genesys_replay_telemetry as telemetry;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::connections::{ConnectionHandle, Connections};
use super::counted_stream::CountedStream;
use super::{IngestService, log, router};
use crate::IngestPorts;

/// The maximum time for the head of a request to arrive; slow and idle connections are closed after it. A load
/// balancer in front needs a shorter idle timeout.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// The maximum time that a write may block. Otherwise a client that never reads would hold its connection forever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// The time that open requests have to finish after the shutdown signal.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);

/// The time that a connection has for its last answer when it makes room for another one.
const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// The maximum number of open connections. This limit is half of a process's usual limit of open files, because the
/// queue's client needs some too.
const MAX_CONNECTIONS: usize = 512;

/// The maximum number of bytes that a connection reads ahead.
const READ_AHEAD: usize = 32 * 1024;

/// The number of connections that are closed after a connection could not be accepted.
const EVICTED_AT_ONCE: usize = 16;

/// The delay after a connection could not be accepted, mostly because too many files are open.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The number of connections that the operating system holds until they are accepted. With the usual 128, a burst would
/// wait for a second, because the system drops its first packets.
const BACKLOG: u32 = 1_024;

/// Listens at this address.
///
/// # Errors
/// The address is in use or not of this host.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The server.
#[derive(Clone)]
pub struct HttpServer {
    router: TowerToHyperService<Router>,
    connections: Arc<Connections>,
    shutdown: CancellationToken,
}

impl HttpServer {
    /// Creates a server of this service.
    #[must_use]
    pub fn new<P: IngestPorts>(service: Arc<IngestService<P>>) -> Self {
        Self {
            router: TowerToHyperService::new(router(service)),
            connections: Connections::new(MAX_CONNECTIONS),
            shutdown: CancellationToken::new(),
        }
    }

    /// Serves requests until `ended`, then drains open requests.
    ///
    /// # Errors
    /// The listener's address cannot be read.
    pub async fn serve(
        self,
        listener: TcpListener,
        ended: impl Future<Output = ()>,
    ) -> io::Result<()> {
        log::listening(listener.local_addr()?);
        tokio::select! {
            () = self.accept(&listener) => {}
            () = ended => {}
        }
        drop(listener);
        telemetry::ending();
        self.shutdown.cancel();
        if timeout(SHUTDOWN_GRACE, self.connections.all_closed()).await.is_err() {
            log::cut_off();
        }
        Ok(())
    }

    async fn accept(&self, listener: &TcpListener) {
        let mut is_in_trouble = false;
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    if !is_in_trouble {
                        log::not_accepted(&error);
                    }
                    is_in_trouble = true;
                    self.connections.evict(EVICTED_AT_ONCE);
                    sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                }
            };
            is_in_trouble = false;
            // Answers are one small packet each, so disable Nagle's algorithm. A failure only slows answers.
            let _ = stream.set_nodelay(true);
            let connection = self.connections.open(peer_of(address.ip())).await;
            tokio::spawn(self.clone().serve_connection(stream, connection));
        }
    }

    /// Serves one connection of this peer to its end, with the same limits as [`serve`](Self::serve).
    pub async fn connect<S>(self, stream: S, peer: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let connection = self.connections.open(peer).await;
        self.serve_connection(stream, connection).await;
    }

    async fn serve_connection<S>(self, stream: S, connection: Arc<ConnectionHandle>)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let served = Arc::clone(&connection);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let connection = Arc::clone(&served);
            let router = self.router.clone();
            async move {
                connection.begin_request();
                let mut request: Request = request.map(Body::new);
                request.extensions_mut().insert(Arc::clone(&connection));
                let response = router.call(request).await;
                connection.end_request();
                response
            }
        });
        let stream = limited(CountedStream::new(stream, Arc::clone(&connection)));
        let mut http = pin!(http().serve_connection(stream, service));
        // A broken connection is ignored: requests that arrived whole are still completed and logged.
        tokio::select! {
            _ = http.as_mut() => {}
            () = connection.evicted() => {
                http.as_mut().graceful_shutdown();
                // A stalled head gets no answer, and an idle connection closes at its next poll.
                let grace = if connection.is_served() { EVICTION_GRACE } else { Duration::ZERO };
                let _ = timeout(grace, http).await;
            }
            () = self.shutdown.cancelled() => {
                http.as_mut().graceful_shutdown();
                let _ = http.await;
            }
        }
    }
}

/// Returns the address that counts as one peer: an IPv4 address, or the network of 64 bits of an IPv6 address, because a
/// host can use all addresses of its network.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_is_an_ipv4_address_or_an_ipv6_network() -> Result<(), std::net::AddrParseError> {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ] {
            assert_eq!(peer_of(address.parse()?), expected.parse::<IpAddr>()?, "{address}");
        }
        Ok(())
    }
}
