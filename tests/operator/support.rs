//! Parts of these tests.

pub(crate) mod browser;
pub(crate) mod harness;
pub(crate) mod program;
