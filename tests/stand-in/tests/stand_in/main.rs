//! The stand-in, seen through its ports.

mod api;
mod client;
mod control;
mod faults;
mod program;
mod tokens;
