//! The receives of a message until SQS parks it, spread over the time until SQS deletes it.

use std::time::Duration;

use crate::queue::MAX_VISIBILITY_TIMEOUT;

/// The number of receives between the last attempt and the move to the parking queue, because some receives pass
/// without an attempt.
pub(super) const PARKING_MARGIN: u32 = 3;

/// The maximum delay of a message that was not attempted, if the receives suffice. With [`MAX_JITTER`], the next attempt
/// is at most two hours after a repair.
const MAX_USUAL_DELAY: Duration = Duration::from_secs(114 * 60);

/// The maximum that is added to a minimum delay, because otherwise all messages would return in the same second.
const MAX_JITTER: Duration = Duration::from_secs(6 * 60);

/// Returns true if a queue with this `maxReceiveCount` soon moves a message with this receive count to the parking queue.
pub(super) const fn is_soon_parked(receive_count: u32, max_receives: u32) -> bool {
    receive_count.saturating_add(PARKING_MARGIN) >= max_receives
}

/// The receives of a message before its last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReceiveBudget {
    /// The number of receives before the last attempt.
    total: u32,
    /// The number of receives that are left, without the current one.
    left: u32,
}

impl ReceiveBudget {
    /// Returns the budget of a message at this receive count, with the setting `MAX_RECEIVES` and the queue's
    /// `maxReceiveCount`; `None` without a parking queue.
    pub(super) fn new(receive_count: u32, setting: u32, max_receives: Option<u32>) -> Self {
        let before_parking = max_receives.map(|it| it.saturating_sub(PARKING_MARGIN).max(1));
        let total = before_parking.map_or(setting, |it| it.min(setting));
        Self { total, left: total.saturating_sub(receive_count) }
    }

    /// Returns true if an attempt in this receive is the last one.
    pub(super) const fn is_used_up(self) -> bool {
        self.left == 0
    }

    /// Returns the minimum visibility timeout of a message that was not attempted, so that its receives last for
    /// `time_left`. The first receives may follow quickly, because most outages are short; the very first one always does.
    /// `retention` is the whole retention period of the queue, and `unit` a random number from 0 to 1.
    ///
    /// If even the maximum visibility timeouts do not last for the retention period, the first half of the receives
    /// may follow quickly, and the other half waits as long as SQS allows. After a cause that usually ends within seconds
    /// (`is_brief`), only the last quarter waits.
    pub(super) fn min_delay(
        self,
        time_left: Duration,
        retention: Duration,
        is_brief: bool,
        unit: f64,
    ) -> Duration {
        let min_delay = self.even_delay(time_left, retention);
        let is_first = self.total.saturating_sub(self.left) <= 1;
        if min_delay.is_zero() || is_first || is_brief && self.left > self.total / 4 {
            return Duration::ZERO;
        }
        (min_delay + MAX_JITTER.mul_f64(unit)).min(MAX_VISIBILITY_TIMEOUT)
    }

