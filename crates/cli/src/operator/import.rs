//! Imports failed events from other places into the replay queue.

mod cursor;
mod event;
mod lines;
mod prepare;
mod queue_message;
mod source;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::ReplayTarget;
use genesys_replay::failure::Category;
use genesys_replay::queue::{MAX_BATCH_ENTRIES, MessageSender, NewMessage, PutError};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Progress;
pub use cursor::{ImportCursor, NoCursor};
use event::FailedEvent;
pub use event::Unusable;
pub use lines::read_all;
use prepare::PreparedMessage;
pub use source::{ImportError, ImportItem, SourceEntry, archived, subscription};

/// The maximum number of refusals that are kept by name. All refusals are counted, and reported when they occur.
const MAX_NAMED_REFUSALS: usize = 100;

/// The delays before messages that the queue did not accept are sent again, after the client's own retries.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// The rules by which failed events become messages.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The ARN of the target that failed, in place of the target that the source names; `None` keeps that one.
    pub target_arn: Option<String>,
    /// The target of the function's deliveries.
    pub target: ReplayTarget,
    /// The maximum size of a message with its attributes, in bytes.
    pub max_message_bytes: usize,
    /// Only events that failed at this time or later, and events without a time.
    pub since: Option<Timestamp>,
}

/// An event that was not queued, and its place in the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedEvent {
    pub place: String,
    pub why: String,
}

/// The result of an import, so far if it ended early.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportSummary {
    /// The number of events in the source, as far as the source was read.
    pub found: u64,
    /// The number of events that can be queued, each counted once.
    #[serde(rename = "fit")]
    pub importable: u64,
    /// The number of queued events; 0 in a dry run.
    pub queued: u64,
    pub duplicates: u64,
    /// The number of events that an earlier import of this source put on the queue.
    pub imported_before: u64,
    /// The number of events that failed before the requested time.
    pub older: u64,
    /// The number of importable events without a time, if a time was requested.
    pub without_time: u64,
    /// The number of events that cannot be queued, or were not queued.
    pub refused: u64,
    /// The first refused events.
    pub refusals: Vec<RefusedEvent>,
    /// The number of importable events without a target. A function with `REPLAY_TARGET=original` archives them.
    pub without_target: u64,
    /// The number of importable events from an archive of ours. If the ledger has such an event as archived, the function does
    /// not replay it, because the message does not belong to a plan.
    pub from_archive: u64,
    /// The number of importable events of each category.
    #[serde(skip)]
    pub categories: BTreeMap<&'static str, (Category, u64)>,
    /// True if the import was stopped before its end.
    pub stopped: bool,
}

/// Returns the seed tutorials' word for a category's chance of success in another attempt.
pub const fn retryability(category: Category) -> &'static str {
    match category {
        Category::RateLimitExceeded | Category::EndpointUnreachable => "transient",
        Category::AuthenticationRejected | Category::TargetMissing | Category::PayloadMalformed => {
            "permanent"
        }
        Category::Unknown => "unknown",
    }
}

/// Reads all events of a source and puts them on the queue. Without a queue, only returns the counts.
///
/// The failed event's id identifies the event: another import does not make a second event of it while the ledger has its
/// item, and `cursor` leaves out the events that it has. So after an error, another import continues.
pub async fn import(
    mut source: impl Stream<Item = Result<SourceEntry, ImportError>> + Unpin,
    queue: Option<&impl MessageSender>,
    options: &ImportOptions,
    cursor: &mut dyn ImportCursor,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> (ImportSummary, Result<(), ImportError>) {
    let mut work = Importer {
        queue,
        options,
        cursor,
        progress,
        stop,
        seen: HashSet::new(),
        identities: HashMap::new(),
        batch: Vec::new(),
        imported: ImportSummary::default(),
    };
    progress.begin("importing", None);
    let ended = work.run(&mut source).await;
    progress.end();
    (work.imported, ended)
}

/// A message for the queue, with its place in the source and its id in the cursor.
struct Queueable {
    place: String,
    id: String,
    message: NewMessage,
}

struct Importer<'a, I> {
    queue: Option<&'a I>,
    options: &'a ImportOptions,
    cursor: &'a mut dyn ImportCursor,
    progress: &'a dyn Progress,
    stop: &'a CancellationToken,
    /// The ids in the cursor of the events so far.
    seen: HashSet<String>,
    /// The events so far: identity and content.
    identities: HashMap<String, String>,
    /// The messages of the next call.
    batch: Vec<Queueable>,
    imported: ImportSummary,
}

