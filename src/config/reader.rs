//! Reads variables one by one and collects what is wrong with them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::SettingsError;

/// Never stops at the first problem: a person fixes them all at once.
pub(super) struct Reader<'l> {
    lookup: &'l dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl<'l> Reader<'l> {
    pub(super) fn new(lookup: &'l dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            problems: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, name: &str, what: &str) {
        self.problems.push(format!("{name} {what}"));
    }

    /// A value without the space around it; templates pass an empty one for "not set".
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn number(&mut self, name: &str, default: u32, bounds: RangeInclusive<u32>) -> u32 {
        let Some(text) = self.text(name) else {
            return default;
        };
        match text.parse() {
            Ok(number) if bounds.contains(&number) => number,
            Ok(_) | Err(_) => {
                self.problem(
                    name,
                    &format!(
                        "must be a whole number from {} to {}",
                        bounds.start(),
                        bounds.end()
                    ),
                );
                default
            }
        }
    }

    pub(super) fn seconds(
        &mut self,
        name: &str,
        default: u32,
        bounds: RangeInclusive<u32>,
    ) -> Duration {
        Duration::from_secs(self.number(name, default, bounds).into())
    }

    pub(super) fn hours(
        &mut self,
        name: &str,
        default: u32,
        bounds: RangeInclusive<u32>,
    ) -> Duration {
        Duration::from_secs(u64::from(self.number(name, default, bounds)) * 3_600)
    }

    pub(super) fn choice<T: Copy>(&mut self, name: &str, default: T, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text(name) else {
            return default;
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return *choice;
        }
        let words: Vec<_> = choices
            .iter()
            .map(|(word, _)| format!("'{word}'"))
            .collect();
        self.problem(name, &format!("must be one of {}", words.join(", ")));
        default
    }

    pub(super) fn finish<T>(self, settings: T) -> Result<T, SettingsError> {
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError {
                problems: self.problems,
            })
        }
    }
}
