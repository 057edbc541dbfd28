//! Payloads in one file each, ready to be sent.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay_cli::operator::diagnose::MessageFinding;
use tempfile::TempDir;

use crate::exit::UserError;
use crate::files;

/// The maximum length of an id in a file name, whose own maximum is 255 bytes.
const MAX_ID_BYTES: usize = 100;

/// A folder that appears when it is complete.
pub(super) struct PayloadFolder {
    folder: TempDir,
    path: PathBuf,
    files: u64,
}

impl PayloadFolder {
    /// # Errors
    /// [`UserError`] if the folder is not empty, because files of two diagnoses could not be distinguished.
    pub(super) fn begin(path: &Path) -> anyhow::Result<Self> {
        let refused = |why: &str| {
            let what = format!("the folder {} {why}", path.display());
            UserError::new(what, "name another folder: --save DIR")
        };
        match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => Err(refused("is not empty"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => Err(refused(&format!("cannot be used: {error}")))?,
        }
        let parent = files::folder(path);
        let mut builder = tempfile::Builder::new();
        builder.permissions(Permissions::from_mode(0o700));
        let folder = fs::create_dir_all(parent)
            .and_then(|()| builder.tempdir_in(parent))
            .map_err(|error| refused(&format!("cannot be made: {error}")))?;
        Ok(Self { folder, path: path.to_owned(), files: 0 })
    }

    pub(super) fn put(&mut self, finding: &MessageFinding<'_>) -> io::Result<()> {
        let payload = finding.replay_payload;
        let encoded = finding.payload_encoding.map(|_| payload);
        let decoded = encoded.and_then(|payload| STANDARD.decode(payload).ok());
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.folder.path().join(name(finding)))?;
        file.write_all(decoded.as_deref().unwrap_or(payload.as_bytes()))?;
        self.files += 1;
        Ok(())
    }

    /// Gives the folder its name. Returns the number of files and the name.
    pub(super) fn finish(self) -> io::Result<(u64, PathBuf)> {
        // Replaces an empty folder, and fails if the folder is not empty any more.
        fs::rename(self.folder.path(), &self.path)?;
        let _ = self.folder.keep();
        Ok((self.files, self.path))
    }
}

/// Returns a file name of the event's id and the message's id, which is unique.
fn name(finding: &MessageFinding<'_>) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let safe = |id: &str| -> String {
        let chars = id.chars().take(MAX_ID_BYTES);
        chars.map(|c| if is_safe(c) { c } else { '_' }).collect()
    };
    let extension = finding.payload_encoding.map_or("json", |_| "bin");
    let (event, message) = (safe(finding.event_id), safe(finding.message_id));
    if event == message {
        format!("{message}.{extension}")
    } else {
        format!("{event}-{message}.{extension}")
    }
}
