//! The writer of a shared audit.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use genesys_replay::clock::Clock;
use genesys_replay::digest;
use tokio::time::Instant;

use super::audit::AuditChain;
use super::part::LastPart;
use super::{MAX_PART_BYTES, part_key};
use crate::operator::apply::{AuditEntry, AuditEvent, AuditPart, FlushError, History, Journal};
use crate::plan_store::PlanStore;

/// The maximum time between two parts of a run, also without an entry, so that its lease does not end.
const MAX_SILENCE: Duration = Duration::from_mins(1);

/// The maximum time from the begin of the call that stores a part to the send that the part announces. After this time,
/// another part is stored first, because another process may have taken over.
const MAX_AHEAD: Duration = Duration::from_secs(15);

/// The maximum number of parts that are stored for one send.
const MAX_PARTS_AHEAD: usize = 3;

/// The operator, and the computer of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditWriter {
    pub by: String,
    pub host: Option<String>,
}

/// An audit that this process alone adds to, as long as no other process does.
pub struct SharedJournal<S> {
    store: S,
    plan: String,
    writer: AuditWriter,
    /// Identifies this process in its parts.
    run: String,
    clock: Arc<dyn Clock>,
    last: Option<LastPart>,
    /// The number of the first part of this process.
    begun: Option<u64>,
    history: History,
    /// The entries that are not stored.
    lines: String,
    /// True if one of these entries announces a send or a change.
    is_ahead: bool,
    written: Option<Instant>,
}

impl<S: PlanStore> SharedJournal<S> {
    /// Begins to write after the last part of an audit.
    pub fn after(
        chain: &AuditChain,
        store: S,
        plan: &str,
        writer: AuditWriter,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            plan: plan.to_owned(),
            writer,
            run: format!("{:016x}", RandomState::new().build_hasher().finish()),
            clock,
            last: chain.last.clone(),
            begun: None,
            history: chain.history.clone(),
            lines: String::new(),
            is_ahead: false,
            written: None,
        }
    }

    async fn store_lines(&mut self) -> Result<(), FlushError> {
        if self.lines.is_empty() && self.written.is_some_and(|at| at.elapsed() < MAX_SILENCE) {
            return Ok(());
        }
        let is_ahead = std::mem::take(&mut self.is_ahead);
        for _ in 0..MAX_PARTS_AHEAD {
            // Both clocks, because one stands still while the computer sleeps, and the other one may be set.
            let (instant, time) = (Instant::now(), self.clock.now());
            self.store_part().await?;
            let age = instant.elapsed().max(self.clock.now().since(time));
            if !is_ahead || age < MAX_AHEAD {
                return Ok(());
            }
        }
        Err(FlushError::TooSlow)
    }

    async fn store_part(&mut self) -> Result<(), FlushError> {
        let number = self.last.as_ref().map_or(0, |last| last.number) + 1;
        let begun = *self.begun.get_or_insert(number);
        let about = AuditPart {
            plan: self.plan.clone(),
            number,
            previous: self.last.as_ref().map(|last| last.digest.clone()),
            run: self.run.clone(),
            begun,
            by: self.writer.by.clone(),
            host: self.writer.host.clone(),
            settled: self.history.settled(),
        };
        let at = self.clock.now().to_string();
        let mut part = line(&AuditEntry { at, event: AuditEvent::Part(about) });
        part.push_str(&self.lines);
        let key = part_key(&self.plan, number);
        if !self.store.put_new(&key, part.clone().into_bytes()).await? {
            // Our own part, if the answer to an earlier attempt was lost.
            let stored = self.store.get(&key, MAX_PART_BYTES).await?.unwrap_or_default();
            if stored != part.as_bytes() {
                return Err(FlushError::Superseded { by: writer_of(&stored) });
            }
        }
        self.last = Some(LastPart { number, digest: digest::hexadecimal(&part) });
        self.lines.clear();
        self.written = Some(Instant::now());
        Ok(())
    }
}

/// Returns the writer of a part.
fn writer_of(part: &[u8]) -> String {
    let text = String::from_utf8_lossy(part);
    let first = text.lines().next().and_then(|line| serde_json::from_str::<AuditEntry>(line).ok());
    match first.map(|entry| entry.event) {
        Some(AuditEvent::Part(about)) => about.by,
        Some(_) | None => "another operator".to_owned(),
    }
}

fn line(entry: &AuditEntry) -> String {
    // All members of an entry can be written.
    serde_json::to_string(entry).map_or_else(|_| String::new(), |line| line + "\n")
}

impl<S: PlanStore> Journal for SharedJournal<S> {
    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        self.is_ahead |=
            matches!(entry.event, AuditEvent::Sending { .. } | AuditEvent::StepBegun { .. });
        self.history.add(entry.event.clone());
        self.lines.push_str(&line(entry));
        Ok(())
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), FlushError>> {
        self.store_lines().boxed()
    }
}