impl<I: MessageSender> Importer<'_, I> {
    async fn run(
        &mut self,
        source: &mut (impl Stream<Item = Result<SourceEntry, ImportError>> + Unpin),
    ) -> Result<(), ImportError> {
        let ended = loop {
            let found = tokio::select! {
                biased;
                () = self.stop.cancelled() => break Ok(()),
                found = source.try_next() => found,
            };
            match found {
                Ok(Some(found)) => self.take(found),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            if self.batch.len() == MAX_BATCH_ENTRIES {
                self.send().await?;
            }
        };
        self.imported.stopped = self.stop.is_cancelled();
        if !self.imported.stopped {
            self.send().await?;
        }
        ended
    }

    fn take(&mut self, found: SourceEntry) {
        self.imported.found += 1;
        self.progress.advance(1);
        let SourceEntry { place, item } = found;
        let (arn, target) = (self.options.target_arn.as_deref(), &self.options.target);
        let from_archive = matches!(item, ImportItem::Archived(_));
        let made = match item {
            ImportItem::Failed(text) => FailedEvent::read(&text)
                .and_then(|event| prepare::prepare(event, &text, arn, target)),
            ImportItem::Archived(document) => prepare::prepare_archived(&document, arn, target),
            ImportItem::Message(message) => prepare::prepare_message(*message, arn, target),
            ImportItem::Unusable(why) => Err(why),
        };
        match made {
            Ok(made) => self.take_prepared(made, place, from_archive),
            Err(why) => self.refuse(place, &why),
        }
    }

    fn take_prepared(&mut self, made: PreparedMessage, place: String, from_archive: bool) {
        let (bytes, max_bytes) = (made.message.size(), self.options.max_message_bytes);
        if bytes > max_bytes {
            return self.refuse(place, &Unusable::TooLong(bytes, max_bytes));
        }
        if self.is_older(made.at) {
            self.imported.older += 1;
            return;
        }
        let id = made.cursor_id();
        if !self.seen.insert(id.clone()) {
            self.imported.duplicates += 1;
            return;
        }
        let content = made.content();
        if self.cursor.has(&id) {
            self.imported.imported_before += 1;
            self.identities.entry(made.identity).or_insert(content);
            return;
        }
        match self.identities.get(&made.identity) {
            Some(known) if *known == content => {
                self.imported.duplicates += 1;
                return;
            }
            Some(_) => return self.refuse(place, &Unusable::OtherPayload),
            None => self.identities.insert(made.identity, content),
        };
        let is_undated = self.options.since.is_some() && made.at.is_none();
        self.imported.without_time += u64::from(is_undated);
        let (category, categories) = (made.category, &mut self.imported.categories);
        categories.entry(category.as_str()).or_insert((category, 0)).1 += 1;
        self.imported.importable += 1;
        self.imported.without_target += u64::from(!made.has_target);
        self.imported.from_archive += u64::from(from_archive);
        if self.queue.is_some() {
            self.batch.push(Queueable { place, id, message: made.message });
        }
    }

    fn is_older(&self, at: Option<Timestamp>) -> bool {
        at.zip(self.options.since).is_some_and(|(at, since)| at < since)
    }

    fn refuse(&mut self, place: String, why: &Unusable) {
        self.progress.warn(&format!("{place}: {why}"));
        self.imported.refused += 1;
        if self.imported.refusals.len() < MAX_NAMED_REFUSALS {
            let why = why.to_string();
            self.imported.refusals.push(RefusedEvent { place, why });
        }
    }

    /// Puts the batch on the queue, reads the result of each message, and retries messages that were not accepted.
    async fn send(&mut self) -> Result<(), ImportError> {
        let Some(queue) = self.queue else {
            return Ok(());
        };
        let mut batch = std::mem::take(&mut self.batch);
        let mut delays = RETRY_DELAYS.into_iter();
        while !batch.is_empty() {
            let messages: Vec<_> = batch.iter().map(|it| it.message.clone()).collect();
            let answers = queue.send_all(&messages).await?;
            let delay = delays.next().filter(|_| !self.stop.is_cancelled());
            let (mut again, mut queued) = (Vec::new(), Vec::new());
            for (entry, answer) in batch.into_iter().zip(answers) {
                match answer {
                    Ok(_) => queued.push(entry.id),
                    Err(PutError::Unavailable { .. } | PutError::Unanswered { .. })
                        if delay.is_some() =>
                    {
                        again.push(entry);
                    }
                    Err(error) => {
                        self.refuse(entry.place, &Unusable::NotQueued(error.to_string()));
                    }
                }
            }
            self.imported.queued += u64::try_from(queued.len()).unwrap_or(u64::MAX);
            self.cursor.advance(&queued).map_err(ImportError::Cursor)?;
            batch = again;
            if let Some(delay) = delay.filter(|_| !batch.is_empty()) {
                tokio::time::sleep(delay).await;
            }
        }
        Ok(())
    }
}
