//! The helper with which tests wait for a condition on real adapters.

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The time limit of [`eventually`]. A slow and busy machine may need many seconds.
pub const EVENTUALLY_LIMIT: Duration = Duration::from_secs(180);

const PAUSE_BETWEEN_CHECKS: Duration = Duration::from_millis(20);

/// Repeats a check until it returns a value, and returns the value.
///
/// # Errors
/// The error of a check, at once, or an error with `condition` after [`EVENTUALLY_LIMIT`].
pub async fn eventually<T>(
    condition: &str,
    mut check: impl AsyncFnMut() -> Result<Option<T>, Box<dyn Error>>,
) -> Result<T, Box<dyn Error>> {
    let started = Instant::now();
    loop {
        if let Some(value) = check().await? {
            return Ok(value);
        }
        if started.elapsed() > EVENTUALLY_LIMIT {
            return Err(format!("not within {EVENTUALLY_LIMIT:?}: {condition}").into());
        }
        sleep(PAUSE_BETWEEN_CHECKS).await;
    }
}
