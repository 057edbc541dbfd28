//! Formats of figures.

use std::time::Duration;

/// Returns milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Returns megabytes.
#[expect(clippy::cast_precision_loss, reason = "a size for people")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
