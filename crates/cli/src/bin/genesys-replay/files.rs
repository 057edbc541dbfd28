//! Files that the command writes: completely or not at all, and readable by their owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use genesys_replay_cli::operator::apply::{AuditEntry, History, Journal};
use tempfile::NamedTempFile;

use crate::exit::UserError;

/// Creates a file that takes this name when it is complete. Only its owner can read it, because it may contain personal
/// data.
pub(crate) fn draft(path: &Path) -> anyhow::Result<NamedTempFile> {
    if path.is_dir() {
        Err(UserError::new(format!("{} is a folder", path.display()), "name a file"))?;
    }
    NamedTempFile::new_in(folder(path)).map_err(|error| {
        let what = format!("{} cannot be written: {error}", path.display());
        UserError::new(what, "name a file in a writable folder").into()
    })
}

/// Writes a file completely, or leaves an existing file unchanged.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    finish(draft(path)?, path, content)
}

/// Writes a draft and gives it its name.
pub(crate) fn finish(mut draft: NamedTempFile, path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let doing = || format!("writing {}", path.display());
    draft.write_all(content).with_context(doing)?;
    draft.as_file().sync_all().with_context(doing)?;
    draft.persist(path).with_context(doing)?;
    Ok(())
}

/// Returns the folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Reads a file that was named on the command line; `-` is stdin.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let content = if path == Path::new("-") {
        io::read_to_string(io::stdin().lock()).map(String::into_bytes)
    } else {
        // Reject a device, because it may have no end.
        std::fs::metadata(path).and_then(|about| {
            if about.is_file() || about.file_type().is_fifo() {
                std::fs::read(path)
            } else {
                Err(io::Error::other("not a regular file"))
            }
        })
    };
    content.map_err(|error| {
        UserError::new(
            format!("{} cannot be read: {error}", path.display()),
            "check the name of the file",
        )
        .into()
    })
}

/// Returns the path of a plan's audit, which is beside the plan.
pub(crate) fn audit_of(plan: &Path) -> PathBuf {
    plan.with_extension("audit.jsonl")
}

/// Returns true if the audit of a plan has an entry.
pub(crate) fn was_begun(plan: &Path) -> bool {
    std::fs::metadata(audit_of(plan)).is_ok_and(|audit| audit.len() > 0)
}

/// Removes an empty audit, so that a refused plan has no audit.
pub(crate) fn discard_empty_audit(plan: &Path) {
    if !was_begun(plan) {
        // The audit may not exist.
        let _ = std::fs::remove_file(audit_of(plan));
    }
}

/// A locked audit file, so that only this process writes it.
pub(crate) struct AuditFile {
    file: File,
}

impl AuditFile {
    /// Opens a plan's audit and reads the history of earlier runs.
    pub(crate) fn open(path: &Path) -> anyhow::Result<(Self, History)> {
        let doing = || format!("opening the audit file {}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .with_context(doing)?;
        file.try_lock().map_err(|_| {
            UserError::new(
                format!("{} is in use", path.display()),
                "another apply of this plan runs on this machine: wait for it, or stop it with Ctrl-C",
            )
        })?;
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes).with_context(doing)?;
        // Remove an incomplete last line, because the next line would be appended to it.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(whole);
        file.set_len(whole as u64).with_context(doing)?;
        let read = String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned());
        let read =
            read.and_then(|text| History::read(&text).map_err(|corrupt| corrupt.to_string()));
        let history = read.map_err(|why| {
            UserError::new(
                format!("{}: {why}", path.display()),
                "the audit file is damaged or was edited: move it away and make a new plan",
            )
        })?;
        Ok((Self { file }, history))
    }
}

impl Journal for AuditFile {
    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()
    }
}
