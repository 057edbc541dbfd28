//! Counts by name, with bounded memory.

use std::collections::BTreeMap;

/// The maximum number of separate names.
const MAX_NAMES: usize = 1_000;

/// The count of each name. Names beyond the first 1,000 are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameCounts {
    named: BTreeMap<String, u64>,
    other: u64,
}

impl NameCounts {
    /// Counts one more of this name.
    pub fn count(&mut self, name: &str) {
        if let Some(known) = self.named.get_mut(name) {
            *known += 1;
        } else if self.named.len() < MAX_NAMES {
            self.named.insert(name.to_owned(), 1);
        } else {
            self.other += 1;
        }
    }

    /// Returns the sum of all counts.
    pub fn total(&self) -> u64 {
        self.named.values().sum::<u64>() + self.other
    }

    /// Returns the counts, most frequent first, and at the end the names that are counted together, as `other`.
    pub fn sorted(&self) -> Vec<(String, u64)> {
        let mut sorted: Vec<(String, u64)> = self.named.clone().into_iter().collect();
        sorted.sort_by(|(one, many), (other, more)| more.cmp(many).then_with(|| one.cmp(other)));
        if self.other > 0 {
            sorted.push(("other".to_owned(), self.other));
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_are_counted_together() {
        let mut counts = NameCounts::default();
        for name in 0..MAX_NAMES + 7 {
            counts.count(&format!("target-{name}"));
        }
        counts.count("target-3");
        let sorted = counts.sorted();
        assert_eq!(sorted.len(), MAX_NAMES + 1);
        assert_eq!(sorted.first(), Some(&("target-3".to_owned(), 2)));
        assert_eq!(sorted.last(), Some(&("other".to_owned(), 7)));
    }
}
