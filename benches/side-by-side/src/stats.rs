//! Medians and percentiles.

use std::time::Duration;

/// Measured durations of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<Duration>);

impl FromIterator<Duration> for Sample {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut durations: Vec<_> = durations.into_iter().collect();
        durations.sort_unstable();
        Self(durations)
    }
}

impl Sample {
    pub(crate) fn push(&mut self, duration: Duration) {
        let place = self.0.partition_point(|other| *other <= duration);
        self.0.insert(place, duration);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    pub(crate) fn median(&self) -> Option<Duration> {
        self.percentile(50)
    }

    /// Returns the smallest measured duration that `percent` of all do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied()
    }

    pub(crate) fn shortest(&self) -> Option<Duration> {
        self.0.first().copied()
    }

    pub(crate) fn longest(&self) -> Option<Duration> {
        self.0.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(millis: &[u64]) -> Sample {
        let mut sample = Sample::default();
        for millis in millis {
            sample.push(Duration::from_millis(*millis));
        }
        sample
    }

    #[test]
    fn percentiles_are_measured_durations() {
        let of_100 = sample(&(1..=100).rev().collect::<Vec<_>>());
        assert_eq!(of_100.median(), Some(Duration::from_millis(50)));
        assert_eq!(of_100.percentile(95), Some(Duration::from_millis(95)));
        assert_eq!(sample(&[7, 3]).median(), Some(Duration::from_millis(3)));
        assert_eq!(sample(&[7]).percentile(95), Some(Duration::from_millis(7)));
        assert_eq!(sample(&[]).median(), None);
    }

    #[test]
    fn sample_does_not_depend_on_the_order_of_collection() {
        let millis = [30, 10, 20, 10];
        let at_once: Sample = millis.into_iter().map(Duration::from_millis).collect();
        for percent in [0, 25, 50, 75, 99, 100] {
            let one_by_one = sample(&millis).percentile(percent);
            assert_eq!(at_once.percentile(percent), one_by_one);
        }
        assert_eq!(at_once.percentile(50), Some(Duration::from_millis(10)));
        assert_eq!(at_once.percentile(99), Some(Duration::from_millis(30)));
    }
}
