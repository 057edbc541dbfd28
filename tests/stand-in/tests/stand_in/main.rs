//! The stand-ins over the wire.

mod api;
mod client;
mod control;
mod faults;
mod program;
mod subscriptions;
mod table;
mod tokens;
