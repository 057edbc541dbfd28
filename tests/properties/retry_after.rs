//! The `Retry-After` header with arbitrary values.

use std::time::{Duration, UNIX_EPOCH};

use genesys_replay::clock::Timestamp;
use genesys_replay::retry_after::{MAX_RETRY_AFTER, parse};
use proptest::prelude::*;

/// The last second of the maximum year of an HTTP date.
const END_OF_DATES: u64 = 253_402_300_799;

fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Returns times between 1970 and 2100, in milliseconds.
fn moments() -> impl Strategy<Value = Timestamp> {
    (0_u64..4_102_444_800_000).prop_map(Timestamp::from_millis)
}

/// Returns delays around the bounds: zero, some, the maximum, more than the maximum.
fn delays() -> impl Strategy<Value = u64> {
    let longest = MAX_RETRY_AFTER.as_secs();
    prop_oneof![0..longest, longest - 2..longest + 3, Just(longest * 1_000),]
}

/// Returns dates with changed characters, numbers of every length and sign, and noise.
fn texts() -> impl Strategy<Value = String> {
    let nearly_a_date = (0..=END_OF_DATES, any::<prop::sample::Index>(), "\\PC{0,2}").prop_map(
        |(seconds, at, other)| {
            let mut text = date(seconds);
            let at = at.index(text.len());
            text.replace_range(at..=at, &other);
            text
        },
    );
    prop_oneof![
        nearly_a_date,
        (0..=END_OF_DATES).prop_map(date),
        "[-+ ]{0,1}[0-9]{1,30}[.smh ]{0,1}",
        "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn retry_after_is_at_most_the_maximum(
        text in texts(),
        now in prop_oneof![moments(), any::<u64>().prop_map(Timestamp::from_millis)],
    ) {
        let wait = parse(&text, now);
        prop_assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER), "{wait:?}");
    }

    #[test]
    fn retry_after_seconds_and_dates_agree(now in moments(), wait in delays()) {
        let date = date(now.as_secs() + wait);
        let past_the_second = Duration::from_millis(now.as_millis() % 1_000);
        let by_date = Duration::from_secs(wait).saturating_sub(past_the_second).min(MAX_RETRY_AFTER);
        prop_assert_eq!(parse(&date, now), Some(by_date), "{}", date);
        let by_seconds = Duration::from_secs(wait).min(MAX_RETRY_AFTER);
        prop_assert_eq!(parse(&wait.to_string(), now), Some(by_seconds));
    }

    #[test]
    fn retry_after_in_the_past_is_zero(now in moments(), ago in 0_u64..1_000_000) {
        let date = date(now.as_secs().saturating_sub(ago));
        prop_assert_eq!(parse(&date, now), Some(Duration::ZERO), "{}", date);
    }

    #[test]
    fn retry_after_accepts_numbers_of_any_length(digits in "[0-9]{1,40}", now in moments()) {
        let seconds = digits.parse::<u128>().unwrap_or(u128::MAX);
        let expected = seconds.min(MAX_RETRY_AFTER.as_secs().into());
        let wait = parse(&digits, now).map(|wait| wait.as_millis());
        prop_assert_eq!(wait, Some(expected * 1_000));
    }

    #[test]
    fn retry_after_number_has_only_digits(digits in "[0-9]{1,10}", sign in "[-+_]", unit in "[.a-z]{1,3}") {
        let now = Timestamp::from_millis(0);
        prop_assert_eq!(parse(&format!("{sign}{digits}"), now), None);
        prop_assert_eq!(parse(&format!("{digits}{unit}"), now), None);
    }

    #[test]
    fn retry_after_ignores_surrounding_space(
        text in texts(),
        now in moments(),
        before in "[ \t]{0,3}",
        after in "[ \t]{0,3}",
    ) {
        prop_assert_eq!(parse(&format!("{before}{text}{after}"), now), parse(&text, now));
    }
}
