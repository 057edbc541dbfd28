//! A proxy whose open connections can fail, as connections do while an environment is frozen.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// The failure of an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFault {
    /// The server closes it (FIN).
    Closed,
    /// The server has forgotten it, and answers the next byte with a reset (RST).
    Reset,
    /// A device on the way has forgotten it, and drops every byte.
    Silent,
}

/// The order to fail, and the report that the connection has failed.
type Order = (ConnectionFault, oneshot::Sender<()>);

/// A TCP proxy of one server on a free port of 127.0.0.1. Dropping it stops new connections.
pub struct TcpProxy {
    address: SocketAddr,
    open: Arc<Mutex<Vec<mpsc::Sender<Order>>>>,
    listening: JoinHandle<()>,
}

impl TcpProxy {
    /// Starts a proxy of the server with this URL, such as `http://127.0.0.1:8080`.
    pub async fn start(url: &str) -> Result<Self, Box<dyn Error>> {
        let server: SocketAddr = url.strip_prefix("http://").ok_or("no http URL")?.parse()?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let open = Arc::<Mutex<Vec<mpsc::Sender<Order>>>>::default();
        let connections = Arc::clone(&open);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (order, orders) = mpsc::channel(1);
                let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
                connections.retain(|connection| !connection.is_closed());
                connections.push(order);
                tokio::spawn(connection(client, server, orders));
            }
        });
        Ok(Self { address, open, listening })
    }

    /// Returns the proxy's URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Fails all open connections. Returns their number once they have failed.
    pub async fn fail_open_connections(&self, fault: ConnectionFault) -> usize {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        let mut failed = 0;
        for connection in open {
            let (report, reported) = oneshot::channel();
            // An error means that the connection has ended.
            let is_open = connection.send((fault, report)).await.is_ok();
            failed += usize::from(is_open && reported.await.is_ok());
        }
        failed
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Forwards the bytes of one connection until a side closes it, or until an order to fail.
async fn connection(mut client: TcpStream, server: SocketAddr, mut orders: mpsc::Receiver<Order>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    // Small packets must not wait for each other. If this fails, they are only slower.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let order = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        order = orders.recv() => order,
    };
    let Some((fault, report)) = order else {
        // The proxy was dropped. Its connections continue.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    };
    drop(server);
    if fault == ConnectionFault::Closed {
        let _ = client.shutdown().await;
    }
    // The order's sender waits until the connection has failed.
    let _ = report.send(());
    let mut dropped = [0; 4_096];
    while let Ok(1..) = client.read(&mut dropped).await {
        if fault == ConnectionFault::Reset {
            // With a zero linger time, the end of the connection is a reset.
            let _ = client.set_zero_linger();
            return;
        }
    }
}
