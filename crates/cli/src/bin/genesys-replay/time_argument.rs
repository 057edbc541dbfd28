//! Times on the command line.

use genesys_replay::clock::{Clock, SystemClock, Timestamp};
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{ToSpan, ZonedDateTime};

/// The forms of a time, for `--help`.
pub(crate) const TIME_FORMS: &str = "an age (6h, 2days), a time (16:00), a day (today, yesterday, monday, 2026-11-29), both ('2026-11-29 16:00'), or RFC 3339";

/// Parses a time, a day or an age, in the time zone of this computer (`TZ`).
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let now = i64::try_from(SystemClock.now().as_millis()).ok();
    let now = now.and_then(|now| jiff::Timestamp::from_millisecond(now).ok());
    let now =
        now.ok_or("the clock of this computer is wrong")?.to_zoned_datetime(TimeZone::system());
    time_in(text, &now).ok_or_else(|| format!("must be {TIME_FORMS}"))
}

/// Returns the time that a text means at `now`: a day is its begin, and a time of day or a weekday is the last one.
fn time_in(text: &str, now: &ZonedDateTime) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(moment) = Timestamp::parse(text) {
        return Some(moment);
    }
    let age = text.strip_suffix(" ago").unwrap_or(text);
    if let Ok(age) = humantime::parse_duration(age) {
        return Some(stamp(now)?.minus(age));
    }
    // A `T` separates only after a digit, because days begin with it too.
    let is_separator = |at: usize| at > 0 && text.as_bytes()[at - 1].is_ascii_digit();
    let separated = text.split_once(' ').or_else(|| {
        let at = text.find('T').filter(|at| is_separator(*at))?;
        Some((&text[..at], &text[at + 1..]))
    });
    let (day, time) = match separated {
        Some((day, time)) => (day_in(day, now)?, Some(time_of_day(time.trim())?)),
        None => match time_of_day(text) {
            Some(time) => return last(now, 1, |day| local(day.to_datetime(time), now)),
            None => (day_in(text, now)?, None),
        },
    };
    stamp(&local(day.to_datetime(time.unwrap_or(Time::midnight())), now)?)
}

fn stamp(at: &ZonedDateTime) -> Option<Timestamp> {
    u64::try_from(at.timestamp().as_millisecond()).ok().map(Timestamp::from_millis)
}

fn local(at: DateTime, now: &ZonedDateTime) -> Option<ZonedDateTime> {
    at.to_zoned_datetime(now.time_zone().clone()).ok()
}

/// Returns the last time before `now` among those of today and of the last `days` days.
fn last(
    now: &ZonedDateTime,
    days: i64,
    at: impl Fn(Date) -> Option<ZonedDateTime>,
) -> Option<Timestamp> {
    let days = (0..=days).filter_map(|back| now.date().checked_sub(back.days()).ok());
    stamp(&days.filter_map(at).find(|at| at <= now)?)
}

/// Parses `16:00` or `16:00:30`.
fn time_of_day(text: &str) -> Option<Time> {
    let parts: Vec<i8> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match parts[..] {
        [hour, minute] => Time::new(hour, minute, 0, 0).ok(),
        [hour, minute, second] => Time::new(hour, minute, second, 0).ok(),
        _ => None,
    }
}

fn day_in(text: &str, now: &ZonedDateTime) -> Option<Date> {
    let today = now.date();
    let weekday = match text.to_ascii_lowercase().as_str() {
        "today" => return Some(today),
        "yesterday" => return today.yesterday().ok(),
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        date => return date.parse().ok(),
    };
    (0..7)
        .filter_map(|back| today.checked_sub(back.days()).ok())
        .find(|day| day.weekday() == weekday)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<String> {
        // A Tuesday, three minutes past three in the night.
        let now: jiff::Timestamp = "2026-12-01T02:03:00Z".parse().ok()?;
        let now = now.to_zoned_datetime(TimeZone::fixed(jiff::tz::offset(1)));
        time_in(text, &now).map(|at| at.to_string())
    }

    #[test]
    fn time_is_read_in_the_forms_of_people() {
        for (text, expected) in [
            ("2026-11-22T08:00:00Z", "2026-11-22T08:00:00Z"),
            ("2026-11-22T08:00:00+02:00", "2026-11-22T06:00:00Z"),
            ("6h", "2026-11-30T20:03:00Z"),
            ("90 min ago", "2026-12-01T00:33:00Z"),
            ("7days", "2026-11-24T02:03:00Z"),
            ("16:00", "2026-11-30T15:00:00Z"),
            ("03:00", "2026-12-01T02:00:00Z"),
            ("03:00:30", "2026-12-01T02:00:30Z"),
            ("today", "2026-11-30T23:00:00Z"),
            ("Yesterday", "2026-11-29T23:00:00Z"),
            ("yesterday 16:00", "2026-11-30T15:00:00Z"),
            ("monday", "2026-11-29T23:00:00Z"),
            ("Tuesday", "2026-11-30T23:00:00Z"),
            ("Thursday 16:00", "2026-11-26T15:00:00Z"),
            ("Today", "2026-11-30T23:00:00Z"),
            ("2026-11-29", "2026-11-28T23:00:00Z"),
            ("2026-11-29 16:00", "2026-11-29T15:00:00Z"),
            ("2026-07-29T16:00", "2026-07-29T15:00:00Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "soon", "25:00", "16:00:00:00", "2026-13-01", "yesterday at 4", "-6h", "16"]
        {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn age_before_1970_is_the_begin_of_time() {
        assert_eq!(at("9999years").as_deref(), Some("1970-01-01T00:00:00Z"));
    }
}
