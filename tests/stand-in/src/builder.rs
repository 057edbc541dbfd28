//! The options of a stand-in.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::calls::Calls;
use crate::conversations::Conversations;
use crate::fault::Faults;
use crate::genesys::Genesys;
use crate::interactions::Interactions;
use crate::oauth::Client;
use crate::stand_in::StandIn;
use crate::state::{Latency, Shared, State};
use crate::subscriptions::Subscriptions;
use crate::tokens::Tokens;

/// The options of a stand-in, with defaults for tests.
#[must_use]
pub struct Builder {
    host: Ipv4Addr,
    port: u16,
    client_id: String,
    client_secret: String,
    expires_in: Duration,
    rate_limit: u32,
    one_token: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST,
            port: 0,
            client_id: "demo-client".to_owned(),
            client_secret: "demo-secret".to_owned(),
            // Genesys Cloud's own defaults.
            expires_in: Duration::from_hours(24),
            rate_limit: 300,
            one_token: false,
        }
    }
}

impl Builder {
    /// Listens on this address: 127.0.0.1 by default.
    pub fn host(mut self, host: Ipv4Addr) -> Self {
        self.host = host;
        self
    }

    /// Listens on this port. 0, the default: a free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the id of the client that may log in: `demo-client` by default.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = id.into();
        self
    }

    /// Sets the secret of the client that may log in: `demo-secret` by default.
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.client_secret = secret.into();
        self
    }

    /// Sets the lifetime of a token in whole seconds: 24 hours by default.
    pub fn expires_in(mut self, life: Duration) -> Self {
        self.expires_in = life;
        self
    }

    /// Allows this many API requests per token and minute: 300 by default.
    pub fn rate_limit(mut self, requests: u32) -> Self {
        self.rate_limit = requests;
        self
    }

    /// Gives a client the same token at every request, so that its environments share one rate limit.
    pub fn one_token(mut self, is_shared: bool) -> Self {
        self.one_token = is_shared;
        self
    }

    /// Starts the stand-in on the current tokio runtime, which needs I/O and time enabled.
    ///
    /// # Errors
    ///
    /// The port is not free, or this machine does not have the address.
    pub async fn start(self) -> io::Result<StandIn> {
        let listener = TcpListener::bind((self.host, self.port)).await?;
        let state = State {
            client: Client::new(&self.client_id, &self.client_secret),
            genesys: Genesys {
                tokens: Tokens::new(self.expires_in, self.rate_limit, self.one_token),
                conversations: Conversations::default(),
                interactions: Interactions::default(),
                subscriptions: Subscriptions::default(),
            },
            calls: Calls::new(),
            faults: Faults::default(),
            latency: Latency::default(),
        };
        StandIn::serving(listener, Shared::new(state))
    }
}
