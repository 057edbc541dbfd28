//! Shared parts of these tests.

pub(crate) mod gate;
pub(crate) mod queue;
pub(crate) mod server;
