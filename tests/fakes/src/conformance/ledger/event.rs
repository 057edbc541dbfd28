//! One event in the ledger under test, and the calls about it.

use std::collections::BTreeMap;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Destination;
use genesys_replay::failure::{Accepted, FailureCode};
use genesys_replay::ledger::{
    Claim, ClaimMetadata, ClaimRequest, EventKey, Lease, Ledger, LedgerError, ReopenPolicy,
    ReplayNote, Settlement,
};
use genesys_replay::message::MessageId;

use super::super::{Result, holds, same};
use super::LedgerSuite;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_250);
pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const COMPLETED: Settlement = Settlement::Completed(None);
pub(super) const ARCHIVED: Settlement = Settlement::Archived(FailureCode::TargetRefused);
pub(super) const FAILED: Settlement = Settlement::Failed(FailureCode::TargetRefused);
pub(super) const DEFERRED: Settlement = Settlement::Deferred(FailureCode::OutOfTime);

/// One event of a case.
pub(super) struct Event<'w, W> {
    pub(super) suite: &'w W,
    pub(super) key: EventKey,
    pub(super) message_id: MessageId,
    pub(super) interaction_id: Option<&'static str>,
    pub(super) replay: Option<ReplayNote<'static>>,
}

impl<'w, W: LedgerSuite> Event<'w, W> {
    pub(super) fn new(suite: &'w W, name: &str) -> Result<Self> {
        let message_id = MessageId::new(name).ok_or("message id")?;
        let key = EventKey::new(None, &message_id, &Destination::None);
        Ok(Self { suite, key, message_id, interaction_id: Some("c-1"), replay: None })
    }

    pub(super) fn ledger(&self) -> &'w W::Ledger {
        self.suite.ledger()
    }

    pub(super) async fn ask(
        &self,
        owner: &str,
        now: Timestamp,
        reopen: ReopenPolicy,
    ) -> std::result::Result<Claim, LedgerError> {
        self.ledger().claim(&self.request(owner, now, reopen)).await
    }

    /// Claims with a failure record.
    pub(super) async fn report(
        &self,
        owner: &str,
        now: Timestamp,
    ) -> std::result::Result<Claim, LedgerError> {
        let request = ClaimRequest {
            is_failure_record: true,
            ..self.request(owner, now, ReopenPolicy::Never)
        };
        self.ledger().claim(&request).await
    }

    pub(super) async fn begin_round(
        &self,
        owner: &str,
        now: Timestamp,
        accepted: &Accepted,
    ) -> std::result::Result<(), LedgerError> {
        let request = self.request(owner, now, ReopenPolicy::Never);
        let at_once = Timestamp::from_millis(0);
        let ledger = self.ledger();
        ledger.begin_round(&request, accepted, at_once).await
    }

    pub(super) fn request(
        &self,
        owner: &str,
        now: Timestamp,
        reopen: ReopenPolicy,
    ) -> ClaimRequest<'_> {
        ClaimRequest {
            key: &self.key,
            owner: owner.to_owned(),
            now,
            lease_until: now.plus(LEASE),
            reopen,
            is_failure_record: false,
            ignores_delay: false,
            about: ClaimMetadata {
                message_id: &self.message_id,
                interaction_id: self.interaction_id,
                category: "UNKNOWN",
                target: "none",
                event_type: None,
                original_target: None,
                replay: self.replay,
            },
        }
    }

    pub(super) async fn claim(&self, owner: &str, now: Timestamp) -> Result<Claim> {
        Ok(self.ask(owner, now, ReopenPolicy::Never).await?)
    }

    pub(super) async fn lease(&self, owner: &str, now: Timestamp) -> Result<Lease> {
        acquired(self.claim(owner, now).await?)
    }

    pub(super) async fn settled(&self, settlement: Settlement) -> Result<()> {
        let lease = self.lease("first", NOW).await?;
        Ok(self.ledger().settle(&lease, settlement, NOW).await?)
    }

    pub(super) async fn item(&self) -> Result<BTreeMap<String, String>> {
        self.suite.item(&self.key).await
    }

    /// Checks that every write of the lease is refused.
    pub(super) async fn fences_out(&self, lease: &Lease) -> Result<()> {
        let before = self.item().await?;
        lost("next_attempt", &self.ledger().next_attempt(lease).await)?;
        lost("checkpoint", &self.ledger().checkpoint(lease).await)?;
        for settlement in [COMPLETED, ARCHIVED, FAILED, DEFERRED] {
            let settled = self.ledger().settle(lease, settlement, NOW).await;
            lost(&format!("settle {settlement:?}"), &settled)?;
        }
        same("the item", &self.item().await?, &before)
    }
}

pub(super) fn acquired(claim: Claim) -> Result<Lease> {
    match claim {
        Claim::Acquired(lease) => Ok(lease),
        Claim::AlreadyDone
        | Claim::PreviouslyRejected(_)
        | Claim::HeldUntil(_)
        | Claim::Delayed { .. }
        | Claim::Delivered(_) => Err(format!("not acquired: {claim:?}").into()),
    }
}

pub(super) fn lost<T>(what: &str, answer: &std::result::Result<T, LedgerError>) -> Result<()> {
    let lost = matches!(answer, Err(LedgerError::LeaseLost));
    holds(&format!("{what} with a lost lease"), lost)
}

pub(super) fn unavailable<T>(
    what: &str,
    answer: &std::result::Result<T, LedgerError>,
) -> Result<()> {
    let unavailable = matches!(answer, Err(LedgerError::Unavailable(_)));
    holds(&format!("{what} was answered"), unavailable)
}
