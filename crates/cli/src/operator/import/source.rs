//! Where failed events come from.

use std::collections::{HashSet, VecDeque};

use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::digest;
use genesys_replay::genesys::{Call, GenesysError, UnavailableCause};
use tokio_util::sync::CancellationToken;

use super::event::{FailedEvent, Unusable};
use crate::archive::{ArchiveReader, ArchivedObject, Page};
use crate::genesys::{FailedEvents, PageStart};
use crate::operator::Progress;
use crate::operator::patience::patiently;

/// The longest object that is read, in bytes: no message is made of more, even if every byte of it is escaped.
const MAX_OBJECT_BYTES: u64 = 8 * 1024 * 1024;

/// The most events of one page.
const MAX_PAGE_EVENTS: u32 = 100;

/// So many pages in a row without one new event, and they go round. While events fail, a page that begins at a number
/// may show what the one before it showed.
const MAX_STALE_PAGES: u32 = 5;

/// Something that a source has in its place.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it is, for people: `line 7`, `s3://bucket/key`.
    pub place: String,
    /// What it is.
    pub what: What,
}

/// What was found.
#[derive(Clone, Debug)]
pub enum What {
    /// The text of a failed event.
    Failed(String),
    /// A dead letter out of an archive of ours.
    Archived(Box<Document>),
    /// Something that cannot be used.
    Unusable(Unusable),
}

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Genesys Cloud does not know the subscription, or has no such API.
    #[error("Genesys Cloud has no failed events for this subscription")]
    NoSuchSubscription,
    /// Its pages have no end: the endpoint does not know the offset or cursor that it is asked for.
    #[error(
        "the endpoint answers the same page again: {MAX_STALE_PAGES} in a row had no new event"
    )]
    GoesRound,
    /// A call of Genesys Cloud failed.
    #[error(transparent)]
    Genesys(#[from] GenesysError),
    /// A call of AWS failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A file cannot be read.
    #[error("{0} cannot be read")]
    File(String, #[source] std::io::Error),
}

/// Failed events, one after the other.
#[expect(async_fn_in_trait, reason = "a source is used where it is made")]
pub trait Source {
    /// The next one; `None` when there are no more, or when it was stopped while it waited.
    ///
    /// # Errors
    /// The source cannot go on.
    async fn next(&mut self) -> Result<Option<Found>, SourceError>;
}

/// The failed events of a subscription.
pub struct Subscription<'a, F> {
    genesys: &'a F,
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

impl<'a, F: FailedEvents> Subscription<'a, F> {
    /// Reads this subscription's, waiting as long as Genesys Cloud asks to unless it is stopped.
    #[must_use]
    pub fn new(
        genesys: &'a F,
        id: InteractionId,
        progress: &'a dyn Progress,
        stop: CancellationToken,
    ) -> Self {
        Self {
            genesys,
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
        let call = async || self.genesys.page(&self.id, &start, self.limit).await;
        let page = match patiently(call, self.progress, &self.stop).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(()),
            Err(GenesysError::NotFound) => return Err(SourceError::NoSuchSubscription),
            // Perhaps it is only longer than what is read of an answer: long events come in smaller pages.
            Err(GenesysError::Unavailable {
                call: Call::FailedEvents,
                problem: UnavailableCause::Unreadable,
                ..
            }) if self.limit > 1 => {
                self.limit /= 4;
                self.limit = self.limit.max(1);
                self.next = Some(start);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // One that leads back to where it began would go round for ever.
        self.next = page.next.filter(|next| *next != start);
        self.page = page.events.into();
        let mut has_new = false;
        for text in &self.page {
            has_new |= self.seen.insert(known_by(text));
        }
        self.stale_pages = if has_new { 0 } else { self.stale_pages + 1 };
        if self.stale_pages == MAX_STALE_PAGES && self.next.is_some() {
            return Err(SourceError::GoesRound);
        }
        Ok(())
    }
}

/// What a failed event is known by: its id, or all that it says.
fn known_by(text: &str) -> String {
    let id = FailedEvent::read(text).ok().and_then(|event| event.id);
    id.unwrap_or_else(|| digest::hexadecimal(text))
}

impl<F: FailedEvents> Source for Subscription<'_, F> {
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

/// What is kept below a prefix of a bucket: failed events as the tutorials archive them, and dead letters of ours.
pub struct Archived<'a, A> {
    archive: &'a A,
    bucket: String,
    prefix: String,
    page: VecDeque<ArchivedObject>,
    next: NextPage,
}

/// Where a listing goes on.
enum NextPage {
    First,
    At(String),
    None,
}

impl<'a, A: ArchiveReader> Archived<'a, A> {
    /// Reads what is below `prefix` in the bucket of this name.
    #[must_use]
    pub fn new(archive: &'a A, bucket: &str, prefix: &str) -> Self {
        Self {
            archive,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            page: VecDeque::new(),
            next: NextPage::First,
        }
    }

    async fn read(&self, object: &ArchivedObject) -> Result<What, SourceError> {
        let foreign = |why: &str| What::Unusable(Unusable::Foreign(why.to_owned()));
        if object.size > MAX_OBJECT_BYTES {
            return Ok(foreign("it is too long for a failed event"));
        }
        let Some((content, _)) = self.archive.get(&object.key, MAX_OBJECT_BYTES).await? else {
            return Ok(foreign("it was deleted in the meantime"));
        };
        Ok(Self::recognise(content))
    }

    fn recognise(content: Vec<u8>) -> What {
        if let Ok(document) = Document::read(&content) {
            return What::Archived(Box::new(document));
        }
        let foreign =
            || Unusable::Foreign("it is no failed event and no archived dead letter".to_owned());
        let Ok(text) = String::from_utf8(content) else {
            return What::Unusable(foreign());
        };
        // Anything can be below a prefix: it has to say that it is one.
        match FailedEvent::read(&text) {
            Ok(event) if event.id.is_some() || event.failure_reason.is_some() => What::Failed(text),
            Ok(_) | Err(_) => What::Unusable(foreign()),
        }
    }
}

impl<A: ArchiveReader> Source for Archived<'_, A> {
    async fn next(&mut self) -> Result<Option<Found>, SourceError> {
        loop {
            if let Some(object) = self.page.pop_front() {
                // A key is whatever somebody has put into the bucket, and ends on a terminal.
                let key = object.key.replace(char::is_control, "\u{fffd}");
                let place = format!("s3://{}/{key}", self.bucket);
                let what = self.read(&object).await?;
                return Ok(Some(Found { place, what }));
            }
            let from = match &self.next {
                NextPage::First => None,
                NextPage::At(from) => Some(from.as_str()),
                NextPage::None => return Ok(None),
            };
            let Page { objects, next } = self.archive.page(&self.prefix, from).await?;
            self.page = objects.into();
            self.next = next.map_or(NextPage::None, NextPage::At);
        }
    }
}
