//! The audit of events that are closed at the same time.

use std::io;

use tokio::sync::Mutex;

use crate::operator::apply::{ApplyError, AuditEntry, FlushError, Journal};

/// A journal with one writer at a time.
pub struct AuditLog<'a>(Mutex<LogWriter<'a>>);

struct LogWriter<'a> {
    journal: &'a mut dyn Journal,
    /// The first failure. The audit may end in an incomplete line, which no line may follow.
    failure: Option<LogFailure>,
}

#[derive(Clone)]
enum LogFailure {
    Write,
    Flush(FlushError),
}

impl<'a> AuditLog<'a> {
    pub fn new(journal: &'a mut dyn Journal) -> Self {
        Self(Mutex::new(LogWriter { journal, failure: None }))
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// [`ApplyError`]: nothing more may be done, and every later write fails too.
    pub(super) async fn write(&self, entry: &AuditEntry) -> Result<(), ApplyError> {
        let mut writer = self.0.lock().await;
        writer.check()?;
        let written = writer.journal.write(entry);
        if written.is_err() {
            writer.failure = Some(LogFailure::Write);
        }
        Ok(written?)
    }

    /// Stores the written entries, also those of other events.
    ///
    /// # Errors
    /// [`ApplyError`]: nothing more may be done, and every later write fails too.
    pub(super) async fn flush(&self) -> Result<(), ApplyError> {
        let mut writer = self.0.lock().await;
        writer.check()?;
        let flushed = writer.journal.flush().await;
        if let Err(error) = &flushed {
            writer.failure = Some(LogFailure::Flush(error.clone()));
        }
        Ok(flushed?)
    }
}

impl LogWriter<'_> {
    /// Fails after an earlier failure.
    fn check(&self) -> Result<(), ApplyError> {
        match &self.failure {
            None => Ok(()),
            Some(LogFailure::Write) => {
                Err(io::Error::other("an earlier entry was not written").into())
            }
            Some(LogFailure::Flush(error)) => Err(error.clone().into()),
        }
    }
}
