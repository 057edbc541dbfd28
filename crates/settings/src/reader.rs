//! Reads variables one by one and collects their problems.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::SettingsError;

/// A reader of settings. It continues after the first problem, so that a person can fix all problems at once.
pub struct Reader<'l> {
    lookup: &'l dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl<'l> Reader<'l> {
    /// Creates a reader of the variables that `lookup` returns.
    #[must_use]
    pub fn new(lookup: &'l dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    /// Adds a problem: a phrase that follows the name of the variable.
    pub fn problem(&mut self, name: &str, what: &str) {
        self.problems.push(format!("{name} {what}"));
    }

    /// Returns a value without surrounding space; `None` for an empty value, because templates pass an empty
    /// value for "not set".
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Reads a whole number; an invalid or out-of-bounds value is a problem.
    pub fn number(&mut self, name: &str, default: u32, bounds: RangeInclusive<u32>) -> u32 {
        let Some(text) = self.text(name) else {
            return default;
        };
        match text.parse() {
            Ok(number) if bounds.contains(&number) => number,
            Ok(_) | Err(_) => {
                self.problem(
                    name,
                    &format!("must be a whole number from {} to {}", bounds.start(), bounds.end()),
                );
                default
            }
        }
    }

    /// Reads a whole number of seconds.
    pub fn seconds(&mut self, name: &str, default: u32, bounds: RangeInclusive<u32>) -> Duration {
        Duration::from_secs(self.number(name, default, bounds).into())
    }

    /// Reads a whole number of hours.
    pub fn hours(&mut self, name: &str, default: u32, bounds: RangeInclusive<u32>) -> Duration {
        Duration::from_secs(u64::from(self.number(name, default, bounds)) * 3_600)
    }

    /// Reads one of these words; another word is a problem.
    pub fn choice<T: Copy>(&mut self, name: &str, default: T, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text(name) else {
            return default;
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return *choice;
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("'{word}'")).collect();
        self.problem(name, &format!("must be one of {}", words.join(", ")));
        default
    }

    /// Returns the settings.
    ///
    /// # Errors
    /// All collected problems.
    pub fn finish<T>(self, settings: T) -> Result<T, SettingsError> {
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError { problems: self.problems })
        }
    }
}
