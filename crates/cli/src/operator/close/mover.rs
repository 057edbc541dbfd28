//! The port that moves stored dead letters.

use std::collections::VecDeque;
use std::future::Future;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;

use crate::operator::plan::PlanItem;

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

/// Moves dead letters, in separate steps. Each step may be repeated.
pub trait Mover: Send {
    /// Removes one of the items in `todo` and returns it; the mover chooses which. Returns `None` only without an item.
    fn next(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
    ) -> impl Future<Output = Result<Option<usize>, AwsError>> + Send;

    /// Copies the dead letter that [`next`](Self::next) returned. Never overwrites another object. `first_seen` is the time
    /// in the ledger.
    fn copy(
        &mut self,
        item: &PlanItem,
        first_seen: Option<Timestamp>,
    ) -> impl Future<Output = Result<Copied, AwsError>> + Send;

    /// Deletes the original of a copied dead letter. The inner error is the reason why only this one stays.
    fn remove(
        &mut self,
        item: &PlanItem,
    ) -> impl Future<Output = Result<Result<(), String>, AwsError>> + Send;

    /// Releases originals that are held.
    fn release(&mut self) -> impl Future<Output = ()> + Send;
}
