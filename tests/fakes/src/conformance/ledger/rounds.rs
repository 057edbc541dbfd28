//! Rounds: accepted deliveries that failed later.

use genesys_replay::clock::Timestamp;
use genesys_replay::failure::{Accepted, FailureCode, Receipt};
use genesys_replay::ledger::{
    AnswerCounts, Claim, ClaimRequest, EventKey, KnownState, Lease, Ledger, ReopenPolicy, Status,
};

use super::super::{Result, holds, same};
use super::LedgerSuite;
use super::event::{ARCHIVED, COMPLETED, DEFERRED, Event, FAILED, LEASE, NOW, acquired, lost};

fn receipt(id: Option<&str>) -> Receipt {
    Receipt { delivery_id: id.map(str::to_owned), at: Timestamp::from_millis(NOW.as_millis() - 7) }
}

fn accepted(id: Option<&str>, round: u32) -> Accepted {
    Accepted { receipt: Some(receipt(id)), first_seen: NOW, round, message_id: None }
}

/// Returns the same with the message id of the event's item.
fn accepted_of(event: &Event<'_, impl LedgerSuite>, id: Option<&str>, round: u32) -> Accepted {
    Accepted { message_id: Some(event.message_id.to_string()), ..accepted(id, round) }
}

/// Claims an event and writes its checkpoint with a receipt.
async fn delivered(event: &Event<'_, impl LedgerSuite>, id: Option<&str>) -> Result<Lease> {
    let lease = Lease { receipt: Some(receipt(id)), ..event.lease("first", NOW).await? };
    Ok(event.ledger().checkpoint(&lease).await?)
}

async fn attribute(event: &Event<'_, impl LedgerSuite>, name: &str) -> Result<Option<String>> {
    Ok(event.item().await?.get(name).cloned())
}

pub(super) async fn receipt_is_stored_and_returned(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let at = receipt(None).at.as_millis().to_string();
    for id in [Some("r-1"), None] {
        let event = Event::new(suite, &format!("{name}, {id:?}"))?;
        let lease = delivered(&event, id).await?;
        same("the lease", &lease.receipt, &Some(receipt(id)))?;
        let shown = attribute(&event, "DeliveryId").await?;
        same("the id", &shown.as_deref(), &id)?;
        let shown = attribute(&event, "DeliveredAt").await?;
        same("the time", &shown.as_deref(), &Some(at.as_str()))?;
        event.ledger().settle(&lease, DEFERRED, NOW).await?;
        let again = event.lease("second", NOW).await?;
        same("for the bookkeeping", &again.receipt, &Some(receipt(id)))?;
    }
    // The checkpoint was lost: the settlement contains it.
    let event = Event::new(suite, &format!("{name}, by its settlement"))?;
    let lease = Lease {
        delivered: Some(1),
        receipt: Some(receipt(Some("r-1"))),
        ..event.lease("first", NOW).await?
    };
    event.ledger().settle(&lease, COMPLETED, NOW).await?;
    let shown = attribute(&event, "DeliveryId").await?;
    same("the id", &shown.as_deref(), &Some("r-1"))
}

pub(super) async fn failure_record_claim_returns_the_delivery_unchanged(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    for settlement in [Some(COMPLETED), Some(DEFERRED), None] {
        let event = Event::new(suite, &format!("{name}, {settlement:?}"))?;
        let expected = Claim::Delivered(accepted_of(&event, Some("r-1"), 1));
        let lease = delivered(&event, Some("r-1")).await?;
        let mut now = NOW;
        if let Some(settlement) = settlement {
            event.ledger().settle(&lease, settlement, NOW).await?;
        } else {
            // Its worker crashed.
            let held = Claim::HeldUntil(NOW.plus(LEASE));
            same("while it is held", &event.report("other", NOW).await?, &held)?;
            now = NOW.plus(LEASE * 2);
        }
        let item = event.item().await?;
        same("the answer", &event.report("other", now).await?, &expected)?;
        same("the item", &event.item().await?, &item)?;
    }
    Ok(())
}

pub(super) async fn failure_record_claims_an_undelivered_event(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let lease = acquired(event.report("first", NOW).await?)?;
    same("new", &(lease.attempt, lease.round), &(1, 1))?;
    event.ledger().settle(&lease, DEFERRED, NOW).await?;
    let lease = acquired(event.report("second", NOW).await?)?;
    same("deferred", &lease.attempt, &2)?;
    let later = NOW.plus(LEASE * 2);
    let lease = acquired(event.report("third", later).await?)?;
    same("abandoned", &lease.attempt, &3)
}

pub(super) async fn failure_record_of_a_settled_event_is_a_duplicate(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let given_up = Claim::PreviouslyRejected(FailureCode::TargetRefused);
    for (settlement, expected) in [(ARCHIVED, Claim::AlreadyDone), (FAILED, given_up)] {
        let event = Event::new(suite, &format!("{name}, {settlement:?}"))?;
        event.settled(settlement).await?;
        let what = format!("{settlement:?}");
        same(&what, &event.report("second", NOW).await?, &expected)?;
    }
    Ok(())
}

