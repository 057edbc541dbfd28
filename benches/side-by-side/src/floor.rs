//! The floor: the round trips that a record cannot avoid, over bare sockets, and nothing else.
//!
//! The harness writes the requests of a batch down; the floor's process asks the Runtime API for them as any function asks for its
//! event, sends them one after another for each record, as many records side by side as the function would, and answers. No TLS, no
//! JSON, no signature, no log: what a function takes beyond this is its own.

mod client;
mod script;

pub(crate) use client::run;
pub(crate) use script::payload;
