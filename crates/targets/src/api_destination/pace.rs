//! The rate limit of an API destination, kept in this execution environment.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time of the next request.
#[derive(Debug, Default)]
pub(super) struct RequestPace(Mutex<Option<Instant>>);

impl RequestPace {
    /// Reserves a request, and returns the delay until it may begin. Requests begin at equal intervals, so that no second
    /// has more than `per_second`.
    ///
    /// # Errors
    /// The delay, if it is longer than `max_wait`; nothing is then reserved.
    pub(super) fn reserve(
        &self,
        per_second: u32,
        max_wait: Duration,
    ) -> Result<Duration, Duration> {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let at = next.map_or(now, |at| at.max(now));
        let delay = at.duration_since(now);
        if delay > max_wait {
            return Err(delay);
        }
        *next = Some(at + Duration::from_secs(1) / per_second.max(1));
        Ok(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_are_spread_over_the_second() {
        let pace = RequestPace::default();
        let reserve = || pace.reserve(4, Duration::from_millis(600));
        let delays = [reserve(), reserve(), reserve(), reserve()];
        assert_eq!(
            delays.map(|delay| delay.map_err(|delay| delay.as_millis()).map(|it| it.as_millis())),
            [Ok(0), Ok(250), Ok(500), Err(750)]
        );
        tokio::time::advance(Duration::from_millis(750)).await;
        assert_eq!(reserve(), Ok(Duration::ZERO), "the refused request reserved nothing");
    }
}
