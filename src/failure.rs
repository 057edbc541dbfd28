//! What went wrong, decided once where the cause is seen.

mod classify;
mod code;
mod disposition;

pub use classify::{Category, OriginalFailure};
pub use code::{FailureCode, RefusalCode};
pub use disposition::{Certainty, Disposition};