pub(super) async fn round_begins_for_one_of_two_and_is_idempotent(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    for id in [Some("r-1"), None] {
        let event = Event::new(suite, &format!("{name}, {id:?}"))?;
        let lease = delivered(&event, id).await?;
        event.ledger().settle(&lease, COMPLETED, NOW).await?;
        let first = accepted(id, 1);
        let later = NOW.plus(LEASE);
        event.begin_round("one", later, &first).await?;
        let item = event.item().await?;
        event.begin_round("one", later, &first).await?;
        same("repeated", &event.item().await?, &item)?;
        lost("the other", &event.begin_round("other", later, &first).await)?;

        for (name, value) in [
            ("Status", Some("DEFERRED")),
            ("Step", Some("CLAIMED")),
            ("Rounds", Some("2")),
            ("RetrySince", Some(later.as_millis().to_string().as_str())),
            ("Attempts", Some("1")),
            ("FailureCode", Some("FAILED_AFTER_ACCEPTANCE")),
            ("DeliveryId", None),
            ("DeliveredAt", None),
            ("DeliveredAttempt", None),
        ] {
            same(name, &item.get(name).map(String::as_str), &value)?;
        }
        let lease = event.lease("second", later).await?;
        same(
            "the next delivery",
            &(lease.attempt, lease.round, lease.delivered, lease.receipt),
            &(2, 2, None, None),
        )?;
    }
    Ok(())
}

pub(super) async fn round_begins_only_for_the_delivery_that_was_read(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let first = accepted(Some("r-1"), 1);
    lost("nothing", &event.begin_round("one", NOW, &first).await)?;
    let lease = delivered(&event, Some("r-1")).await?;
    lost("held", &event.begin_round("one", NOW, &first).await)?;
    event.ledger().settle(&lease, COMPLETED, NOW).await?;
    let item = event.item().await?;
    for other in [Some("r-2"), None] {
        let other = accepted(other, 1);
        lost("another id", &event.begin_round("one", NOW, &other).await)?;
    }
    let mut other = accepted(Some("r-1"), 1);
    other.receipt = other.receipt.map(|it| Receipt { at: NOW, ..it });
    lost("another time", &event.begin_round("one", NOW, &other).await)?;
    same("the item", &event.item().await?, &item)?;
    event.begin_round("one", NOW, &first).await?;

    // Delivered again: the record of the first delivery is late.
    let lease = Lease { receipt: Some(receipt(Some("r-2"))), ..event.lease("second", NOW).await? };
    let lease = event.ledger().checkpoint(&lease).await?;
    event.ledger().settle(&lease, COMPLETED, NOW).await?;
    lost("the first one", &event.begin_round("one", NOW, &first).await)?;
    let second = accepted_of(&event, Some("r-2"), 2);
    let answer = event.report("other", NOW).await?;
    same("the second one", &answer, &Claim::Delivered(second))
}

pub(super) async fn round_is_claimed_only_after_its_delay(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let until = NOW.plus(LEASE * 3);
    for ignores_delay in [false, true] {
        let event = Event::new(suite, &format!("{name}, {ignores_delay}"))?;
        let lease = delivered(&event, Some("r-1")).await?;
        event.ledger().settle(&lease, COMPLETED, NOW).await?;
        let request = event.request("one", NOW, ReopenPolicy::Never);
        let first = accepted(Some("r-1"), 1);
        event.ledger().begin_round(&request, &first, until).await?;

        let delayed = Claim::Delayed { round: 2, until };
        let before = Timestamp::from_millis(until.as_millis() - 1);
        let item = event.item().await?;
        same("before", &event.claim("other", before).await?, &delayed)?;
        same("a record", &event.report("other", before).await?, &delayed)?;
        same("the item", &event.item().await?, &item)?;
        let at = if ignores_delay { before } else { until };
        let request =
            ClaimRequest { ignores_delay, ..event.request("second", at, ReopenPolicy::Never) };
        let lease = acquired(event.ledger().claim(&request).await?)?;
        same("its round", &lease.round, &2)?;
        // The delay applies once.
        event.ledger().settle(&lease, DEFERRED, before).await?;
        let lease = event.lease("third", before).await?;
        same("again", &(lease.round, lease.attempt), &(2, 3))?;
    }
    Ok(())
}

/// Claims an event with an uncertain delivery and counted responses.
async fn uncertain(event: &Event<'_, impl LedgerSuite>, owner: &str) -> Result<Lease> {
    Ok(Lease {
        maybe_delivered: true,
        answers: UNCERTAIN_ANSWERS,
        ..event.lease(owner, NOW).await?
    })
}

const UNCERTAIN_ANSWERS: AnswerCounts = AnswerCounts { configuration: 2, unanswered: 1 };

