//! The operator's command: its use cases, and the ports that only an operator needs.

#![expect(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "the crate is not published; names and types that explain themselves need no comment"
)]

pub mod app;
pub mod archive;
mod calls;
pub mod config;
mod credentials;
pub mod deployment;
pub mod genesys;
pub mod ledger;
pub mod logs;
pub mod operator;
mod pages;
pub mod plan_store;
pub mod queue;
mod resend;
