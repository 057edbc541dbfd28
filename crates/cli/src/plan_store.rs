//! The shared plans in a bucket, with their audits.

pub mod s3;

use std::future::Future;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;

/// The folder of shared plans, beside the archive in the same bucket.
pub const PLANS: &str = "plans/";

/// An object of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// The time at which the object was written, by the store's clock.
    pub written_at: Timestamp,
}

/// The objects below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreListing {
    /// Ordered by key.
    pub objects: Vec<ListedObject>,
    /// The time of the listing, by the store's clock.
    pub now: Timestamp,
}

/// A store of objects that never change. Its clock, not that of this computer, gives the times of objects.
pub trait PlanStore: Send + Sync {
    /// Returns all objects whose keys begin with `prefix`.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<StoreListing, AwsError>> + Send;

    /// Returns the content of an object; `None` if it does not exist.
    ///
    /// # Errors
    /// [`AwsError`], also if the object is longer than `most` bytes.
    fn get(
        &self,
        key: &str,
        most: u64,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, AwsError>> + Send;

    /// Stores an object unless its key is taken. Returns false if it is taken, perhaps by this object after a lost answer.
    fn put_new(
        &self,
        key: &str,
        content: Vec<u8>,
    ) -> impl Future<Output = Result<bool, AwsError>> + Send;

    /// Returns the address of an object, for people.
    fn address(&self, key: &str) -> String;
}
