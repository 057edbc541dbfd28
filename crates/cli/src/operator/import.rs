//! Bringing failed events onto the replay queue that were kept elsewhere.

mod envelope;
mod event;
mod lines;
mod source;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::destination::ReplayTarget;
use genesys_replay::failure::Category;
use genesys_replay::message::MessageId;
use genesys_replay::queue::{MAX_BATCH_ENTRIES, MessageSender, NewMessage, PutError};
use tokio_util::sync::CancellationToken;

use super::Progress;
pub use envelope::Enveloped;
pub use event::{FailedEvent, Unusable};
pub use lines::read_all;
pub use source::{Archived, Found, Source, SourceError, Subscription, What};

/// So many of those that cannot be queued are kept by name; all are counted, and warned of when they are met.
const MAX_NAMED: usize = 100;

/// Waits before what the queue did not take is put again: after its own client's retries.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How failed events are made into messages.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Where they were going, where the source does not say.
    pub target_arn: Option<String>,
    /// Where the function delivers.
    pub target: ReplayTarget,
}

/// Something that was not queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it is in the source.
    pub place: String,
    /// Why.
    pub why: Unusable,
}

/// What came of an import.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// How many the source has, as far as it was read.
    pub found: u64,
    /// How many of them are fit for the queue, each event once.
    pub fit: u64,
    /// How many were put on the queue; none in a dry run.
    pub queued: u64,
    /// How many came a second time.
    pub duplicates: u64,
    /// How many cannot be queued, or were not.
    pub refused: u64,
    /// The first of those.
    pub refusals: Vec<Refusal>,
    /// How many of the fit ones name no target, so that a function with `REPLAY_TARGET=original` archives them.
    pub without_target: u64,
    /// How many of the fit ones come out of an archive of ours: where the ledger knows them as archived, the
    /// function leaves it at that, since no plan sends them.
    pub from_archive: u64,
    /// How many of the fit ones there are of each category.
    pub categories: BTreeMap<&'static str, (Category, u64)>,
    /// Whether it was stopped before the end.
    pub stopped: bool,
}

/// Why an import ended early, and what was done by then.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Halted {
    /// What was done.
    pub imported: Box<Imported>,
    /// Why.
    pub cause: Cause,
}

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The source cannot go on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The queue cannot be reached, or does not accept us; the messages of the last call may be on it.
    #[error(transparent)]
    Queue(#[from] AwsError),
}

/// The tutorials' word for what a category means for another try.
#[must_use]
pub const fn prospect(category: Category) -> &'static str {
    match category {
        Category::RateLimitExceeded | Category::EndpointUnreachable => "transient",
        Category::AuthenticationRejected | Category::TargetMissing | Category::PayloadMalformed => {
            "permanent"
        }
        Category::Unknown => "unknown",
    }
}

/// Reads all that a source has and puts it on the queue; without a queue, only says what it would put there.
///
/// An event is known by the failed event's id: importing it again makes no second event of it.
///
/// # Errors
/// What was done by then, and why it went no further. Importing again goes on.
pub async fn import(
    mut source: impl Source,
    queue: Option<&impl MessageSender>,
    terms: &Terms,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<Imported, Halted> {
    let mut work = Work {
        queue,
        terms,
        progress,
        stop,
        seen: HashSet::new(),
        batch: Vec::new(),
        imported: Imported::default(),
    };
    progress.begin("importing", None);
    let ended = work.run(&mut source).await;
    progress.end();
    let imported = work.imported;
    match ended {
        Ok(()) => Ok(imported),
        Err(cause) => Err(Halted {
            imported: Box::new(imported),
            cause,
        }),
    }
}

struct Work<'a, I> {
    queue: Option<&'a I>,
    terms: &'a Terms,
    progress: &'a dyn Progress,
    stop: &'a CancellationToken,
    seen: HashSet<String>,
    /// What the next call puts on the queue, and where it was found.
    batch: Vec<(String, NewMessage)>,
    imported: Imported,
}

impl<I: MessageSender> Work<'_, I> {
    async fn run(&mut self, source: &mut impl Source) -> Result<(), Cause> {
        let ended = loop {
            if self.stop.is_cancelled() {
                break Ok(());
            }
            let found = tokio::select! {
                found = source.next() => found,
                () = self.stop.cancelled() => break Ok(()),
            };
            match found {
                Ok(Some(found)) => self.take(found),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
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

    fn take(&mut self, found: Found) {
        self.imported.found += 1;
        self.progress.advance(1);
        let Found { place, what } = found;
        let (arn, target) = (self.terms.target_arn.as_deref(), &self.terms.target);
        let from_archive = matches!(what, What::Archived(_));
        let made = match what {
            What::Failed(text) => FailedEvent::read(&text)
                .and_then(|event| envelope::envelop(event, &text, arn, target)),
            What::Archived(document) => envelope::envelop_archived(&document, arn, target),
            What::Unusable(why) => Err(why),
        };
        match made {
            Ok(made) if !self.seen.insert(made.id.clone()) => self.imported.duplicates += 1,
            Ok(made) => {
                let category = made.category;
                let (_, count) = self
                    .imported
                    .categories
                    .entry(category.as_str())
                    .or_insert((category, 0));
                *count += 1;
                self.imported.fit += 1;
                self.imported.without_target += u64::from(!made.has_target);
                self.imported.from_archive += u64::from(from_archive);
                if self.queue.is_some() {
                    self.batch.push((place, made.message));
                }
            }
            Err(why) => self.refuse(place, why),
        }
    }

    fn refuse(&mut self, place: String, why: Unusable) {
        self.progress.warn(&format!("{place}: {why}"));
        self.imported.refused += 1;
        if self.imported.refusals.len() < MAX_NAMED {
            self.imported.refusals.push(Refusal { place, why });
        }
    }

    /// Puts the batch on the queue, reads what became of each message, and tries again what was not taken.
    async fn send(&mut self) -> Result<(), Cause> {
        let Some(queue) = self.queue else {
            return Ok(());
        };
        let mut left = std::mem::take(&mut self.batch);
        let mut waits = RETRY_DELAYS.into_iter();
        while !left.is_empty() {
            let messages: Vec<NewMessage> =
                left.iter().map(|(_, message)| message.clone()).collect();
            let answers = queue.send_all(&messages).await?;
            let again = self.read(left, answers);
            let wait = waits.next().filter(|_| !self.stop.is_cancelled());
            left = Vec::new();
            match wait {
                Some(wait) if !again.is_empty() => {
                    tokio::time::sleep(wait).await;
                    left = again
                        .into_iter()
                        .map(|(place, message, _)| (place, message))
                        .collect();
                }
                Some(_) | None => {
                    for (place, _, error) in again {
                        self.refuse(place, Unusable::NotQueued(error.to_string()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Counts what was taken and answers what may be taken another time.
    fn read(
        &mut self,
        batch: Vec<(String, NewMessage)>,
        answers: Vec<Result<MessageId, PutError>>,
    ) -> Vec<(String, NewMessage, PutError)> {
        let mut again = Vec::new();
        for ((place, message), answer) in batch.into_iter().zip(answers) {
            match answer {
                Ok(_) => self.imported.queued += 1,
                Err(PutError::TooLong { bytes }) => self.refuse(place, Unusable::TooLong(bytes)),
                Err(error @ PutError::Unavailable { .. }) => again.push((place, message, error)),
            }
        }
        again
    }
}
