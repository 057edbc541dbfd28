//! Time and randomness, injected so that tests and simulations control both.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// Returns a duration in whole milliseconds, at most `u64::MAX`.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The smallest number that is a time in seconds: the year 2000. Smaller numbers are durations or counts.
const MIN_EPOCH_SECONDS: u64 = 946_684_800;

/// The smallest number that is a time in milliseconds: the year 2000. As seconds, it would be a time after the year 30,000.
const MIN_EPOCH_MILLIS: u64 = MIN_EPOCH_SECONDS * 1_000;

/// The first number above all times in seconds: the year 5138.
const END_EPOCH_SECONDS: u64 = 100_000_000_000;

/// A moment of wall-clock time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Creates a timestamp from milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Parses RFC 3339, the format of [`Display`](fmt::Display). Returns `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// Parses a time of another system: RFC 3339, or seconds or milliseconds since 1970, from the year 2000 on.
    #[must_use]
    pub fn parse_any(text: &str) -> Option<Self> {
        let epoch = || match text.parse().ok()? {
            seconds @ MIN_EPOCH_SECONDS..END_EPOCH_SECONDS => Some(Self(seconds * 1_000)),
            millis @ MIN_EPOCH_MILLIS.. => Some(Self(millis)),
            _ => None,
        };
        Self::parse(text).or_else(epoch)
    }

    /// Parses as [`parse_any`](Self::parse_any), and the forms of SQL and Python: `2026-07-25 17:20:00`, also with `T`, a
    /// fraction or an offset such as `+0200`. A time without an offset is read as UTC.
    #[must_use]
    pub fn parse_lenient(text: &str) -> Option<Self> {
        Self::parse_any(text).or_else(|| Self::parse(&as_rfc_3339(text)?))
    }

    /// Returns the time in a compact form for an object key: `20260725T172000250Z`.
    #[must_use]
    pub fn compact(self) -> String {
        const FORMAT: &[BorrowedFormatItem<'_>] =
            format_description!("[year][month][day]T[hour][minute][second][subsecond digits:3]Z");
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|moment| moment.format(FORMAT).ok())
            .unwrap_or_else(|| self.0.to_string())
    }

    /// Returns the duration since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the time `before` earlier, but not before the Unix epoch.
    #[must_use]
    pub fn minus(self, before: Duration) -> Self {
        let before = millis(before);
        Self(self.0.saturating_sub(before))
    }

    /// Returns the time `after` later; stops at the end of the range instead of wrapping.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(millis(after)))
    }
}

/// Returns a date and time of SQL or Python in the form of RFC 3339.
fn as_rfc_3339(text: &str) -> Option<String> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let clock = rest.strip_prefix([' ', 'T', 't'])?;
    let end = clock.find(|it: char| !it.is_ascii_digit() && !":.,".contains(it));
    let (clock, offset) = clock.split_at(end.unwrap_or(clock.len()));
    let clock = clock.replace(',', ".");
    let offset = match offset.trim() {
        "" | "Z" | "z" | "UTC" | "GMT" => "Z".to_owned(),
        // `+0200` and `+02`.
        offset => {
            let (hours, minutes) = (offset.get(..3)?, offset.get(3..)?.trim_start_matches(':'));
            format!("{hours}:{}", if minutes.is_empty() { "00" } else { minutes })
        }
    };
    Some(format!("{date}T{clock}{offset}"))
}

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC; the bare milliseconds for a time that the calendar cannot represent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The source of wall-clock time.
pub trait Clock: Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// The source of randomness.
pub trait Random: Send + Sync {
    /// Returns a random number from 0 (included) to 1 (excluded).
    fn unit(&self) -> f64;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp(millis(since_epoch))
    }
}

/// The thread's random generator: good enough to spread retries, not for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn unit(&self) -> f64 {
        fastrand::f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_is_written_as_rfc_3339_in_utc() {
        assert_eq!(
            Timestamp::from_millis(1_785_000_000_250).to_string(),
            "2026-07-25T17:20:00.25Z"
        );
        assert_eq!(Timestamp::from_millis(u64::MAX).to_string(), u64::MAX.to_string());
    }

    #[test]
    fn timestamp_is_read_back_and_written_for_keys() {
        let moment = Timestamp::from_millis(1_785_000_000_250);
        assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(moment.compact(), "20260725T172000250Z");
    }

    #[test]
    fn timestamp_of_another_system_is_read() {
        let moment = Some(Timestamp::from_millis(1_785_000_000_000));
        for text in [
            "2026-07-25T17:20:00Z",
            "2026-07-25T17:20:00",
            "2026-07-25 17:20:00",
            "2026-07-25 17:20:00.000 UTC",
            "2026-07-25 17:20:00,000",
            "2026-07-25T19:20:00+0200",
            "2026-07-25 19:20:00+02",
            "2026-07-25 19:20:00 +02:00",
            "1785000000",
            "1785000000000",
        ] {
            assert_eq!(Timestamp::parse_lenient(text), moment, "{text}");
        }
        for text in
            ["", "2026-07-25", "2026-07-25 early", "2026-07-25T17:20:00+x", "ÄÄÄÄÄÄÄÄÄÄ", "5"]
        {
            assert_eq!(Timestamp::parse_lenient(text), None, "{text}");
        }
    }

    #[test]
    fn chance_stays_within_its_bounds_and_varies() {
        let draws: Vec<f64> = (0..32).map(|_| SystemRandom.unit()).collect();
        assert!(draws.iter().all(|unit| (0.0..1.0).contains(unit)));
        assert!(draws.windows(2).any(|pair| pair[0] < pair[1]), "{draws:?}");
    }

    #[test]
    fn timestamp_arithmetic_stops_at_the_ends() {
        let early = Timestamp::from_millis(1_000);
        let late = Timestamp::from_millis(3_500);
        assert_eq!(late.since(early), Duration::from_millis(2_500));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.as_secs(), 3);
        assert_eq!(
            Timestamp::from_millis(u64::MAX).plus(Duration::from_secs(1)),
            Timestamp::from_millis(u64::MAX)
        );
    }
}
