//! Failures, each classified once, at its source.

pub mod answers;
mod classify;
mod code;
mod disposition;
mod report;

pub use classify::{Category, OriginalFailure};
pub use code::{FailureCode, RefusalCode};
pub use disposition::{Certainty, Disposition};
pub use report::{Accepted, FailureReport, Receipt, ReportingTarget};
