//! The folder of the configuration files.

use std::io;
use std::path::{Path, PathBuf};

use genesys_replay_cli::operator::setup::Folder;

use crate::exit::UserError;
use crate::files::{Replaceable, read, write_whole};

/// A folder of this computer.
pub(super) struct LocalFolder {
    path: PathBuf,
}

impl LocalFolder {
    pub(super) fn new(path: &Path) -> Result<Self, UserError> {
        if path.is_dir() {
            return Ok(Self { path: path.to_owned() });
        }
        let what = format!("{} is not a folder", path.display());
        Err(UserError::new(what, "name the folder of the template: --folder"))
    }
}

impl Folder for LocalFolder {
    fn read(&self, name: &str) -> Result<Option<String>, String> {
        let path = self.path.join(name);
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
            Ok(_) => {}
        }
        let bytes = read(&path).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map(Some).map_err(|_| "it is not UTF-8 text".to_owned())
    }

    fn write(&mut self, name: &str, text: &str) -> Result<(), String> {
        let path = self.path.join(name);
        write_whole(&path, Replaceable::Configuration, text.as_bytes())
            .map_err(|error| format!("{error:#}"))
    }
}
