//! `eventbridge_diagnostics.json`: written as the findings come, seen when it is whole.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use genesys_replay::clock::Timestamp;
use genesys_replay_cli::operator::diagnose::Finding;
use tempfile::NamedTempFile;

use crate::files;

/// As many places as the largest count has digits: it stands before the records, and is known after them.
const DIGITS: usize = 20;

pub(super) struct JsonReport {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
    /// Where the count stands.
    place: u64,
    is_first: bool,
}

impl JsonReport {
    /// # Errors
    /// There can be no such file.
    pub(super) fn begin(path: &Path, generated_at: Timestamp) -> anyhow::Result<Self> {
        let mut file = BufWriter::new(files::draft(path)?);
        let head = format!("{{\n\"generatedAt\": \"{generated_at}\",\n\"totalFailures\": ");
        file.write_all(head.as_bytes())?;
        write!(file, "{:DIGITS$},\n\"records\": [", 0)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            place: head.len() as u64,
            is_first: true,
        })
    }

    pub(super) fn put(&mut self, finding: &Finding<'_>) -> io::Result<()> {
        let separator: &[u8] = if self.is_first { b"\n" } else { b",\n" };
        self.is_first = false;
        self.file.write_all(separator)?;
        Ok(serde_json::to_writer(&mut self.file, finding)?)
    }

    /// Gives the file its name.
    pub(super) fn finish(mut self, total: u64) -> anyhow::Result<()> {
        self.file.write_all(b"\n]\n}\n")?;
        self.file.seek(SeekFrom::Start(self.place))?;
        // Spaces before a number are nothing to JSON.
        write!(self.file, "{total:DIGITS$}")?;
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.persist(&self.path)?;
        Ok(())
    }
}
