//! Stand-ins for Genesys Cloud, for HTTP targets, and for one `DynamoDB` table.
//!
//! A [`StandIn`] behaves like Genesys Cloud and the targets: tokens that expire and can be revoked, a rate limit per
//! token, stored attributes, subscriptions that are active by default, and a target that accepts everything. [`Fault`]
//! rules change that behaviour, and every request is recorded as a [`Call`]. Tests start a stand-in in their own process.
//! The program `genesys-stand-in` has the control API `/_stand-in/…` for other programs.
//!
//! A [`Table`] behaves like a `DynamoDB` table with a set latency and little processor time, for benchmarks of its
//! clients.

mod answer;
mod builder;
mod calls;
mod control;
mod conversations;
mod eventually;
mod fault;
mod genesys;
mod interactions;
mod oauth;
mod received;
mod server;
mod stand_in;
mod state;
mod subscriptions;
mod table;
mod tokens;

pub use builder::Builder;
pub use calls::Call;
pub use eventually::{EVENTUALLY_LIMIT, eventually};
pub use fault::Fault;
pub use stand_in::StandIn;
pub use table::Table;
