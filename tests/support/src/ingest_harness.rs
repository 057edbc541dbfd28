//! Ingest in this process on a free TCP port, over in-memory ports.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use genesys_fakes::{InMemory, MemorySecret, MemorySender, MemorySubscriptions};
use genesys_replay::clock::{Random, SystemClock, SystemRandom};
use genesys_replay::message::MessageId;
use genesys_replay::meter::UpstreamCounters;
use genesys_replay::queue::{MAX_MESSAGE_BYTES, NewMessage};
use genesys_replay_ingest::http::IngestService;
use genesys_replay_ingest::http::metrics::{IngestMetrics, Pace};
use genesys_replay_ingest::http::server::HttpServer;
use genesys_replay_ingest::{Authentication, Ingest, KeyRing, KeySource, Keys, SubscriptionCheck};
use genesys_replay_telemetry::LogLevel;
use genesys_replay_telemetry::metrics::Metrics;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A secret in the format of the signature scheme.
pub const SECRET: &str = "whsec_Z2VuZXN5cy1yZXBsYXktaW5nZXN0LXRlc3Q=";

/// A running ingest with its ports.
pub struct IngestHarness {
    pub address: SocketAddr,
    pub sender: MemorySender,
    pub subscriptions: MemorySubscriptions,
    service: Arc<IngestService<InMemory>>,
    server: HttpServer,
    running: AbortHandle,
}

impl Drop for IngestHarness {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A response.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl IngestHarness {
    /// Starts ingest without authentication.
    pub async fn open() -> Result<Self, Box<dyn Error>> {
        Self::with(Authentication::None, |ingest| ingest).await
    }

    /// Starts ingest for requests that are signed with [`SECRET`].
    pub async fn signed() -> Result<Self, Box<dyn Error>> {
        let ring = KeySource::Settings(KeyRing::parse(SECRET)?);
        let keys = Keys::new(ring, Arc::new(SystemClock));
        Self::with(Authentication::Signature(keys), |ingest| ingest).await
    }

    /// Starts ingest with this authentication, changed by `change`.
    pub async fn with(
        authentication: Authentication<MemorySecret>,
        change: impl FnOnce(Ingest<InMemory>) -> Ingest<InMemory>,
    ) -> Result<Self, Box<dyn Error>> {
        Self::with_max_body_bytes(MAX_MESSAGE_BYTES, authentication, change).await
    }

    /// Starts ingest with this maximum body size.
    pub async fn with_max_body_bytes(
        max_body_bytes: usize,
        authentication: Authentication<MemorySecret>,
        change: impl FnOnce(Ingest<InMemory>) -> Ingest<InMemory>,
    ) -> Result<Self, Box<dyn Error>> {
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let subscriptions = MemorySubscriptions::default();
        let ingest = InMemory::ingest(Arc::new(SystemClock), random, authentication);
        let ingest = change(Ingest {
            check: Some(SubscriptionCheck::new(subscriptions.clone(), Arc::new(SystemClock))),
            ..ingest
        });
        let sender = ingest.sender.clone();
        let metrics = Metrics::new(LogLevel::Info, Box::new(std::io::sink()));
        let metrics = IngestMetrics::new(metrics, "ingest".to_owned(), Pace::Together);
        let service = IngestService::new(
            ingest,
            max_body_bytes,
            metrics,
            Arc::new(UpstreamCounters::default()),
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let service = Arc::new(service);
        let server = HttpServer::new(Arc::clone(&service));
        let serving = server.clone().serve(listener, std::future::pending());
        let running = tokio::spawn(serving).abort_handle();
        Ok(Self { address, sender, subscriptions, service, server, running })
    }

    /// Returns an in-memory connection, which has no data in transit while tokio's time is paused.
    pub fn connect(&self) -> DuplexStream {
        self.connect_from(IpAddr::from([192, 0, 2, 1]))
    }

    /// Returns an in-memory connection of a client with this address.
    pub fn connect_from(&self, peer: IpAddr) -> DuplexStream {
        let (ours, its) = tokio::io::duplex(64 * 1024);
        tokio::spawn(self.server.clone().connect(its, peer));
        ours
    }

    /// Returns the service behind the server.
    pub fn service(&self) -> Arc<IngestService<InMemory>> {
        Arc::clone(&self.service)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends JSON.
    pub async fn post(&self, path: &str, body: &str) -> Result<Answer, Box<dyn Error>> {
        self.post_with(path, &[("content-type", "application/json")], body.to_owned()).await
    }

    /// Sends a body with these headers.
    pub async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, Box<dyn Error>> {
        let mut request = reqwest::Client::new().post(self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(HeaderName::try_from(*name)?, *value);
        }
        Answer::of(request.send().await?).await
    }

    /// Returns the messages on the queue.
    pub fn queued(&self) -> Vec<(MessageId, NewMessage)> {
        self.sender.messages()
    }
}

/// Returns the current time, in Unix seconds.
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0))
}

/// Returns the headers of a signature that is `age` seconds old.
pub fn signature(
    secret: &str,
    id: &str,
    age: i64,
    body: &str,
) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let at = now() - age;
    let signature = Webhook::new(secret)?.sign(id, at, body.as_bytes())?;
    Ok(vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", signature),
    ])
}

/// Returns a dead letter with this event.
pub fn wrapper(subscription: &str, retries: u32, event: &str) -> String {
    format!(
        r#"{{"eventType":"dead-letter","subscriptionId":"{subscription}","retryCount":{retries},"failureReason":"target answered 503","timestamp":"2026-07-25T17:20:00Z","originalEvent":{event}}}"#
    )
}
