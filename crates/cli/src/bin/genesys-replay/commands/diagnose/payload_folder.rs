//! Payloads in files of their own, ready to be sent.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay_cli::operator::diagnose::Finding;
use tempfile::TempDir;

use crate::exit::UserError;
use crate::files;

/// The longest part of an event id in a file's name: names end at 255 bytes.
const MAX_NAME_BYTES: usize = 100;

/// A folder that takes its name when it is whole.
pub(super) struct PayloadFolder {
    folder: TempDir,
    path: PathBuf,
    files: u64,
}

impl PayloadFolder {
    /// # Errors
    /// [`UserError`] when there is something in the folder already: what belongs to which look could not be told.
    pub(super) fn begin(path: &Path) -> anyhow::Result<Self> {
        let refused = |what: String| UserError::new(what, "name another folder: --save DIR");
        let shown = path.display();
        match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => Err(refused(format!("the folder {shown} is not empty")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => Err(refused(format!(
                "the folder {shown} cannot be used: {error}"
            )))?,
        }
        let parent = files::folder(path);
        let folder = fs::create_dir_all(parent)
            .and_then(|()| {
                let private = fs::Permissions::from_mode(0o700);
                tempfile::Builder::new()
                    .permissions(private)
                    .tempdir_in(parent)
            })
            .map_err(|error| refused(format!("the folder {shown} cannot be made: {error}")))?;
        Ok(Self {
            folder,
            path: path.to_owned(),
            files: 0,
        })
    }

    pub(super) fn put(&mut self, finding: &Finding<'_>) -> io::Result<()> {
        let payload = finding.replay_payload;
        let decoded = match finding.payload_encoding {
            Some(_) => STANDARD.decode(payload).ok(),
            None => None,
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.folder.path().join(name(finding)))?;
        file.write_all(decoded.as_deref().unwrap_or(payload.as_bytes()))?;
        self.files += 1;
        Ok(())
    }

    /// Gives the folder its name, and answers how many files are in it.
    pub(super) fn finish(self) -> io::Result<(u64, PathBuf)> {
        // Over a folder that is empty still; else it fails, and nothing is lost but this.
        fs::rename(self.folder.path(), &self.path)?;
        let _ = self.folder.keep();
        Ok((self.files, self.path))
    }
}

/// The event's id and the message's, of which the latter is like no other.
fn name(finding: &Finding<'_>) -> String {
    let safe = |id: &str| -> String {
        id.chars()
            .map(|letter| match letter {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => letter,
                _ => '_',
            })
            .take(MAX_NAME_BYTES)
            .collect()
    };
    let extension = match finding.payload_encoding {
        Some(_) => "bin",
        None => "json",
    };
    let (event, message) = (safe(finding.event_id), safe(finding.message_id));
    if event == message {
        return format!("{message}.{extension}");
    }
    format!("{event}-{message}.{extension}")
}
