//! The objects of an archive.

pub mod s3;

use std::future::Future;

use genesys_replay::aws::AwsError;

/// The longest object that is read, in bytes: a message of 1 MiB may take six as JSON.
pub const MAX_OBJECT_BYTES: u64 = 8 * 1024 * 1024;

/// An object that is kept in the archive, or beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedObject {
    /// Its key.
    pub key: String,
    /// Its length, in bytes.
    pub size: u64,
    /// What changes whenever its content does.
    pub etag: String,
}

/// Some of the objects of an archive.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The objects, by key in order.
    pub objects: Vec<ArchivedObject>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// What is kept in an archive. Reading changes nothing.
pub trait ArchiveReader: Send + Sync {
    /// The objects whose keys begin with `prefix`, from the page that `from` names.
    ///
    /// # Errors
    /// [`AwsError`].
    fn page(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> impl Future<Output = Result<Page, AwsError>> + Send;

    /// An object's content and its `ETag`; `None` when there is no such object.
    ///
    /// # Errors
    /// [`AwsError`]; also when it is longer than `most` bytes, of which nothing is read then.
    fn get(
        &self,
        key: &str,
        most: u64,
    ) -> impl Future<Output = Result<Option<(Vec<u8>, String)>, AwsError>> + Send;
}