    fn even_delay(self, time_left: Duration, retention: Duration) -> Duration {
        if self.is_used_up() {
            return Duration::ZERO;
        }
        let lasts = |each: &Duration| each.saturating_mul(self.total) >= retention;
        match [MAX_USUAL_DELAY, MAX_VISIBILITY_TIMEOUT].into_iter().find(lasts) {
            // An even share, not the rest of a plan, because the rest would end at the same time for all messages.
            Some(each) if time_left > each.saturating_mul(self.left - 1) => time_left / self.left,
            Some(_) => Duration::ZERO,
            None if self.left > self.total / 2 => Duration::ZERO,
            None => MAX_VISIBILITY_TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const RETENTION: Duration = Duration::from_secs(14 * 24 * 3_600);

    fn budget(receive_count: u32, max_receives: u32) -> ReceiveBudget {
        ReceiveBudget::new(receive_count, u32::MAX, Some(max_receives))
    }

    /// Returns the number of receives of a message that is never attempted, until `retention` is over. A delay is at
    /// least `quick`, and at least the minimum.
    fn receives(max_receives: u32, retention: Duration, quick: impl Fn(u32) -> Duration) -> u32 {
        let mut passed = Duration::ZERO;
        for receive in 1..=max_receives {
            let budget = budget(receive, max_receives);
            let time_left = retention.saturating_sub(passed);
            if time_left.is_zero() || budget.is_used_up() {
                return receive;
            }
            let min_delay = budget.min_delay(time_left, retention, false, 0.0);
            passed += min_delay.max(quick(receive)).min(time_left);
        }
        max_receives
    }

    #[test]
    fn receives_last_for_the_retention_in_the_queue_of_the_template() {
        let used = receives(203, RETENTION, |_| Duration::from_secs(5));
        assert!((190..=200).contains(&used), "{used}");
        let first_long = 10;
        for receive in 1..=203 {
            let budget = budget(receive, 203);
            // At 1.9 hours each, 200 receives last for 380 hours.
            let passed = MAX_USUAL_DELAY * receive.saturating_sub(first_long);
            let delay = budget.min_delay(RETENTION.saturating_sub(passed), RETENTION, false, 1.0);
            assert!(delay <= 2 * HOUR, "{receive}: {delay:?}");
        }
    }

    #[test]
    fn receives_are_not_in_the_same_second_when_they_wait_long() {
        let budget = budget(150, 203);
        let delays =
            [0.0, 0.5, 1.0].map(|unit| budget.min_delay(94 * HOUR, RETENTION, false, unit));
        assert!(delays.windows(2).all(|pair| pair[1] == pair[0] + MAX_JITTER / 2), "{delays:?}");
    }

    #[test]
    fn receives_share_the_time_evenly_when_too_many_are_used() {
        let budget = budget(100, 203);
        assert_eq!(budget.min_delay(250 * HOUR, RETENTION, false, 0.0), HOUR * 5 / 2);
    }

    #[test]
    fn first_receives_follow_quickly() {
        for max_receives in [10, 20, 50, 203] {
            for receive in 1..=3 {
                let budget = budget(receive, max_receives);
                let delay = budget.min_delay(RETENTION, RETENTION, false, 0.5);
                assert_eq!(delay, Duration::ZERO, "{receive} of {max_receives}");
            }
        }
    }

    #[test]
    fn first_receive_follows_quickly_with_any_receive_count() {
        for max_receives in 1..30 {
            let delay = budget(1, max_receives).min_delay(RETENTION, RETENTION, false, 1.0);
            assert_eq!(delay, Duration::ZERO, "{max_receives}");
        }
    }

    #[test]
    fn receive_after_a_brief_cause_waits_only_in_the_last_quarter() {
        let quick = |is_brief| {
            let delay =
                |receive| budget(receive, 15).min_delay(RETENTION, RETENTION, is_brief, 0.0);
            (1..12).filter(|receive| delay(*receive).is_zero()).count()
        };
        assert_eq!((quick(false), quick(true)), (5, 8));
    }

    #[test]
    fn setting_limits_the_receives_in_a_queue_with_more() {
        for max_receives in [Some(1_003), None] {
            let budget = ReceiveBudget::new(200, 200, max_receives);
            assert!(budget.is_used_up(), "{max_receives:?}");
        }
        assert!(!is_soon_parked(200, 1_003) && is_soon_parked(200, 203));
    }

    #[test]
    fn last_receives_wait_longest_when_they_cannot_last() {
        let delay = |receive| budget(receive, 13).min_delay(RETENTION, RETENTION, false, 0.5);
        assert_eq!((delay(4), delay(9)), (Duration::ZERO, MAX_VISIBILITY_TIMEOUT));
        assert!(budget(10, 13).is_used_up());
        assert_eq!(delay(10), Duration::ZERO);
    }

    #[test]
    fn receives_last_for_the_retention_if_they_can() {
        let days_and_receives = (1..15).flat_map(|days| (4..300).map(move |it| (days, it)));
        for (days, max_receives) in days_and_receives {
            let retention = days * 24 * HOUR;
            let total = budget(0, max_receives).total;
            // The first receive follows quickly in any queue.
            if total < 2 || MAX_VISIBILITY_TIMEOUT * (total - 2) < retention {
                continue;
            }
            for quick in [1, 60, 1_800, 3_600].map(Duration::from_secs) {
                let mut passed = Duration::ZERO;
                for receive in 1..total {
                    let time_left = retention.saturating_sub(passed);
                    let budget = budget(receive, max_receives);
                    passed += budget.min_delay(time_left, retention, false, 0.0).max(quick);
                }
                assert!(passed >= retention, "{days} days, {max_receives} receives, {quick:?}");
            }
        }
    }
}
