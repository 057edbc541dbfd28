//! `eventbridge_diagnostics.json`. The file appears when it is complete.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use genesys_replay::clock::Timestamp;
use genesys_replay_cli::operator::diagnose::MessageFinding;
use tempfile::NamedTempFile;

use crate::files;
use crate::files::Replaceable;

/// The width of the count in digits. The count is before the records, but only known after them.
const COUNT_DIGITS: usize = 20;

pub(super) struct JsonReport {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
    /// The offset of the count.
    count_at: u64,
    separator: &'static str,
}

impl JsonReport {
    pub(super) fn begin(path: &Path, generated_at: Timestamp) -> anyhow::Result<Self> {
        let mut file = BufWriter::new(files::draft(path, Replaceable::Records)?);
        let head = format!("{{\n\"generatedAt\": \"{generated_at}\",\n\"totalFailures\": ");
        write!(file, "{head}{:COUNT_DIGITS$},\n\"records\": [", 0)?;
        Ok(Self { file, path: path.to_owned(), count_at: head.len() as u64, separator: "\n" })
    }

    pub(super) fn put(&mut self, finding: &MessageFinding<'_>) -> io::Result<()> {
        self.file.write_all(self.separator.as_bytes())?;
        self.separator = ",\n";
        Ok(serde_json::to_writer(&mut self.file, finding)?)
    }

    /// Completes the file and gives it its name.
    pub(super) fn finish(mut self, total: u64) -> anyhow::Result<()> {
        self.file.write_all(b"\n]\n}\n")?;
        self.file.seek(SeekFrom::Start(self.count_at))?;
        // JSON ignores spaces before a number.
        write!(self.file, "{total:COUNT_DIGITS$}")?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        files::persist(file, &self.path, Replaceable::Records)
    }
}
