//! A running stand-in and its API for tests.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::builder::Builder;
use crate::calls::Call;
use crate::conversations::Participant;
use crate::fault::Fault;
use crate::server;
use crate::state::{Latency, Shared};

/// A running stand-in. Dropping it closes its port and its connections.
#[must_use]
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl StandIn {
    /// Returns the default options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn serving(listener: TcpListener, shared: Shared) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(shared);
        let state = Arc::clone(&shared);
        let answer = move |request| server::respond(request, Arc::clone(&state));
        let server = tokio::spawn(server::serve(listener, answer));
        Ok(Self { address, shared, server })
    }

    /// Returns the base URL of every service, without a trailing slash: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests since the last clearing, in order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.recorded().to_vec()
    }

    /// Returns the requests with this method whose path and query contain `path_contains`, in order of arrival.
    #[must_use]
    pub fn calls_to(&self, method: &str, path_contains: &str) -> Vec<Call> {
        let state = self.shared.lock();
        let calls = state.calls.recorded().iter();
        calls
            .filter(|call| call.method == method && call.path.contains(path_contains))
            .cloned()
            .collect()
    }

    /// Clears the record of requests.
    pub fn clear_calls(&self) {
        self.shared.lock().calls.clear();
    }

    /// Adds a rule after the existing ones.
    ///
    /// # Panics
    ///
    /// The rule is invalid, which is a bug of the test.
    pub fn fault(&self, fault: Fault) {
        let checked = fault.check();
        assert!(checked.is_ok(), "{checked:?}: {fault:?}");
        self.shared.lock().faults.add(fault);
    }

    /// Removes all rules. Requests that are already delayed or hanging remain so.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Sets the latency of API, target and token endpoint: zero by default.
    ///
    /// Tokio's timers tick in milliseconds and never end early.
    pub fn set_latency(&self, genesys: Duration, target: Duration, token: Duration) {
        self.shared.lock().latency = Latency { genesys, target, token };
    }

    /// Replaces the participants of a conversation, as `(id, purpose)` and without attributes.
    pub fn put_participants(&self, conversation: &str, participants: &[(&str, &str)]) {
        let participants = participants.iter().map(|&(id, purpose)| Participant::new(id, purpose));
        let mut state = self.shared.lock();
        let conversations = &mut state.genesys.conversations;
        conversations.put(conversation.to_owned(), participants.collect());
    }

    /// Returns the attributes of a participant. Empty for an unknown one.
    #[must_use]
    pub fn attributes(&self, conversation: &str, participant: &str) -> BTreeMap<String, String> {
        let state = self.shared.lock();
        state.genesys.conversations.attributes(conversation, participant)
    }

    /// Sets the status of a subscription, such as `INACTIVE`, in both forms of the API.
    ///
    /// The default status is `ACTIVE`.
    pub fn put_subscription(&self, id: &str, status: &str) {
        let mut state = self.shared.lock();
        let subscriptions = &mut state.genesys.subscriptions;
        subscriptions.put(id.to_owned(), status.to_owned());
    }

    /// Removes a subscription until it is put again.
    pub fn remove_subscription(&self, id: &str) {
        let mut state = self.shared.lock();
        state.genesys.subscriptions.remove(id.to_owned());
    }

    /// Revokes all tokens.
    pub fn revoke_tokens(&self) {
        self.shared.lock().genesys.tokens.revoke_all();
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}
