//! The objects of an archive.

pub mod s3;
mod writer;

use std::future::Future;

use futures_util::Stream;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;

use crate::pages::entries;
use crate::plan_store::PLANS;
pub use writer::{ArchiveWriter, StoredObject};

/// The maximum size of an object that is read, in bytes. A message of 1 MiB may take 6 MiB as JSON.
pub const MAX_OBJECT_BYTES: u64 = 8 * 1024 * 1024;

/// An object in the archive, or beside the archive in the same bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedObject {
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// Changes with the content.
    pub etag: String,
}

impl ArchivedObject {
    /// Returns true if the key shows that the event was first seen before `since`. The object need not be read then.
    pub(crate) fn is_older(&self, since: Timestamp) -> bool {
        let name = self.key.strip_suffix(".json").unwrap_or_default();
        let seen = name.rsplit('-').next().unwrap_or_default();
        let since = since.compact();
        seen.len() == since.len() && seen.ends_with('Z') && *seen < *since
    }
}

/// One page of an archive's listing.
#[derive(Clone, Debug, Default)]
pub struct ObjectPage {
    /// Ordered by key.
    pub objects: Vec<ArchivedObject>,
    /// The start of the next page; `None` after the last page.
    pub next: Option<String>,
}

/// Read access to an archive. No call changes anything.
pub trait ArchiveReader: Send + Sync {
    /// Returns the objects whose keys begin with `prefix`. `from` is the start of the page, and `None` the first page.
    fn page(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> impl Future<Output = Result<ObjectPage, AwsError>> + Send;

    /// Returns an object's content and its `ETag`; `None` if the object does not exist.
    ///
    /// # Errors
    /// [`AwsError`], also if the object is longer than `most` bytes; its content is not read then.
    fn get(
        &self,
        key: &str,
        most: u64,
    ) -> impl Future<Output = Result<Option<(Vec<u8>, String)>, AwsError>> + Send;
}

/// The folder of discarded events, beside the archive in the same bucket.
pub const DISCARDED: &str = "discarded/";

/// Streams all objects whose keys begin with `prefix`, ordered by key. The stream ends after an error. The prefix of an
/// archive may contain the folders of discarded events and of shared plans, which are not in the archive.
pub(crate) fn objects<'a>(
    archive: &'a impl ArchiveReader,
    prefix: &'a str,
) -> impl Stream<Item = Result<ArchivedObject, AwsError>> + Unpin {
    entries(move |from: Option<String>| async move {
        let mut page = archive.page(prefix, from.as_deref()).await?;
        let is_inside = prefix.starts_with(DISCARDED);
        page.objects.retain(|object| {
            is_inside || ![DISCARDED, PLANS].iter().any(|folder| object.key.starts_with(folder))
        });
        Ok((page.objects, page.next))
    })
}
