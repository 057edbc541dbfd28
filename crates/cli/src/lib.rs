//! The operator's command: its use cases, and the ports and clients that only an operator needs.

pub mod app;
pub mod archive;
mod calls;
pub mod config;
mod credentials;
pub mod deployment;
pub mod genesys;
pub mod ledger;
pub mod operator;
mod pages;
pub mod queue;
mod resend;
