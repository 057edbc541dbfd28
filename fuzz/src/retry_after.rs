//! The `Retry-After` header.

use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::retry_after::{MAX_RETRY_AFTER, parse};

use crate::parts::Parts;

/// Checks a header value. Line `now`: the time in milliseconds; the rest: the value.
///
/// # Panics
/// A delay exceeds the maximum, a number has another value, spaces matter, or the delay until a date
/// grows with time.
pub fn retry_after(input: &[u8]) {
    let mut parts = Parts::read(input);
    let now = Timestamp::from_millis(parts.take_as("now").unwrap_or_default());
    let value = parts.text();
    let wait = parse(&value, now);
    assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER), "{wait:?}");
    assert_eq!(parse(value.trim(), now), wait, "spaces do not matter");
    let digits = value.trim();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = digits.parse::<u64>().unwrap_or(u64::MAX);
        let expected = Duration::from_secs(seconds).min(MAX_RETRY_AFTER);
        assert_eq!(wait, Some(expected), "a number is used unchanged");
    }
    let later = parse(&value, now.plus(Duration::from_secs(1)));
    assert_eq!(later.is_some(), wait.is_some(), "at any time");
    assert!(later <= wait, "{later:?} after {wait:?}");
}
