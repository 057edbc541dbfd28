//! The settings of the operator's command. They are the replay function's settings, read from that function or from
//! this process's environment.

use std::collections::BTreeMap;
use std::time::Duration;

use genesys_replay::destination::ReplayTarget;
use genesys_replay::replay::Limits;
use genesys_replay_genesys::GenesysSettings;
use genesys_replay_settings::{
    ArchiveSettings, Reader, Settings, SettingsError, archive, genesys, limits, remember, table,
    target,
};

/// Environment variables by name, of a function or of this process.
#[derive(Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
}

/// The settings of the function that every command needs.
#[derive(Clone, Debug)]
pub struct OperatorSettings {
    pub table: String,
    pub target: ReplayTarget,
    /// `None` without a bucket.
    pub archive: Option<ArchiveSettings>,
    pub limits: Limits,
    /// The retention of finished ledger items.
    pub remember: Duration,
}

impl Variables {
    pub fn of_process() -> Self {
        // A name or value that is not UTF-8 cannot be a setting.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// Returns a variable's trimmed value; `None` if the variable is not set or its value is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name).map(|value| value.trim());
        value.filter(|value| !value.is_empty())
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.values.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.values.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Reads the settings that every command needs.
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

    /// Reads the settings of Genesys Cloud.
    pub fn genesys(&self) -> Result<GenesysSettings, SettingsError> {
        let lookup = |name: &str| self.get(name).map(str::to_owned);
        let mut reader = Reader::new(&lookup);
        let settings = genesys::read(&mut reader, "leave Genesys Cloud out");
        reader.finish(settings)
    }

    /// Reads all settings of the function. An error names every problem that would stop the function's start-up.
    pub fn function(&self) -> Result<Settings, SettingsError> {
        Settings::from_lookup(|name| self.get(name).map(str::to_owned))
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        let values = variables.into_iter().collect();
        Self { values }
    }
}

impl std::fmt::Debug for Variables {
    /// Prints the names only, because values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
