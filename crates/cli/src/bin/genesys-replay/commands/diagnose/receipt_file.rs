//! Receipts in a temporary file, which nobody else sees and which ends with the program.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};

use genesys_replay::message::MessageId;
use genesys_replay_cli::operator::diagnose::{Receipt, Receipts};

/// One line of JSON for each receipt: 100,000 are some 40 MB.
pub(super) struct ReceiptFile {
    file: File,
}

impl ReceiptFile {
    /// # Errors
    /// There is no room for temporary files.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
        })
    }
}

impl Receipts for ReceiptFile {
    fn put(&mut self, receipt: &Receipt) -> io::Result<()> {
        let mut line = serde_json::to_vec(&(receipt.message_id.as_str(), &receipt.handle))?;
        line.push(b'\n');
        self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(&line)
    }

    fn read(&mut self, place: u64, most: usize) -> io::Result<(Vec<Receipt>, u64)> {
        self.file.seek(SeekFrom::Start(place))?;
        let mut reader = BufReader::new(&self.file);
        let (mut receipts, mut next) = (Vec::new(), place);
        let mut line = Vec::new();
        while receipts.len() < most {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            next += length as u64;
            let (id, handle): (String, String) = serde_json::from_slice(&line)?;
            if let Some(message_id) = MessageId::new(id) {
                receipts.push(Receipt { message_id, handle });
            }
        }
        Ok((receipts, next))
    }
}
