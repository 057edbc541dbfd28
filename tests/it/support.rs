//! The world the tests run in: a local AWS, a stand-in Genesys Cloud, and records to feed in.

mod aws;
#[cfg(feature = "cli")]
pub(crate) mod browser;
mod clock;
#[cfg(feature = "cli")]
pub(crate) mod desk;
pub(crate) mod door;
mod dynamodb_local;
pub(crate) mod memory;
mod process;
#[cfg(feature = "cli")]
pub(crate) mod program;
mod record;
mod runtime_api;
mod server;
pub(crate) mod world;

use std::error::Error;

pub(crate) use aws::{HIDDEN_SECONDS, LocalAws, config as aws_at};
pub(crate) use clock::VirtualClock;
pub(crate) use record::{Record, conversation_event, event, sample};
pub(crate) use runtime_api::{Function, Invocation, Printed};
pub(crate) use server::Server;
pub(crate) use world::World;

pub(crate) use genesys_stand_in::eventually;

/// An address on which no connection is accepted, as long as the socket lives.
pub(crate) fn closed_port() -> std::io::Result<(tokio::net::TcpSocket, String)> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    // Bound, so that no other process can take the port.
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let url = format!("http://{}", socket.local_addr()?);
    Ok((socket, url))
}

pub(crate) type TestResult = Result<(), Box<dyn Error>>;
