//! The one way in which tests wait for a condition on real parts.

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The time limit of [`eventually`]. A slow and busy machine may need many seconds.
pub const EVENTUALLY_LIMIT: Duration = Duration::from_secs(180);

const PAUSE_BETWEEN_CHECKS: Duration = Duration::from_millis(20);

/// Checks until a check returns a value, and returns that value.
///
/// # Errors
/// The error of a check, at once; else no value within [`EVENTUALLY_LIMIT`], which names `condition`.
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
