//! Drains the dead-letter queue of a Genesys Cloud → `EventBridge` integration.
//!
//! Dependencies point inward: the pure core (what a dead letter is, what a failure means, how long
//! to wait) knows nothing of the ports; the ports ([`ledger`], [`genesys`], [`target`],
//! [`archive`], [`queue`], [`secret`]) are traits with their adapters in the folder of the same name;
//! the use cases ([`replay`], [`ingest`]) see ports only; the edges ([`lambda`], [`http`]) translate; [`app`] alone builds clients and [`config`] alone reads the
//! environment. `docs/ARCHITECTURE.md` walks one dead letter through the code.

pub mod app;
pub mod archive;
pub mod aws;
pub mod backoff;
pub mod clock;
pub mod config;
pub mod dead_letter;
#[cfg(feature = "cli")]
pub mod deployment;
pub mod destination;
pub mod digest;
pub mod error;
pub mod failure;
pub mod genesys;
pub mod http;
pub mod ingest;
pub mod lambda;
pub mod ledger;
pub mod message;
pub mod meter;
#[cfg(feature = "cli")]
pub mod operator;
pub mod queue;
pub mod replay;
pub mod retry_after;
pub mod secret;
pub mod target;
pub mod telemetry;
