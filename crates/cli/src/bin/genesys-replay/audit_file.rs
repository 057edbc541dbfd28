//! The audit file of a plan. Nothing is written to it before its content is recognised.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use genesys_replay_cli::operator::apply::{AuditEntry, CorruptAudit, History, Journal};

use crate::exit::UserError;

/// The maximum size of an audit file, in bytes: more than any plan needs that can be read.
const MAX_AUDIT_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// The parts of a first entry around its time, by which its torn line is recognised.
const FIRST_ENTRY: [&str; 2] = ["{\"at\":\"", "\",\"what\":\"begun\",\"plan\":\""];

/// The reason why a file is not an audit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NotAnAudit {
    #[error("it has more than {MAX_AUDIT_BYTES} bytes")]
    TooLong,
    #[error("it is not an audit")]
    NoEntry,
    #[error("it is not UTF-8 text")]
    NotText,
    #[error(transparent)]
    Corrupt(#[from] CorruptAudit),
    #[error("it does not name its plan")]
    NoPlan,
}

/// An audit file that this process alone writes.
pub(crate) struct AuditFile {
    path: PathBuf,
    file: File,
    /// True if this process created the file.
    is_new: bool,
    /// The length without a torn last line, until the file is cut there by the first write.
    torn_from: Option<u64>,
}

impl AuditFile {
    /// Opens a plan's audit, or creates it, and returns its content about earlier runs. Changes no file.
    pub(crate) fn open(path: &Path) -> anyhow::Result<(Self, History)> {
        let doing = || format!("opening the audit file {}", path.display());
        let (file, is_new) = open(path).map_err(|error| refused(path, &error))?;
        file.try_lock().map_err(|_| {
            UserError::new(
                format!("{} is in use", path.display()),
                "another apply of this plan runs on this machine: wait for it, or stop it with Ctrl-C",
            )
        })?;
        // Another run may have removed its empty audit before this one got the lock.
        if !is_at(&file, path).unwrap_or(false) {
            let what = format!("{} changed while it was opened", path.display());
            Err(UserError::new(what, "run the command again"))?;
        }
        let mut bytes = Vec::new();
        #[expect(clippy::disallowed_methods, reason = "limited by take")]
        (&file).take(MAX_AUDIT_BYTES + 1).read_to_end(&mut bytes).with_context(doing)?;
        let (whole, history) = recognise(&bytes).map_err(|why| foreign(path, &why))?;
        let torn_from = (whole < bytes.len()).then_some(whole as u64);
        Ok((Self { path: path.to_owned(), file, is_new, torn_from }, history))
    }

    /// Removes the file if this process created it, so that a refused plan leaves no audit.
    pub(crate) fn discard_if_new(self) {
        if self.is_new {
            // The file stays if it cannot be removed. It is empty.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens or creates a regular file, and never follows a link. Returns true if it was created.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => return created.map(|file| (file, true)),
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok((file, false))
}

/// Reads an audit. Returns the length of its whole lines and its content. A torn last line has no meaning.
fn recognise(bytes: &[u8]) -> Result<(usize, History), NotAnAudit> {
    if bytes.len() as u64 > MAX_AUDIT_BYTES {
        return Err(NotAnAudit::TooLong);
    }
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let (lines, torn) = bytes.split_at(whole);
    if lines.is_empty() && !is_torn_first_entry(torn) {
        return Err(NotAnAudit::NoEntry);
    }
    let text = std::str::from_utf8(lines).map_err(|_| NotAnAudit::NotText)?;
    let history = History::read(text)?;
    if history.hash.is_none() && !lines.is_empty() {
        return Err(NotAnAudit::NoPlan);
    }
    Ok((whole, history))
}

/// Returns true for an empty text and for the begin of a first entry.
fn is_torn_first_entry(torn: &[u8]) -> bool {
    let Ok(torn) = std::str::from_utf8(torn) else {
        return false;
    };
    let [begin, after_time] = FIRST_ENTRY;
    let Some(rest) = torn.strip_prefix(begin) else {
        return begin.starts_with(torn);
    };
    let time = rest.find('"').unwrap_or(rest.len());
    let is_time = |byte: u8| byte.is_ascii_digit() || b"-T:.Z".contains(&byte);
    let (time, rest) = rest.split_at(time);
    time.bytes().all(is_time) && (after_time.starts_with(rest) || rest.starts_with(after_time))
}

/// Returns true if a path still leads to this open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (open, named) = (file.metadata()?, std::fs::symlink_metadata(path)?);
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
}

fn refused(path: &Path, error: &io::Error) -> UserError {
    let (what, remedy) = if error.raw_os_error() == Some(libc::ELOOP) {
        ("is a symbolic link, and the audit is not written through links", "move it away")
    } else {
        ("cannot be opened", "check the permissions of the plan's folder")
    };
    UserError::new(format!("{} {what}: {error}", path.display()), remedy)
}

fn foreign(path: &Path, why: &NotAnAudit) -> UserError {
    UserError::new(
        format!("{}: {why}", path.display()),
        "the file was not changed: move it away, and make a new plan if it was the audit of this one",
    )
}

impl Journal for AuditFile {
    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        if let Some(whole) = self.torn_from {
            // The next line must not be added to a torn one.
            self.file.set_len(whole)?;
            self.torn_from = None;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: &str = r#"{"at":"2026-11-22T12:00:00Z","what":"begun","plan":"p","hash":"h","by":"b","to":"t","direct":false,"resumed":false}"#;

    #[test]
    fn audit_is_recognised_with_a_torn_last_line() {
        let whole = BEGUN.len() + 1;
        for (torn, expected) in
            [("", whole), ("{", whole), ("{\"at\":\"2026", whole), ("\0\0", whole)]
        {
            let read = recognise(format!("{BEGUN}\n{torn}").as_bytes());
            assert_eq!(read.as_ref().map(|(whole, _)| *whole), Ok(expected), "{torn}");
            assert_eq!(read.map(|(_, history)| history.hash), Ok(Some("h".to_owned())));
        }
        for length in [0, 2, 7, 12, 28, 29, 40, 60, BEGUN.len()] {
            let torn = &BEGUN[..length];
            assert_eq!(recognise(torn.as_bytes()).map(|(whole, _)| whole), Ok(0), "{torn}");
        }
    }

    #[test]
    fn first_entry_is_written_with_these_parts() -> serde_json::Result<()> {
        let entry: AuditEntry = serde_json::from_str(BEGUN)?;
        assert_eq!(serde_json::to_string(&entry)?, BEGUN);
        Ok(())
    }

    #[test]
    fn foreign_file_is_not_recognised() {
        let wave = r#"{"at":"2026-11-22T12:00:00Z","what":"wave","size":1}"#;
        for foreign in [
            "a letter to somebody",
            "first line\nsecond line",
            "{\"id\":1}\n{\"id\":2}\n",
            "{\"at\":\"home\",\"what\":\"notes\"}",
            "{\"at\":\"2026\",\"what\":\"notes\"}",
            &format!("{wave}\n"),
            &format!("{BEGUN}\nnotes\n"),
        ] {
            assert!(recognise(foreign.as_bytes()).is_err(), "{foreign}");
        }
        assert!(recognise(b"\xff\xfe\n").is_err());
    }
}
