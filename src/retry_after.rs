//! The `Retry-After` header in its two forms.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Timestamp;

/// The maximum delay that is accepted: the longest visibility timeout of SQS.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(12 * 3_600);

/// Returns the delay that an upstream asks for: whole seconds, or the time from `now` until an HTTP date.
///
/// Returns `None` for any other text. A date in the past is a delay of zero. No delay is longer than
/// [`MAX_RETRY_AFTER`].
#[must_use]
pub fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows asks for a long delay, not for zero.
        let seconds = value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs);
        return Some(seconds.min(MAX_RETRY_AFTER));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let now: SystemTime = UNIX_EPOCH + Duration::from_millis(now.as_millis());
    let wait = date.duration_since(now).unwrap_or(Duration::ZERO);
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-07-25T17:20:00Z
    const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);

    #[test]
    fn retry_after_is_read_as_seconds_or_http_date() {
        for (value, seconds) in [
            ("0", 0),
            ("42", 42),
            (" 7 ", 7),
            ("Sat, 25 Jul 2026 17:25:00 GMT", 300),
            ("Saturday, 25-Jul-26 17:21:00 GMT", 60),
            ("Sat, 25 Jul 2026 17:19:00 GMT", 0),
            ("Sat, 25 Jul 2076 17:19:00 GMT", 43_200),
            ("18446744073709551615", 43_200),
            ("18446744073709551616", 43_200),
        ] {
            assert_eq!(parse(value, NOW), Some(Duration::from_secs(seconds)), "{value}");
        }
    }

    #[test]
    fn retry_after_is_ignored_in_other_forms() {
        for value in ["", "soon", "-5", "+5", "1.5", "42 seconds", "Sat, 25 Jul 2026"] {
            assert_eq!(parse(value, NOW), None, "{value}");
        }
    }
}
