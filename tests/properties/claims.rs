//! The predicted answer to a claim, compared with the ledger's answer.

use std::time::Duration;

use futures_util::FutureExt;
use genesys_fakes::MemoryLedger;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Destination;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::{
    Claim, ClaimMetadata, ClaimRequest, Claimable, EventKey, ItemState, KnownState, Ledger,
    ReopenPolicy, Settlement,
};
use genesys_replay::message::MessageId;
use proptest::prelude::*;
use proptest::sample::select;

const START: Timestamp = Timestamp::from_millis(1_785_000_000_000);
const LEASE: Duration = Duration::from_secs(60);

/// One receive of a message of the event.
#[derive(Clone, Copy, Debug)]
struct Receive {
    seconds_since_last: u64,
    reopen: ReopenPolicy,
    is_failure_record: bool,
    ignores_delay: bool,
    is_delivered: bool,
    /// `None` for a worker that stops without settling.
    settlement: Option<Settlement>,
}

fn receives() -> impl Strategy<Value = Receive> {
    let code = FailureCode::TargetUnavailable;
    let reopen = [ReopenPolicy::Never, ReopenPolicy::Failed, ReopenPolicy::FailedAndArchived];
    let settlements = [
        None,
        Some(Settlement::Completed(None)),
        Some(Settlement::Archived(code)),
        Some(Settlement::Failed(code)),
        Some(Settlement::Deferred(code)),
    ];
    (0_u64..100, select(reopen.to_vec()), any::<[bool; 3]>(), select(settlements.to_vec()))
        .prop_map(|(seconds_since_last, reopen, [record, ignores, delivered], settlement)| {
            // Only a delivered event is completed, and a delivered event is never archived.
            let is_delivered = match settlement {
                Some(Settlement::Completed(_)) => true,
                None | Some(Settlement::Deferred(_)) => delivered,
                Some(Settlement::Archived(_) | Settlement::Failed(_)) => false,
            };
            Receive {
                seconds_since_last,
                reopen,
                is_failure_record: record,
                ignores_delay: ignores,
                is_delivered,
                settlement,
            }
        })
}

fn item_state(ledger: &MemoryLedger, key: &EventKey) -> Option<ItemState> {
    let item = ledger.item(key)?;
    Some(ItemState {
        known: KnownState {
            status: Some(item.status),
            delivered: item.delivered,
            code: item.code,
            accepted: item.accepted(),
        },
        lease_until: Some(item.lease_until),
        not_before: item.not_before,
    })
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn predicted_claim_is_the_ledgers_claim(receives in prop::collection::vec(receives(), 1..12)) {
        let ledger = MemoryLedger::new(Duration::from_secs(1_000_000));
        let message_id = MessageId::new("m-1").ok_or_else(|| TestCaseError::fail("id"))?;
        let key = EventKey::new(None, &message_id, &Destination::None);
        let mut now = START;
        for (number, receive) in receives.into_iter().enumerate() {
            now = now.plus(Duration::from_secs(receive.seconds_since_last));
            let request = ClaimRequest {
                key: &key,
                owner: format!("worker-{number}"),
                now,
                lease_until: now.plus(LEASE),
                reopen: receive.reopen,
                is_failure_record: receive.is_failure_record,
                ignores_delay: receive.ignores_delay,
                about: ClaimMetadata {
                    message_id: &message_id,
                    interaction_id: None,
                    category: "UNKNOWN",
                    target: "none",
                    event_type: None,
                    original_target: None,
                    replay: None,
                },
            };
            let predicted = match item_state(&ledger, &key) {
                None => Claim::Acquired(Claimable::NEW),
                Some(item) => item.answer(&request.terms()).map_err(|error| TestCaseError::fail(error.to_string()))?,
            };
            let claim = ledger.claim(&request).now_or_never();
            let Some(Ok(claim)) = claim else {
                return Err(TestCaseError::fail("the fake did not answer"));
            };
            let content = claim.clone().and_then(|lease| Claim::Acquired(Claimable {
                is_delivered: lease.delivered.is_some(),
                round: lease.round,
            }));
            prop_assert_eq!(content, predicted);
            match claim {
                Claim::Acquired(mut lease) => {
                    if receive.is_delivered && lease.delivered.is_none() {
                        let checkpoint = ledger.checkpoint(&lease).now_or_never();
                        lease = checkpoint.and_then(Result::ok).unwrap_or(lease);
                    }
                    let is_delivered = lease.delivered.is_some();
                    let settlement = match receive.settlement {
                        Some(Settlement::Archived(_) | Settlement::Failed(_)) if is_delivered => {
                            Some(Settlement::Completed(None))
                        }
                        settlement => settlement,
                    };
                    if let Some(settlement) = settlement {
                        let _ = ledger.settle(&lease, settlement, now).now_or_never();
                    }
                }
                Claim::Delivered(accepted) => {
                    let not_before = now.plus(LEASE);
                    let _ = ledger.begin_round(&request, &accepted, not_before).now_or_never();
                }
                Claim::AlreadyDone
                | Claim::PreviouslyRejected(_)
                | Claim::HeldUntil(_)
                | Claim::Delayed { .. } => {}
            }
        }
    }
}
