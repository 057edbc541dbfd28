//! The core: dead letters and failures, the ports, and the replay of a batch.
//!
//! The core has no AWS SDK, no HTTP client and no access to the environment: those are in the crates in
//! `crates/`. `docs/ARCHITECTURE.md` shows all crates in one picture and follows one dead letter through the
//! code.

pub mod archive;
pub mod aws;
pub mod backoff;
pub mod cached;
pub mod clock;
pub mod dead_letter;
pub mod destination;
pub mod digest;
pub mod error;
pub mod failure;
pub mod genesys;
pub mod ledger;
pub mod message;
pub mod meter;
pub mod queue;
pub mod replay;
pub mod retry_after;
pub mod secret;
pub mod target;
