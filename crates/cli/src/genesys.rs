//! The calls to Genesys Cloud that only an operator needs.

pub mod analytics;
mod failed_events;
mod permissions;

pub use failed_events::{FailedEvents, FailedPage, PageStart, Reinjected};
pub use permissions::Permissions;
