//! The world the tests run in: a local AWS, a stand-in Genesys Cloud, and records to feed in.

mod aws;
#[cfg(feature = "cli")]
pub(crate) mod browser;
mod clock;
#[cfg(feature = "cli")]
pub(crate) mod desk;
pub(crate) mod door;
mod dynamodb_local;
mod eventually;
mod process;
#[cfg(feature = "cli")]
pub(crate) mod program;
mod record;
mod runtime_api;
mod server;
pub(crate) mod world;

use std::error::Error;

pub(crate) use aws::{LocalAws, config as aws_at};
pub(crate) use clock::VirtualClock;
pub(crate) use eventually::eventually;
pub(crate) use record::{Record, conversation_event, event, sample};
pub(crate) use runtime_api::{Function, Invocation, Printed};
pub(crate) use server::Server;
pub(crate) use world::World;

pub(crate) type TestResult = Result<(), Box<dyn Error>>;
