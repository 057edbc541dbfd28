//! The stand-ins, seen through their ports.

mod api;
mod client;
mod control;
mod faults;
mod program;
mod subscriptions;
mod table;
mod tokens;
