//! `status`, `pause` and `resume`.

mod cloudwatch;
mod deployed;
mod pause;
mod status;
