//! Stand-ins for Genesys Cloud, for the HTTP targets events are delivered to, and for one `DynamoDB` table.
//!
//! A [`StandIn`] behaves like Genesys Cloud and the targets as far as the replayer can see them: tokens that expire and
//! can be revoked, a rate limit per token, attributes that are kept, subscriptions that are active until told otherwise,
//! and a target that accepts anything. [`Fault`] rules bend that behaviour, and every request is kept as a [`Call`]. Tests start a stand-in in their own process; the
//! program `genesys-stand-in` serves the same over `/_stand-in/…` to everything else.
//!
//! A [`Table`] answers as a `DynamoDB` table does, as late as it is told to and at little cost, so that a benchmark
//! measures who writes to it.

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
