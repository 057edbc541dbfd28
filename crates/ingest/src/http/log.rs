//! The log lines of requests and of the server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use genesys_replay::clock::millis;
use tracing::Level;

use crate::{AcceptedRequest, Refusal, RequestSummary};

/// An answered request.
#[derive(Clone, Copy, Debug)]
pub struct Handled<'r> {
    /// The path, if it is a served path.
    pub route: Option<&'static str>,
    /// The status of the answer.
    pub status: u16,
    /// The summary of the event.
    pub summary: &'r RequestSummary,
    /// The number of body bytes that were read.
    pub body_bytes: usize,
    /// The accepted message, or the refusal.
    pub result: &'r Result<AcceptedRequest, Refusal>,
    /// The time that the request took.
    pub duration: Duration,
}

/// Logs that the server accepts requests.
pub fn listening(address: SocketAddr) {
    tracing::info!(%address, "listening");
}

/// Logs that the operating system did not provide a connection.
pub fn not_accepted(error: &io::Error) {
    tracing::warn!(%error, "connection not accepted, retry follows");
}

/// Logs that requests were still open at the end of the grace period.
pub fn cut_off() {
    tracing::warn!("shutdown grace period over with open requests, which get no answer");
}

/// Logs one line per request.
pub fn request_handled(handled: &Handled<'_>) {
    let summary = handled.summary;
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
                event_id = summary.event_id.as_deref(),
                webhook_id = summary.webhook_id.as_deref(),
                subscription_id = summary.subscription_id.as_deref(),
                retry_count = summary.retry_count,
                malformed = summary.malformed.map(|malformed| malformed.as_str()),
                body_bytes = handled.body_bytes,
                duration_ms = millis(handled.duration),
                what_to_do = refusal.map(|refusal| refusal.code().what_to_do()),
                reason = refusal.map(Refusal::reason),
                "request handled"
            )
        };
    }
    match handled.status {
        0..400 if summary.malformed.is_some() => line!(Level::WARN),
        0..400 => line!(Level::INFO),
        400..500 => line!(Level::WARN),
        500.. => line!(Level::ERROR),
    }
}
