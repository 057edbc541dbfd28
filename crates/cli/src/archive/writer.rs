//! Changes to the objects of an archive.

use std::collections::HashMap;
use std::future::Future;

use genesys_replay::aws::AwsError;

/// An object with all that a copy of it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredObject {
    pub content: Vec<u8>,
    /// Empty for an object that is not stored yet.
    pub etag: String,
    pub content_type: Option<String>,
    pub metadata: HashMap<String, String>,
}

impl StoredObject {
    /// Returns true if the other object has the same content and metadata. Etags of encrypted copies may differ.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        self.content == other.content && self.metadata == other.metadata
    }
}

/// Write access to one bucket.
pub trait ArchiveWriter: Send + Sync {
    /// Returns an object; `None` if it does not exist.
    ///
    /// # Errors
    /// [`AwsError`], also if the object is longer than `most` bytes.
    fn read(
        &self,
        key: &str,
        most: u64,
    ) -> impl Future<Output = Result<Option<StoredObject>, AwsError>> + Send;

    /// Stores an object unless its key is taken. Returns false if it is taken, perhaps by this object after a lost answer.
    fn put_new(
        &self,
        key: &str,
        object: &StoredObject,
    ) -> impl Future<Output = Result<bool, AwsError>> + Send;

    /// Deletes an object. A missing object is not an error.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), AwsError>> + Send;
}
