//! Waiting as long as Genesys Cloud asks to, within reason.

use std::time::Duration;

use genesys_replay::genesys::GenesysError;
use tokio_util::sync::CancellationToken;

use super::Progress;

/// Where Genesys Cloud does not say how long: its limit counts by the minute.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// A longer wait is for the person to plan: daily limits ask for hours.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// So many waits for one call, and something else is wrong.
const MAX_WAITS: u32 = 20;

/// Makes a call until it is not refused for coming too soon; `None` when it was stopped while it waited.
///
/// # Errors
/// Any other failure, and a wait that is too long.
pub(super) async fn patiently<T>(
    call: impl AsyncFn() -> Result<T, GenesysError>,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<Option<T>, GenesysError> {
    let mut waits = 0;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        let Some(wait) = asked_for(&error).filter(|wait| *wait <= MAX_WAIT && waits < MAX_WAITS)
        else {
            return Err(error);
        };
        waits += 1;
        progress.warn(&format!("{error}: going on in {} s", wait.as_secs()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// How long to wait, if the call only came too soon.
fn asked_for(error: &GenesysError) -> Option<Duration> {
    match error {
        GenesysError::RateLimited { after, .. } => Some(after.unwrap_or(DEFAULT_RETRY_AFTER)),
        GenesysError::LocallyRateLimited { after, .. } => Some(*after),
        GenesysError::NotFound
        | GenesysError::Refused { .. }
        | GenesysError::Conflict { .. }
        | GenesysError::Forbidden { .. }
        | GenesysError::Unavailable { .. }
        | GenesysError::Credentials { .. }
        | GenesysError::NoCredentials(_) => None,
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

    /// What comes of a call that is refused so often, and how long it takes.
    async fn refused(times: u32, after: Option<u64>) -> (Result<Option<u32>, GenesysError>, u64) {
        let calls = AtomicU32::new(0);
        let begun = Instant::now();
        let call = async || match calls.fetch_add(1, Ordering::Relaxed) {
            earlier if earlier < times => Err(too_soon(after)),
            earlier => Ok(earlier),
        };
        let answer = patiently(call, &Silent, &CancellationToken::new()).await;
        (answer, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_as_long_as_it_is_asked_to_and_a_minute_where_nothing_is_said() {
        assert_eq!(refused(2, Some(42)).await, (Ok(Some(2)), 84));
        assert_eq!(refused(1, None).await, (Ok(Some(1)), 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_of_hours_and_one_without_end_are_left_to_the_person() {
        let hours = Some(3_600);
        assert_eq!(refused(1, hours).await, (Err(too_soon(hours)), 0));
        let (answer, _) = refused(u32::MAX, Some(1)).await;
        assert_eq!(answer, Err(too_soon(Some(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_stopped_does_not_wait_to_the_end() {
        let stop = CancellationToken::new();
        stop.cancel();
        let call = async || Err::<(), _>(too_soon(Some(600)));
        assert_eq!(patiently(call, &Silent, &stop).await, Ok(None));
    }
}
