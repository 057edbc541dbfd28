//! The open connections of the server, and the choice of those that make room for new ones.
//!
//! A new connection is accepted at once. If there are too many, an idle one is closed: of the peer with the most
//! connections, the one that was idle longest. If none is idle, a connection whose request stalls is closed by the same
//! rule, and then the slowest request of a peer that holds more than half of the connections, if the new one is of a peer
//! with fewer. A request whose bytes all arrived is always answered.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::progress::{Pace, Progress, STALL_TIME};

/// The maximum number of closed connections that still send their answer. Each ends within a second.
const MAX_CLOSING: usize = 128;

/// The time after which an idle connection makes room. The first bytes of a client directly follow its connection.
const MIN_IDLE_TIME: Duration = Duration::from_millis(100);

/// The pace below which a request makes room after [`STALL_TIME`].
const MIN_BYTES_PER_SECOND: u64 = 16 * 1024;

/// The time after which a new connection without room checks the others again.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The open connections.
pub(super) struct Connections {
    max_open: usize,
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Default)]
struct Table {
    next_id: u64,
    open: HashMap<u64, OpenConnection>,
    closing: usize,
}

struct OpenConnection {
    peer: IpAddr,
    phase: ConnectionPhase,
    evicted: CancellationToken,
}

/// The phase of a connection.
enum ConnectionPhase {
    /// No request is in flight.
    Idle {
        /// The end of the last answer, or the begin of the connection.
        since: Instant,
    },
    /// A head or a body arrives.
    Receiving(Progress),
    /// The server does not read the body, because it waits for buffer space.
    Paused(Progress, Instant),
    /// The bytes of a request all arrived.
    Answering,
}

/// The key by which connections are closed: the least one first.
type Order = (u8, Reverse<usize>, Pace);

impl ConnectionPhase {
    /// Returns the class and the pace of a connection that may be closed.
    fn evictable(&self, now: Instant) -> Option<(u8, Pace)> {
        match self {
            Self::Idle { since } => (now.saturating_duration_since(*since) >= MIN_IDLE_TIME)
                .then_some((0, Pace::Stalled { last_byte: *since })),
            Self::Receiving(progress) => {
                let pace = progress.pace(now);
                let is_slow = progress.age(now) >= STALL_TIME
                    && pace.bytes_per_second() < MIN_BYTES_PER_SECOND;
                is_slow.then_some((1, pace))
            }
            Self::Paused(..) | Self::Answering => None,
        }
    }

    /// Returns the pace of a request whose bytes did not all arrive yet.
    fn incomplete(&self, now: Instant) -> Option<Pace> {
        match self {
            Self::Receiving(progress) | Self::Paused(progress, _) => Some(progress.pace(now)),
            Self::Idle { .. } | Self::Answering => None,
        }
    }
}

impl Table {
    /// Closes the first connection by the rule, for a new connection of `newcomer`. A peer's requests in progress make
    /// room only if it holds more than `fair_share` connections. Returns false if no connection may be closed.
    fn evict(&mut self, now: Instant, newcomer: Option<IpAddr>, fair_share: usize) -> bool {
        if self.closing >= MAX_CLOSING {
            return false;
        }
        let mut by_peer: HashMap<IpAddr, usize> = HashMap::new();
        for connection in self.open.values() {
            *by_peer.entry(connection.peer).or_default() += 1;
        }
        let count_of = |peer: &IpAddr| by_peer.get(peer).copied().unwrap_or_default();
        let of_newcomer = newcomer.map(|peer| count_of(&peer));
        let order = |connection: &OpenConnection| -> Option<Order> {
            let count = count_of(&connection.peer);
            let is_dominant =
                count > fair_share && of_newcomer.is_some_and(|newcomer| newcomer < count);
            let incomplete = || connection.phase.incomplete(now).filter(|_| is_dominant);
            let (class, pace) =
                connection.phase.evictable(now).or_else(|| Some((2, incomplete()?)))?;
            Some((class, Reverse(count), pace))
        };
        let candidates = self.open.iter().filter_map(|(id, it)| Some((order(it)?, *id)));
        let Some(evicted) = candidates.min().and_then(|(_, id)| self.open.remove(&id)) else {
            return false;
        };
        evicted.evicted.cancel();
        self.closing += 1;
        true
    }
}

