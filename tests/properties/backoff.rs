//! The delay of a retry.

use std::time::Duration;

use genesys_replay::backoff::Backoff;
use proptest::prelude::*;

/// Returns every backoff that the settings accept.
fn backoffs() -> impl Strategy<Value = Backoff> {
    (0_u64..=900, 1_u64..=43_200)
        .prop_filter("the base is not above the maximum", |(base, max)| base <= max)
        .prop_map(|(base, max)| Backoff {
            base: Duration::from_secs(base),
            max: Duration::from_secs(max),
        })
}

/// Returns usual attempt numbers, and those whose power of two overflows.
fn attempts() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 0_u32..40, 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn backoff_delay_is_between_half_and_full_of_the_doubled_base(
        backoff in backoffs(),
        attempt in attempts(),
        unit in any::<f64>(),
    ) {
        // In integers that cannot overflow: 900 seconds, doubled 32 times.
        let doubled = u128::from(backoff.base.as_secs()) << attempt.saturating_sub(1).min(32);
        let full = doubled.min(backoff.max.as_secs().into()) * 1_000_000_000;
        let wait = backoff.delay(attempt, unit, None).as_nanos();
        prop_assert!(full / 2 <= wait && wait <= full, "{wait} ns of {full}");
    }

    #[test]
    fn backoff_jitter_reaches_half_and_full(backoff in backoffs(), attempt in attempts()) {
        let half = backoff.delay(attempt, 0.0, None);
        prop_assert_eq!(half * 2, backoff.delay(attempt, 1.0, None));
    }

    #[test]
    fn backoff_delay_does_not_shrink_with_attempts(
        backoff in backoffs(),
        attempt in attempts(),
        later in 1_u32..100,
        unit in 0.0..=1.0_f64,
    ) {
        let wait = |attempt| backoff.delay(attempt, unit, None);
        prop_assert!(wait(attempt) <= wait(attempt.saturating_add(later)));
    }

    #[test]
    fn backoff_delay_doubles_until_the_maximum(
        backoff in backoffs(),
        attempt in 1_u32..20,
        unit in prop_oneof![Just(0.0), Just(1.0)],
    ) {
        let wait = |attempt| backoff.delay(attempt, unit, None);
        let most = backoff.delay(u32::MAX, unit, None).max(wait(attempt));
        prop_assert!(
            wait(attempt + 1) == wait(attempt) * 2 || wait(attempt + 1) == most,
            "{:?} after {:?}", wait(attempt + 1), wait(attempt)
        );
    }

    #[test]
    fn backoff_delay_is_at_least_the_retry_after(
        backoff in backoffs(),
        attempt in attempts(),
        unit in 0.0..=1.0_f64,
        asked in (0_u64..100_000).prop_map(Duration::from_secs),
    ) {
        let own = backoff.delay(attempt, unit, None);
        prop_assert_eq!(backoff.delay(attempt, unit, Some(asked)), own.max(asked));
    }
}
