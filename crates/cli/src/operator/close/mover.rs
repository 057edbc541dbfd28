//! The port that moves stored dead letters.

use std::collections::VecDeque;
use std::future::Future;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;

use crate::operator::plan::PlanItem;
use crate::operator::queue_reading::QueueReadError;

/// The facts about a dead letter that only its original contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// The key of the copy.
    pub copy: String,
    pub message_id: String,
    pub first_seen: Timestamp,
}

/// The result of copying a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The copy is stored and equals the original.
    Verified(Original),
    /// The original does not exist.
    Gone {
        /// True if the copy may exist.
        has_copy: bool,
    },
    /// Nothing was copied, for this reason.
    Refused(String),
}

/// Moves dead letters, in separate steps. Each step may be repeated, and the steps of several dead letters may run
/// concurrently.
pub trait Mover: Send {
    /// The part of a dead letter that was read when it was chosen.
    type Fetched: Send;

    /// Removes at most `most` of the items in `todo` and returns them; the mover chooses which. Returns an empty list only
    /// without an item, or after an interruption.
    ///
    /// # Errors
    /// [`QueueReadError`] if the originals cannot be read now.
    fn next(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<(usize, Self::Fetched)>, QueueReadError>> + Send;

    /// Copies a dead letter that [`next`](Self::next) returned. Never overwrites another object. `first_seen` is the time
    /// in the ledger.
    fn copy(
        &self,
        item: &PlanItem,
        fetched: Self::Fetched,
        first_seen: Option<Timestamp>,
    ) -> impl Future<Output = Result<Copied, AwsError>> + Send;

    /// Deletes the original of a copied dead letter. The inner error is the reason why only this one stays.
    fn remove(
        &self,
        item: &PlanItem,
    ) -> impl Future<Output = Result<Result<(), String>, AwsError>> + Send;

    /// Releases originals that are held.
    fn release(&mut self) -> impl Future<Output = ()> + Send;
}
