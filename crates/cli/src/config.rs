//! The settings of the operator's command: those of the function that it looks after, from that function or from
//! this process.

use std::collections::BTreeMap;
use std::time::Duration;

use genesys_replay::destination::ReplayTarget;
use genesys_replay::replay::Limits;
use genesys_replay_genesys::GenesysSettings;
use genesys_replay_settings::{
    ArchiveSettings, Reader, Settings, SettingsError, archive, genesys, limits, remember, table,
    target,
};

/// Variables by name, as a function or this process has them.
#[derive(Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
}

/// What every command of the operator needs to know of the function.
#[derive(Clone, Debug)]
pub struct OperatorSettings {
    /// The `DynamoDB` table of the ledger.
    pub table: String,
    /// Where events are delivered.
    pub target: ReplayTarget,
    /// Where what must not be replayed is kept.
    pub archive: Option<ArchiveSettings>,
    /// The limits of the retries.
    pub limits: Limits,
    /// How long a finished event is remembered.
    pub remember: Duration,
}

impl Variables {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        // What is no text cannot be a setting.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// A variable's value; an empty one counts as none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name).map(|value| value.trim());
        value.filter(|value| !value.is_empty())
    }

    /// The same with this value in place of what was there.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.values.insert(name.to_owned(), value.to_owned());
        self
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.values.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What every command needs.
    ///
    /// # Errors
    /// Names everything that is wrong.
    pub fn operator(&self) -> Result<OperatorSettings, SettingsError> {
        let lookup = |name: &str| self.get(name).map(str::to_owned);
        let mut reader = Reader::new(&lookup);
        let settings = OperatorSettings {
            table: table(&mut reader),
            target: target(&mut reader),
            archive: archive(&mut reader),
            limits: limits(&mut reader),
            remember: remember(&mut reader),
        };
        reader.finish(settings)
    }

    /// How to reach Genesys Cloud.
    ///
    /// # Errors
    /// Names everything that is missing or wrong.
    pub fn genesys(&self) -> Result<GenesysSettings, SettingsError> {
        let lookup = |name: &str| self.get(name).map(str::to_owned);
        let mut reader = Reader::new(&lookup);
        let settings = genesys::read(&mut reader, "leave Genesys Cloud out");
        reader.finish(settings)
    }

    /// All settings of the function.
    ///
    /// # Errors
    /// What would stop the function's start-up.
    pub fn function(&self) -> Result<Settings, SettingsError> {
        Settings::from_lookup(|name| self.get(name).map(str::to_owned))
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self {
            values: variables.into_iter().collect(),
        }
    }
}

impl std::fmt::Debug for Variables {
    /// Names only: among the values are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
