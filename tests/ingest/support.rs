//! Shared parts of these tests.

pub(crate) mod server;
