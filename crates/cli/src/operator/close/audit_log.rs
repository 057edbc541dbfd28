//! The audit that several concurrent steps write.

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::operator::apply::{AuditEntry, Journal};

/// A journal with one writer at a time.
pub struct AuditLog<'a>(Mutex<LogWriter<'a>>);

struct LogWriter<'a> {
    journal: &'a mut dyn Journal,
    /// True after a failure: the audit may end in an incomplete line, which no line may follow.
    has_failed: bool,
}

impl<'a> AuditLog<'a> {
    pub fn new(journal: &'a mut dyn Journal) -> Self {
        Self(Mutex::new(LogWriter { journal, has_failed: false }))
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// [`io::Error`]: nothing more may be done, and every later write fails too.
    pub(super) fn write(&self, entry: &AuditEntry) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.has_failed {
            return Err(io::Error::other("an earlier entry was not written"));
        }
        let written = writer.journal.write(entry);
        writer.has_failed = written.is_err();
        written
    }
}
