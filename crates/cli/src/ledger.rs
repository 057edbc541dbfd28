//! The ledger's items as people read them.

pub mod dynamodb;

use std::future::Future;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Destination;
use genesys_replay::failure::{Accepted, FailureReport, Receipt};
use genesys_replay::ledger::Status;

/// The ledger's item of an event, for people to read. A field is empty or `None` if the item lacks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `<event id>|<delivery target>`.
    pub key: String,
    /// The status of the event; `None` if this version does not know the item's status.
    pub status: Option<Status>,
    /// True if the target has accepted the event.
    pub delivered: bool,
    /// The target's receipt, if it is delivered and the item has one.
    pub receipt: Option<Receipt>,
    /// The number of its delivery, from 1: one more after each one that failed later.
    pub round: u32,
    /// The number of attempts that were begun.
    pub attempts: u32,
    /// Its interaction.
    pub interaction_id: Option<String>,
    /// Why its first delivery failed.
    pub category: String,
    /// Why it is not delivered, or what is missing although it is.
    pub failure_code: Option<String>,
    /// Where it goes, as people may read it.
    pub target: String,
    /// The message that brought it last.
    pub message_id: String,
    /// The time of the first claim.
    pub first_seen: Option<Timestamp>,
    /// The time at which the last work on the event ended.
    pub processed: Option<Timestamp>,
    /// Until when it is held, if it is.
    pub lease_until: Option<Timestamp>,
}

impl Record {
    /// The event's id: the key without the target.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.key.split('|').next().unwrap_or_default()
    }

    /// Returns true if the event is delivered and this failure record is about that delivery.
    #[must_use]
    pub fn has_failed_later(
        &self,
        report: &FailureReport,
        destination: &Destination,
        message_id: &str,
    ) -> bool {
        let accepted = Accepted {
            receipt: self.receipt.clone(),
            first_seen: self.first_seen.unwrap_or(Timestamp::from_millis(0)),
            round: self.round,
            message_id: Some(self.message_id.clone()),
        };
        self.delivered && report.is_about(&accepted, destination, message_id)
    }

    /// The key for people: of a URL, what follows the path may be secret.
    #[must_use]
    pub fn shown(&self) -> String {
        // An event id with one of them is cut, which does not happen with Genesys' own.
        self.key
            .split(['?', '#'])
            .next()
            .unwrap_or_default()
            .to_owned()
    }
}

/// Some of a ledger's items.
#[derive(Clone, Debug, Default)]
pub struct RecordPage {
    /// The items, in no order.
    pub records: Vec<Record>,
    /// Where the next page of the same segment begins, if there is one.
    pub next: Option<String>,
}

/// What the ledger knows. Reading changes nothing; what expired may still be seen for a while.
pub trait LedgerReader: Send + Sync {
    /// One page of segment `segment` (from 0) of `segments`; all segments together are the ledger.
    ///
    /// # Errors
    /// [`AwsError`].
    fn scan(
        &self,
        segment: u32,
        segments: u32,
        from: Option<&str>,
    ) -> impl Future<Output = Result<RecordPage, AwsError>> + Send;

    /// The items with these keys, as they are now; those that do not exist are left out.
    ///
    /// # Errors
    /// [`AwsError`].
    fn find(&self, keys: &[&str]) -> impl Future<Output = Result<Vec<Record>, AwsError>> + Send;
}
