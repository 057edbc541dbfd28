//! Parts of these tests.

pub(crate) mod server;
