//! The sources of failed events.

use std::collections::HashSet;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::digest;
use genesys_replay::genesys::{Call, GenesysError, UnavailableCause};
use genesys_replay::message::Message;
use genesys_replay_genesys::GenesysClient;
use tokio_util::sync::CancellationToken;

use super::event::{FailedEvent, Unusable};
use crate::archive::{ArchiveReader, ArchivedObject, MAX_OBJECT_BYTES, objects};
use crate::genesys::failed_events::{self, PageStart};
use crate::operator::Progress;
use crate::operator::retry::retry_rate_limited;

/// The maximum number of events on one page.
const MAX_PAGE_EVENTS: u32 = 100;

/// The number of consecutive pages without a new event that means an endless loop. While events fail, a page at an
/// offset may repeat events of the page before.
const MAX_STALE_PAGES: u32 = 5;

/// An entry of a source.
#[derive(Clone, Debug)]
pub struct SourceEntry {
    /// The place of the entry, for people: `line 7`, `s3://bucket/key`.
    pub place: String,
    pub item: ImportItem,
}

/// The content of an entry.
#[derive(Clone, Debug)]
pub enum ImportItem {
    Failed(String),
    /// A dead letter from an archive of ours.
    Archived(Box<Document>),
    /// A message of a queue.
    Message(Box<Message>),
    Unusable(Unusable),
}

/// The reason why an import cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Genesys Cloud does not have the subscription, or not this API.
    #[error("Genesys Cloud has no failed events for this subscription")]
    NoSuchSubscription,
    /// The pages have no end: the endpoint ignores the offset or cursor.
    #[error(
        "the endpoint returns the same page repeatedly: {MAX_STALE_PAGES} pages in a row had no new event"
    )]
    EndlessPages,
    /// The pages have no end within the limit.
    #[error("the subscription has more than {0} pages of failed events")]
    TooManyPages(u32),
    #[error(transparent)]
    Genesys(#[from] GenesysError),
    /// After an error of the queue, the messages of the last call may be on the queue.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The queued events are not in the cursor.
    #[error("the cursor of the source cannot be written")]
    Cursor(#[source] std::io::Error),
    /// The name of the file, and the error.
    #[error("{0} cannot be read")]
    File(String, #[source] std::io::Error),
}

/// The pages of a subscription's failed events.
struct SubscriptionPages<'a> {
    client: &'a GenesysClient,
    id: InteractionId,
    progress: &'a dyn Progress,
    stop: CancellationToken,
    next: Option<PageStart>,
    limit: u32,
    /// The number of pages that may still be read, and their maximum.
    pages_left: u32,
    max_pages: u32,
    seen: HashSet<String>,
    /// The number of consecutive pages without a new event.
    stale: u32,
}

/// Streams the failed events of a subscription, at most `max_pages` pages of 100 events. Waits as long as Genesys Cloud
/// requires, unless `stop` is cancelled, which ends the stream.
pub fn subscription<'a>(
    client: &'a GenesysClient,
    id: InteractionId,
    max_pages: u32,
    progress: &'a dyn Progress,
    stop: CancellationToken,
) -> impl Stream<Item = Result<SourceEntry, ImportError>> + Unpin {
    let pages = SubscriptionPages {
        client,
        id,
        progress,
        stop,
        next: Some(PageStart::Offset(0)),
        limit: MAX_PAGE_EVENTS,
        pages_left: max_pages,
        max_pages,
        seen: HashSet::new(),
        stale: 0,
    };
    let pages = stream::try_unfold(pages, async |mut pages: SubscriptionPages<'_>| {
        let events = pages.turn().await?;
        Ok::<_, ImportError>(events.map(|events| (events, pages)))
    });
    let events = pages.map_ok(|events| stream::iter(events).map(Ok)).try_flatten();
    let found = events.enumerate().map(|(index, text)| {
        let place = format!("event {}", index + 1);
        text.map(|text| SourceEntry { place, item: ImportItem::Failed(text) })
    });
    Box::pin(found)
}

impl SubscriptionPages<'_> {
    /// Returns the events of the next page; `None` after the last page, or if the wait for a page was stopped.
    async fn turn(&mut self) -> Result<Option<Vec<String>>, ImportError> {
        let Some(start) = self.next.take() else {
            return Ok(None);
        };
        let Some(pages_left) = self.pages_left.checked_sub(1) else {
            return Err(ImportError::TooManyPages(self.max_pages));
        };
        self.pages_left = pages_left;
        let page = loop {
            let call =
                async || failed_events::page(self.client, &self.id, &start, self.limit).await;
            match retry_rate_limited(call, self.progress, &self.stop).await {
                Ok(Some(page)) => break page,
                Ok(None) => return Ok(None),
                Err(GenesysError::NotFound) => return Err(ImportError::NoSuchSubscription),
                // The answer may only exceed our size limit, so request smaller pages.
                Err(GenesysError::Unavailable {
                    call: Call::FailedEvents,
                    problem: UnavailableCause::Unreadable,
                    ..
                }) if self.limit > 1 => self.limit = (self.limit / 4).max(1),
                Err(error) => return Err(error.into()),
            }
        };
        // A page that names itself as the next one would cause an endless loop.
        self.next = page.next.filter(|next| *next != start);
        self.stale += 1;
        for text in &page.events {
            if self.seen.insert(known_by(text)) {
                self.stale = 0;
            }
        }
        if self.stale == MAX_STALE_PAGES && self.next.is_some() {
            return Err(ImportError::EndlessPages);
        }
        Ok(Some(page.events))
    }
}

/// Returns the identity of a failed event: its id, or the digest of its text.
fn known_by(text: &str) -> String {
    let id = FailedEvent::read(text).ok().and_then(|event| event.id);
    id.unwrap_or_else(|| digest::hexadecimal(text))
}

/// Streams the objects below a prefix of a bucket: failed events as the seed tutorials archive them, and dead letters of
/// ours.
pub fn archived<'a>(
    archive: &'a impl ArchiveReader,
    bucket: &'a str,
    prefix: &'a str,
) -> impl Stream<Item = Result<SourceEntry, ImportError>> + Unpin {
    let objects = objects(archive, prefix).map_err(ImportError::from);
    Box::pin(objects.and_then(move |object| async move {
        // Replace control characters, because a key may contain any text and is printed on a terminal.
        let key = object.key.replace(char::is_control, "\u{fffd}");
        let place = format!("s3://{bucket}/{key}");
        let item = read(archive, &object).await?;
        Ok(SourceEntry { place, item })
    }))
}

async fn read(
    archive: &impl ArchiveReader,
    object: &ArchivedObject,
) -> Result<ImportItem, AwsError> {
    let foreign = |why: &str| Ok(ImportItem::Unusable(Unusable::UnknownFormat(why.to_owned())));
    if object.size > MAX_OBJECT_BYTES {
        return foreign("too long for a failed event");
    }
    let Some((content, _)) = archive.get(&object.key, MAX_OBJECT_BYTES).await? else {
        return foreign("the object was deleted meanwhile");
    };
    if let Ok(document) = Document::read(&content) {
        return Ok(ImportItem::Archived(Box::new(document)));
    }
    // A prefix may contain any object, so require an id or a failure reason.
    let is_event = |event: FailedEvent| event.id.is_some() || event.failure_reason.is_some();
    match String::from_utf8(content) {
        Ok(text) if FailedEvent::read(&text).is_ok_and(is_event) => Ok(ImportItem::Failed(text)),
        Ok(_) | Err(_) => foreign("neither a failed event nor an archived dead letter"),
    }
}
