//! The environment of the tests: a local AWS, a stand-in Genesys Cloud, and records.
#![expect(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "the tests are its only users"
)]

mod aws;
mod clock;
mod documented;
mod dynamodb_local;
mod failure_record;
pub mod ingest_harness;
pub mod memory;
mod page;
mod process;
mod record;
pub mod replay_harness;
mod runtime_api;
mod tcp_proxy;

use std::error::Error;
use std::path::Path;

pub use genesys_stand_in::eventually;

pub use aws::{HIDDEN_SECONDS, LocalAws, config as aws_at};
pub use clock::{ForwardClock, VirtualClock};
pub use documented::are_documented;
pub use failure_record::{FUNCTION, on_failure_body};
pub use page::Page;
pub use record::{Record, conversation_event, event, sample};
pub use replay_harness::ReplayHarness;
pub use runtime_api::{Function, Invocation, Printed, command, read, terminate};
pub use tcp_proxy::{ConnectionFault, TcpProxy};

/// Returns the root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Returns a socket and its address, which refuses connections while the socket exists.
pub fn closed_port() -> std::io::Result<(tokio::net::TcpSocket, String)> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    // Bound, so that no other process can use the port.
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let url = format!("http://{}", socket.local_addr()?);
    Ok((socket, url))
}

pub type TestResult = Result<(), Box<dyn Error>>;
