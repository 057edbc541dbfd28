//! What ingest says of its work.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tracing::Level;

use super::{millis, secret_id_of, warn_of_plain_http};
use crate::config::{Auth, Host, IngestSettings, KeySetting};
use crate::ingest::{Accepted, Facts, KeyRing, KeysError, Refusal};

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Handled<'r> {
    /// The path, if it is one that is served.
    pub route: Option<&'static str>,
    /// The status of the answer.
    pub status: u16,
    /// What is known of the event.
    pub facts: &'r Facts,
    /// How much of the body was read.
    pub body_bytes: usize,
    /// Whether it was accepted.
    pub result: &'r Result<Accepted, Refusal>,
    /// How long it took.
    pub duration: Duration,
}

/// The start-up line: what runs and with which settings, those that are secret left out.
pub fn started(settings: &IngestSettings) {
    let genesys = settings.check.as_ref().map(|(_, genesys)| genesys);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        queue_url = settings.queue_url.as_str(),
        auth = settings.auth.as_str(),
        ingest_secret_id = match &settings.auth {
            Auth::Signature(KeySetting::Secret(id)) => Some(id.as_str()),
            Auth::Signature(KeySetting::Given(_)) | Auth::Iam | Auth::Anyone => None,
        },
        subscription_check = settings
            .check
            .as_ref()
            .map_or("off", |(form, _)| form.as_str()),
        genesys_api_base_url = genesys.map(|genesys| genesys.api_base.as_str()),
        genesys_login_base_url = genesys.map(|genesys| genesys.login_base.as_str()),
        genesys_secret_id = genesys.and_then(secret_id_of),
        max_body_bytes = settings.max_body_bytes,
        log_level = settings.log_level.as_str(),
        "started"
    );
    warn_of_plain_http(&settings.unencrypted());
    if matches!(settings.auth, Auth::Anyone) {
        tracing::warn!(
            setting = "INGEST_AUTH",
            "none: whoever reaches this address can put events on the queue"
        );
    }
    if let Auth::Signature(KeySetting::Given(ring)) = &settings.auth {
        warn_of_short(ring);
    }
    if let (Host::Server(address), false) = (&settings.host, matches!(settings.auth, Auth::Iam))
        && !address.ip().is_loopback()
    {
        tracing::warn!(
            setting = "LISTEN_ADDR",
            "plain http: let something that speaks TLS stand in front"
        );
    }
}

fn warn_of_short(ring: &KeyRing) {
    if ring.has_short() {
        tracing::warn!("a secret for signatures is shorter than 24 bytes: easier to guess");
    }
}

/// It takes requests now.
pub fn listening(address: SocketAddr) {
    tracing::info!(%address, "listening");
}

/// The system gives no connection.
pub fn not_accepted(error: &io::Error) {
    tracing::warn!(%error, "connection not accepted, trying again until one is");
}

/// Requests were still in flight at the end.
pub fn cut_off() {
    tracing::warn!("requests were in flight until the end: their senders have no answer");
}

/// The secrets for signatures were read.
pub fn secret_read(ring: &KeyRing) {
    tracing::info!("secret for signatures read");
    warn_of_short(ring);
}

/// The secrets for signatures were not read: those from before stay valid, if there are any.
pub fn secret_not_read(error: &KeysError) {
    tracing::error!(%error, "secret for signatures not read");
}

/// One line a request.
pub fn request_handled(handled: &Handled<'_>) {
    let facts = handled.facts;
    let refusal = handled.result.as_ref().err();
    let accepted = handled.result.as_ref().ok();
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                route = handled.route,
                status = handled.status,
                problem = refusal.map(|refusal| refusal.code().as_str()),
                message_id = accepted.map(|accepted| accepted.message_id.as_str()),
                event_id = facts.event_id.as_deref(),
                webhook_id = facts.webhook_id.as_deref(),
                subscription_id = facts.subscription_id.as_deref(),
                retry_count = facts.retry_count,
                malformed = facts.malformed.map(|malformed| malformed.as_str()),
                body_bytes = handled.body_bytes,
                duration_ms = millis(handled.duration),
                what_to_do = refusal.map(|refusal| refusal.code().what_to_do()),
                reason = refusal.map(Refusal::reason),
                "request handled"
            )
        };
    }
    match handled.status {
        0..400 if facts.malformed.is_some() => line!(Level::WARN),
        0..400 => line!(Level::INFO),
        400..500 => line!(Level::WARN),
        500.. => line!(Level::ERROR),
    }
}
