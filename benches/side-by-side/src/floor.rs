//! The floor: the unavoidable round trips of a record over bare sockets.
//!
//! The harness serializes the requests of a batch. The floor's process receives them from the Runtime API as its event, sends them
//! sequentially per record, with the concurrency of the function, and responds. It has no TLS, JSON, signatures or logs, so the
//! difference to a function is the function's own time.

mod client;
mod script;

pub(crate) use client::run;
pub(crate) use script::payload;
