//! The sources of failed events.

use std::collections::{HashSet, VecDeque};

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::digest;
use genesys_replay::genesys::{Call, GenesysError, UnavailableCause};
use genesys_replay_genesys::GenesysClient;
use tokio_util::sync::CancellationToken;

use super::event::{FailedEvent, Unusable};
use crate::archive::{ArchiveReader, ArchivedObject, MAX_OBJECT_BYTES, objects};
use crate::genesys::failed_events::{self, PageStart};
use crate::operator::Progress;
use crate::operator::patience::patiently;

/// The maximum number of events on one page.
const MAX_PAGE_EVENTS: u32 = 100;

/// The number of consecutive pages without a new event that means an endless loop. While events fail, a page at an
/// offset may repeat events of the page before.
const MAX_STALE_PAGES: u32 = 5;

/// An entry of a source.
#[derive(Clone, Debug)]
pub struct Found {
    /// The place of the entry, for people: `line 7`, `s3://bucket/key`.
    pub place: String,
    pub what: What,
}

/// The content of an entry.
#[derive(Clone, Debug)]
pub enum What {
    Failed(String),
    /// A dead letter from an archive of ours.
    Archived(Box<Document>),
    Unusable(Unusable),
}

/// The reason why an import cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Genesys Cloud does not have the subscription, or not this API.
    #[error("Genesys Cloud has no failed events for this subscription")]
    NoSuchSubscription,
    /// The pages have no end: the endpoint ignores the offset or cursor.
    #[error(
        "the endpoint answers the same page again: {MAX_STALE_PAGES} in a row had no new event"
    )]
    GoesRound,
    #[error(transparent)]
    Genesys(#[from] GenesysError),
    /// After an error of the queue, the messages of the last call may be on the queue.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The name of the file, and the error.
    #[error("{0} cannot be read")]
    File(String, #[source] std::io::Error),
}

/// A source of failed events, one after the other.
#[expect(async_fn_in_trait, reason = "a source is used where it is made")]
pub trait Source {
    /// Returns the next entry; `None` at the end, or if the source was stopped during a wait.
    ///
    /// # Errors
    /// [`SourceError`] if the source cannot continue.
    async fn next(&mut self) -> Result<Option<Found>, SourceError>;
}

/// The failed events of a subscription.
pub struct Subscription<'a> {
    client: &'a GenesysClient,
    id: InteractionId,
    progress: &'a dyn Progress,
    stop: CancellationToken,
    page: VecDeque<String>,
    next: Option<PageStart>,
    limit: u32,
    read: u64,
    seen: HashSet<String>,
    stale_pages: u32,
}

impl<'a> Subscription<'a> {
    /// Returns the source for this subscription. It waits as long as Genesys Cloud requires, unless `stop` is
    /// cancelled.
    #[must_use]
    pub fn new(
        client: &'a GenesysClient,
        id: InteractionId,
        progress: &'a dyn Progress,
        stop: CancellationToken,
    ) -> Self {
        Self {
            client,
            id,
            progress,
            stop,
            page: VecDeque::new(),
            next: Some(PageStart::Offset(0)),
            limit: MAX_PAGE_EVENTS,
            read: 0,
            seen: HashSet::new(),
            stale_pages: 0,
        }
    }

    async fn turn_page(&mut self, start: PageStart) -> Result<(), SourceError> {
        let call = async || failed_events::page(self.client, &self.id, &start, self.limit).await;
        let page = match patiently(call, self.progress, &self.stop).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(()),
            Err(GenesysError::NotFound) => return Err(SourceError::NoSuchSubscription),
            // The answer may only exceed our size limit, so request smaller pages.
            Err(GenesysError::Unavailable {
                call: Call::FailedEvents,
                problem: UnavailableCause::Unreadable,
                ..
            }) if self.limit > 1 => {
                self.limit = (self.limit / 4).max(1);
                self.next = Some(start);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // A page that names itself as the next one would cause an endless loop.
        self.next = page.next.filter(|next| *next != start);
        self.page = page.events.into();
        self.stale_pages += 1;
        for text in &self.page {
            if self.seen.insert(known_by(text)) {
                self.stale_pages = 0;
            }
        }
        if self.stale_pages == MAX_STALE_PAGES && self.next.is_some() {
            return Err(SourceError::GoesRound);
        }
        Ok(())
    }
}

/// Returns the identity of a failed event: its id, or the digest of its text.
fn known_by(text: &str) -> String {
    let id = FailedEvent::read(text).ok().and_then(|event| event.id);
    id.unwrap_or_else(|| digest::hexadecimal(text))
}

impl Source for Subscription<'_> {
    async fn next(&mut self) -> Result<Option<Found>, SourceError> {
        loop {
            if let Some(text) = self.page.pop_front() {
                self.read += 1;
                return Ok(Some(Found {
                    place: format!("event {}", self.read),
                    what: What::Failed(text),
                }));
            }
            let Some(start) = self.next.take() else {
                return Ok(None);
            };
            self.turn_page(start).await?;
        }
    }
}

/// The objects below a prefix of a bucket: failed events as the seed tutorials archive them, and dead letters of ours.
pub struct Archived<'a, A> {
    archive: &'a A,
    bucket: String,
    objects: BoxStream<'a, Result<ArchivedObject, AwsError>>,
}

impl<'a, A: ArchiveReader> Archived<'a, A> {
    #[must_use]
    pub fn new(archive: &'a A, bucket: &str, prefix: &'a str) -> Self {
        Self {
            archive,
            bucket: bucket.to_owned(),
            objects: Box::pin(objects(archive, prefix)),
        }
    }

    async fn read(&self, object: &ArchivedObject) -> Result<What, SourceError> {
        let foreign = |why: &str| Ok(What::Unusable(Unusable::Foreign(why.to_owned())));
        if object.size > MAX_OBJECT_BYTES {
            return foreign("it is too long for a failed event");
        }
        let Some((content, _)) = self.archive.get(&object.key, MAX_OBJECT_BYTES).await? else {
            return foreign("it was deleted in the meantime");
        };
        if let Ok(document) = Document::read(&content) {
            return Ok(What::Archived(Box::new(document)));
        }
        // A prefix may contain any object, so require an id or a failure reason.
        let is_event = |event: FailedEvent| event.id.is_some() || event.failure_reason.is_some();
        match String::from_utf8(content) {
            Ok(text) if FailedEvent::read(&text).is_ok_and(is_event) => Ok(What::Failed(text)),
            Ok(_) | Err(_) => foreign("it is no failed event and no archived dead letter"),
        }
    }
}

impl<A: ArchiveReader> Source for Archived<'_, A> {
    async fn next(&mut self) -> Result<Option<Found>, SourceError> {
        let Some(object) = self.objects.try_next().await? else {
            return Ok(None);
        };
        // Replace control characters, because a key may contain any text and is printed on a terminal.
        let key = object.key.replace(char::is_control, "\u{fffd}");
        let place = format!("s3://{}/{key}", self.bucket);
        let what = self.read(&object).await?;
        Ok(Some(Found { place, what }))
    }
}
