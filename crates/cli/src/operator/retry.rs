//! Waits as long as Genesys Cloud requires, within limits.

use std::time::Duration;

use genesys_replay::genesys::GenesysError;
use tokio_util::sync::CancellationToken;

use super::Progress;

/// The delay if Genesys Cloud does not name one, because its rate limit counts by the minute.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The maximum delay. The operator has to plan longer delays, because daily limits require hours.
const MAX_DELAY: Duration = Duration::from_secs(15 * 60);

/// The maximum number of delays for one call, because more mean another problem.
const MAX_DELAYS: u32 = 20;

/// Repeats a call while the call is rate-limited. Returns `None` if `stop` was cancelled during a delay.
///
/// # Errors
/// Any other error, and a rate-limit error after too many delays or with a delay that is too long.
pub(super) async fn retry_rate_limited<T>(
    call: impl AsyncFn() -> Result<T, GenesysError>,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<Option<T>, GenesysError> {
    let mut delays = 0;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        let delay = match &error {
            GenesysError::RateLimited { after, .. } => after.unwrap_or(DEFAULT_RETRY_AFTER),
            GenesysError::LocallyRateLimited { after, .. } => *after,
            GenesysError::NotFound
            | GenesysError::Refused { .. }
            | GenesysError::Conflict { .. }
            | GenesysError::Forbidden { .. }
            | GenesysError::Unavailable { .. }
            | GenesysError::Credentials { .. }
            | GenesysError::NoCredentials(_) => return Err(error),
        };
        if delay > MAX_DELAY || delays == MAX_DELAYS {
            return Err(error);
        }
        delays += 1;
        progress.warn(&format!("{error}: next attempt in {} s", delay.as_secs()));
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;
    use crate::operator::Silent;
    use genesys_replay::genesys::Call;

    fn too_soon(after: Option<u64>) -> GenesysError {
        GenesysError::RateLimited {
            call: Call::FailedEvents,
            after: after.map(Duration::from_secs),
        }
    }

    /// Returns the result of a call that is rate-limited `times` times, and its duration in seconds.
    async fn refused(times: u32, after: Option<u64>) -> (Result<Option<u32>, GenesysError>, u64) {
        let calls = AtomicU32::new(0);
        let begun = Instant::now();
        let call = async || match calls.fetch_add(1, Ordering::Relaxed) {
            earlier if earlier < times => Err(too_soon(after)),
            earlier => Ok(earlier),
        };
        let answer = retry_rate_limited(call, &Silent, &CancellationToken::new()).await;
        (answer, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn retry_waits_for_the_retry_after_or_a_minute() {
        assert_eq!(refused(2, Some(42)).await, (Ok(Some(2)), 84));
        assert_eq!(refused(1, None).await, (Ok(Some(1)), 60));
    }

    #[tokio::test(start_paused = true)]
    async fn retry_fails_when_the_delay_is_too_long_or_too_often() {
        let hours = Some(3_600);
        assert_eq!(refused(1, hours).await, (Err(too_soon(hours)), 0));
        let (answer, _) = refused(u32::MAX, Some(1)).await;
        assert_eq!(answer, Err(too_soon(Some(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn retry_ends_at_once_when_stopped() {
        let stop = CancellationToken::new();
        stop.cancel();
        let call = async || Err::<(), _>(too_soon(Some(600)));
        assert_eq!(retry_rate_limited(call, &Silent, &stop).await, Ok(None));
    }
}