pub(super) async fn uncertain_attempts_are_stored(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let lease = event.lease("first", NOW).await?;
    let known = (lease.maybe_delivered, lease.answers, lease.processed);
    same("new", &known, &(false, AnswerCounts::default(), None))?;
    event.ledger().settle(&lease, DEFERRED, NOW).await?;
    let lease = uncertain(&event, "second").await?;
    event.ledger().settle(&lease, DEFERRED, NOW).await?;
    let lease = event.lease("third", NOW).await?;
    let known = (lease.maybe_delivered, lease.answers, lease.processed);
    same("released", &known, &(true, UNCERTAIN_ANSWERS, Some(NOW)))?;

    // An operator replay resets the counts, and the delivery may still have been accepted.
    event.ledger().settle(&lease, ARCHIVED, NOW).await?;
    let again = event.ask("operator", NOW, ReopenPolicy::FailedAndArchived);
    let lease = acquired(again.await?)?;
    let known = (lease.maybe_delivered, lease.answers);
    same("sent again", &known, &(true, AnswerCounts::default()))?;

    // A new round has no delivery.
    let lease = Lease { receipt: Some(receipt(Some("r-1"))), ..lease };
    let lease = event.ledger().checkpoint(&lease).await?;
    event.ledger().settle(&lease, COMPLETED, NOW).await?;
    let first = accepted(Some("r-1"), 1);
    event.begin_round("one", NOW, &first).await?;
    let lease = event.lease("next", NOW).await?;
    same("a new round", &lease.maybe_delivered, &false)
}

pub(super) async fn expired_lease_marks_the_event_as_maybe_delivered(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let later = |times| NOW.plus(LEASE * times);
    event.lease("first", NOW).await?;
    let lease = event.lease("second", later(2)).await?;
    same("abandoned", &lease.maybe_delivered, &true)?;
    let event = Event::new(suite, &format!("{name}, between two attempts"))?;
    let lease = uncertain(&event, "first").await?;
    event.ledger().next_attempt(&lease).await?;
    let shown = attribute(&event, "MaybeDelivered").await?;
    same("counted", &shown.as_deref(), &Some("true"))
}

pub(super) async fn operator_replay_begins_at_round_one(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    for settlement in [ARCHIVED, FAILED] {
        let event = Event::new(suite, &format!("{name}, {settlement:?}"))?;
        let lease = delivered(&event, Some("r-1")).await?;
        event.ledger().settle(&lease, COMPLETED, NOW).await?;
        event.begin_round("one", NOW, &accepted(Some("r-1"), 1)).await?;
        let lease = event.lease("second", NOW).await?;
        event.ledger().settle(&lease, settlement, NOW).await?;
        let later = NOW.plus(LEASE);
        let again = event.ask("operator", later, ReopenPolicy::FailedAndArchived).await?;
        let lease = acquired(again)?;
        same("attempt and round", &(lease.attempt, lease.round), &(3, 1))?;
        let since = attribute(&event, "RetrySince").await?;
        same("since", &since, &Some(later.as_millis().to_string()))?;
        // Its redelivery continues the round.
        event.ledger().settle(&lease, DEFERRED, later).await?;
        let lease = Lease {
            receipt: Some(receipt(Some("r-2"))),
            ..acquired(event.ask("operator-2", later, ReopenPolicy::FailedAndArchived).await?)?
        };
        let lease = event.ledger().checkpoint(&lease).await?;
        event.ledger().settle(&lease, COMPLETED, later).await?;
        event.begin_round("one", later, &accepted(Some("r-2"), 1)).await?;
        let again = event.ask("operator-3", later, ReopenPolicy::FailedAndArchived).await?;
        same("the round does not restart at 1", &acquired(again)?.round, &2)?;
    }
    Ok(())
}

pub(super) async fn indexed_delivery_id_finds_its_event(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let ledger = event.ledger();
    let id = format!("delivery of {name}");
    same("before", &ledger.find_delivery(&id).await?, &None)?;
    for _ in 0..2 {
        ledger.index_delivery(&id, &event.key, NOW).await?;
    }
    let found = ledger.find_delivery(&id).await?;
    same("after", &found, &Some(event.key.clone()))?;
    holds("no item of the event", event.item().await?.is_empty())
}

pub(super) async fn look_up_needs_no_claim(suite: &impl LedgerSuite, name: &str) -> Result<()> {
    let event = Event::new(suite, name)?;
    let other = EventKey::stored(&format!("{name}|nowhere"));
    same("nothing", &event.ledger().look_up(&other).await?, &None)?;
    let lease = delivered(&event, Some("r-1")).await?;
    event.ledger().settle(&lease, COMPLETED, NOW).await?;
    let item = event.item().await?;
    let known = event.ledger().look_up(&event.key).await?.map(|item| item.known);
    let expected = KnownState {
        status: Some(Status::Completed),
        delivered: Some(1),
        code: None,
        accepted: accepted_of(&event, Some("r-1"), 1),
    };
    same("the state", &known, &Some(expected))?;
    same("the item", &event.item().await?, &item)
}
