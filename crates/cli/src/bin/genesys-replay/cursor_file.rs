//! The cursor of an import's source, in a file: one line per event that is on the queue.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy as _, choose_base_strategy};
use genesys_replay::digest;
use genesys_replay_cli::operator::import::ImportCursor;

use crate::exit::UserError;

/// The first part of the file. The source follows, for people.
const HEAD: &str = "genesys-replay import cursor 1: ";

/// The length of an event's line without its end: 16 digits of the SHA-256 of its id.
const LINE_BYTES: usize = 16;

/// The events of one source that were put on one queue.
pub(crate) struct CursorFile {
    path: PathBuf,
    /// The source and the queue.
    source: String,
    known: HashSet<u64>,
    /// False if known events are imported again.
    is_consulted: bool,
    file: Option<File>,
}

impl CursorFile {
    /// Returns the folder of all cursors; `None` if this user has no home folder.
    pub(crate) fn default_folder() -> Option<PathBuf> {
        let state = choose_base_strategy().ok()?.state_dir()?;
        Some(state.join("genesys-replay/imports"))
    }

    /// Reads the cursor of a source; a missing file is an empty cursor. Nothing is written before [`open`](Self::open).
    pub(crate) fn read(
        folder: &Path,
        source: String,
        is_consulted: bool,
    ) -> Result<Self, UserError> {
        let path = folder.join(format!("{}.cursor", digest::short(&source)));
        let known = match File::open(&path) {
            Ok(file) => known(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashSet::new()),
            Err(error) => Err(error),
        };
        let known = known.map_err(|error| {
            let what = format!("the cursor {} cannot be read: {error}", path.display());
            UserError::new(what, "repair or remove this file, or name another folder: --cursor-dir")
        })?;
        Ok(Self { path, source, known, is_consulted, file: None })
    }

    #[cfg(test)]
    fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file for the events of an import, and creates it if it is missing.
    pub(crate) fn open(mut self) -> Result<Self, UserError> {
        let file = self.opened().map_err(|error| {
            let what = format!("the cursor {} cannot be written: {error}", self.path.display());
            UserError::new(what, "name a writable folder: --cursor-dir")
        })?;
        self.file = Some(file);
        Ok(self)
    }

    fn opened(&self) -> io::Result<File> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(&self.path)?;
        if file.metadata()?.len() == 0 {
            writeln!(file, "{HEAD}{}", self.source.replace(char::is_control, "?"))?;
            return Ok(file);
        }
        // The last line may be cut off.
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(file)
    }
}

impl ImportCursor for CursorFile {
    fn has(&self, id: &str) -> bool {
        self.is_consulted && number(&digest::short(id)).is_some_and(|it| self.known.contains(&it))
    }

    fn advance(&mut self, ids: &[String]) -> io::Result<()> {
        let mut lines = String::new();
        for id in ids {
            let line = digest::short(id);
            if number(&line).is_some_and(|number| self.known.insert(number)) {
                lines.push_str(&line);
                lines.push('\n');
            }
        }
        match &mut self.file {
            Some(file) => file.write_all(lines.as_bytes()),
            None => Ok(()),
        }
    }
}

/// Reads the events of a cursor. A line that was cut off when the program ended is ignored.
fn known(mut file: impl BufRead) -> io::Result<HashSet<u64>> {
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        file.by_ref().take(4_096).read_until(b'\n', line)
    };
    next(&mut line)?;
    if !line.is_empty() && !line.starts_with(HEAD.as_bytes()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a cursor of an import"));
    }
    let mut known = HashSet::new();
    while next(&mut line)? > 0 {
        let text = std::str::from_utf8(line.trim_ascii()).unwrap_or_default();
        known.extend(number(text));
    }
    Ok(known)
}

fn number(line: &str) -> Option<u64> {
    (line.len() == LINE_BYTES).then(|| u64::from_str_radix(line, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_has_the_events_of_earlier_imports_of_its_source() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path().join("deep/er");
        let read = |source: &str, is_consulted| {
            CursorFile::read(&folder, source.to_owned(), is_consulted).map_err(anyhow::Error::from)
        };
        let mut cursor = read("file a", true)?.open()?;
        assert!(!cursor.has("e-1"));
        cursor.advance(&["e-1".to_owned(), "e-2".to_owned()])?;
        cursor.advance(&["e-2".to_owned()])?;
        assert!(cursor.has("e-1"));
        let mut again = read("file a", true)?.open()?;
        assert!(again.has("e-1") && again.has("e-2") && !again.has("e-3"));
        again.advance(&["e-3".to_owned()])?;
        assert!(read("file a", true)?.has("e-3"));
        assert!(!read("file b", true)?.has("e-1"), "another source");
        assert!(!read("file a", false)?.has("e-1"), "imported again on request");
        Ok(())
    }

    #[test]
    fn cursor_ignores_a_cut_off_line_and_refuses_another_file() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut cursor = CursorFile::read(folder.path(), "s".to_owned(), true)?.open()?;
        cursor.advance(&["e-1".to_owned()])?;
        let path = cursor.path().to_owned();
        let mut file = OpenOptions::new().append(true).open(&path)?;
        file.write_all(b"0123")?;
        let mut again = CursorFile::read(folder.path(), "s".to_owned(), true)?.open()?;
        again.advance(&["e-2".to_owned()])?;
        let again = CursorFile::read(folder.path(), "s".to_owned(), true)?;
        assert!(again.has("e-1") && again.has("e-2"));
        std::fs::write(&path, "[]")?;
        assert!(CursorFile::read(folder.path(), "s".to_owned(), true).is_err());
        Ok(())
    }
}
