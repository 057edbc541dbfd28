//! Parts of these tests.

pub(crate) mod browser;
pub(crate) mod desk;
pub(crate) mod program;
