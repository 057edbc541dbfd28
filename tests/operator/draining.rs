//! `status`, `pause` and `resume`, and the other commands beside a paused function.

mod apply;
pub(crate) mod cloudwatch;
mod deployed;
mod pause;
mod status;