impl Connections {
    pub(super) fn new(max_open: usize) -> Arc<Self> {
        Arc::new(Self { max_open, table: Mutex::default(), changed: Notify::new() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection, after it has made room if there are too many. Waits while no other connection may be closed:
    /// all answer a request, receive one at a good pace, or are so new that their clients may be about to send.
    pub(super) async fn open(self: &Arc<Self>, peer: IpAddr) -> Arc<ConnectionHandle> {
        loop {
            let now = Instant::now();
            {
                let mut table = self.table();
                if table.open.len() < self.max_open
                    || table.evict(now, Some(peer), self.max_open / 2)
                {
                    let id = table.next_id;
                    table.next_id += 1;
                    let evicted = CancellationToken::new();
                    let phase = ConnectionPhase::Idle { since: now };
                    table.open.insert(id, OpenConnection { peer, phase, evicted: evicted.clone() });
                    let is_served = AtomicBool::new(false);
                    let connections = Arc::clone(self);
                    return Arc::new(ConnectionHandle {
                        connections,
                        id,
                        peer,
                        evicted,
                        is_served,
                    });
                }
            }
            // Others become idle without a notification.
            let _ = timeout(CHECK_INTERVAL, self.changed.notified()).await;
        }
    }

    /// Closes up to this many connections, because the process has too many open files.
    pub(super) fn evict(&self, count: usize) {
        let now = Instant::now();
        let mut table = self.table();
        for _ in 0..count {
            table.evict(now, None, self.max_open / 2);
        }
    }

    /// Waits until every connection has ended.
    pub(super) async fn all_closed(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let table = self.table();
                if table.open.is_empty() && table.closing == 0 {
                    return;
                }
            }
            changed.await;
        }
    }
}

/// One connection. Dropping it makes its room free.
pub(super) struct ConnectionHandle {
    connections: Arc<Connections>,
    id: u64,
    peer: IpAddr,
    evicted: CancellationToken,
    /// True while a request is in the router.
    is_served: AtomicBool,
}

impl ConnectionHandle {
    pub(super) const fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Returns true if a request is in the router, which answers it.
    pub(super) fn is_served(&self) -> bool {
        self.is_served.load(Ordering::SeqCst)
    }

    /// Waits until the connection must end, because it made room for another one.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Notes received bytes.
    pub(super) fn receive(&self, bytes: usize) {
        let now = Instant::now();
        self.change(|phase| match phase {
            ConnectionPhase::Idle { .. } => {
                let mut progress = Progress::new(now);
                progress.receive(bytes, now);
                *phase = ConnectionPhase::Receiving(progress);
            }
            ConnectionPhase::Receiving(progress) | ConnectionPhase::Paused(progress, _) => {
                progress.receive(bytes, now);
            }
            ConnectionPhase::Answering => {}
        });
    }

    /// Notes that a head arrived, and that the router has the request.
    pub(super) fn begin_request(&self) {
        self.is_served.store(true, Ordering::SeqCst);
        // The head may have arrived together with an earlier request.
        self.receive(0);
    }

    /// Notes that the router has answered.
    pub(super) fn end_request(&self) {
        self.is_served.store(false, Ordering::SeqCst);
        let since = Instant::now();
        self.change(|phase| *phase = ConnectionPhase::Idle { since });
    }

    /// Notes that the server does not read the body at the moment, so that the sender does not count as stalled.
    pub(super) fn pause(&self) {
        let now = Instant::now();
        self.change(|phase| {
            if let ConnectionPhase::Receiving(progress) = phase {
                *phase = ConnectionPhase::Paused(*progress, now);
            }
        });
    }

    /// Notes that the server reads the body again.
    pub(super) fn read_again(&self) {
        let now = Instant::now();
        self.change(|phase| {
            if let ConnectionPhase::Paused(progress, since) = phase {
                progress.leave_out(now.saturating_duration_since(*since));
                *phase = ConnectionPhase::Receiving(*progress);
            }
        });
    }

    /// Protects the connection until its answer, because the bytes of the request all arrived. Returns false if the
    /// connection already made room for another one.
    pub(super) fn protect(&self) -> bool {
        self.change(|phase| *phase = ConnectionPhase::Answering)
    }

    fn change(&self, change: impl FnOnce(&mut ConnectionPhase)) -> bool {
        let mut table = self.connections.table();
        let connection = table.open.get_mut(&self.id);
        connection.map(|connection| change(&mut connection.phase)).is_some()
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        if table.open.remove(&self.id).is_none() {
            table.closing = table.closing.saturating_sub(1);
        }
        drop(table);
        // A permit is stored, so that the accepting task does not miss the change.
        self.connections.changed.notify_one();
    }
}
