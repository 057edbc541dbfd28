//! A `DynamoDB` table of one partition key: its port, its state, and what a benchmark may ask of it.
//!
//! Not an emulator: dynoxide-rs 3.2.0, in memory, takes 70 to 125 µs for one claim of the ledger, where this takes 20 with
//! its HTTP, and a stand-in must not be what a benchmark measures.

mod attribute;
mod condition;
mod expression;
mod items;
mod operation;
mod reply;
mod request;
mod token;
mod update;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Response;
use hyper::header::HeaderName;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::answer::{Answer, AnswerBody};
use crate::received::Received;
use crate::server::{self, pause};
use items::Items;
use request::Request;

/// The header that names the operation.
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// The version of the API, which stands before the operation's name.
const API: &str = "DynamoDB_20120810.";

/// A running stand-in for one `DynamoDB` table; dropping it closes its port and its connections.
///
/// It answers `GetItem`, `PutItem`, `UpdateItem` and `DeleteItem` under any table name and any
/// signature. Attributes are of type S, N (28 digits), BOOL, NULL, L or M, and expressions address whole ones. Anything
/// it does not know it refuses, naming it.
#[must_use]
pub struct Table {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// What all connections share; the lock is never held while waiting.
struct Shared(Mutex<State>);

struct State {
    items: Items,
    calls: BTreeMap<String, u64>,
    latency: Duration,
}

impl Table {
    /// Serves an empty table whose partition key is the string `partition_key`, on a free port of 127.0.0.1 and on the
    /// current tokio runtime, which needs I/O and time enabled.
    ///
    /// # Errors
    ///
    /// No port can be listened on.
    pub async fn start(partition_key: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared(Mutex::new(State {
            items: Items::new(partition_key),
            calls: BTreeMap::new(),
            latency: Duration::ZERO,
        })));
        let state = Arc::clone(&shared);
        let answer = move |request| respond(request, Arc::clone(&state));
        let server = tokio::spawn(server::serve(listener, answer));
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// The endpoint for an SDK, without a slash at the end: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits this long before each request is carried out and answered: no time by default.
    ///
    /// Tokio's timers tick in milliseconds and never end early.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.lock().latency = latency;
    }

    /// All items in `DynamoDB` JSON, in order of their keys.
    #[must_use]
    pub fn items(&self) -> Vec<Map<String, Value>> {
        self.shared.lock().items.to_json()
    }

    /// Forgets all items; counts and latency stay.
    pub fn clear(&self) {
        self.shared.lock().items.clear();
    }

    /// Forgets all counts.
    pub fn clear_calls(&self) {
        self.shared.lock().calls.clear();
    }

    /// How often each operation was asked for since the last clearing, refused requests included.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.shared.lock().calls.clone()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, operation: &str) {
        if let Some(count) = self.calls.get_mut(operation) {
            *count += 1;
        } else {
            self.calls.insert(operation.to_owned(), 1);
        }
    }
}

async fn respond(request: Received, shared: Arc<Shared>) -> io::Result<Response<AnswerBody>> {
    let target = request.headers.get(TARGET);
    let operation = target
        .and_then(|target| target.to_str().ok()?.strip_prefix(API))
        .unwrap_or_default();
    let latency = {
        let mut state = shared.lock();
        state.count(operation);
        state.latency
    };
    pause(latency).await;
    let answer = match operation::named(operation) {
        Some(carry_out) => Request::parse(&request.body)
            .and_then(|mut request| carry_out(&mut shared.lock().items, &mut request))
            .unwrap_or_else(Answer::from),
        None => reply::unknown_operation(operation),
    };
    Ok(answer.whole())
}
