//! Shared parts of these tests.

pub(crate) mod queue;
pub(crate) mod server;
