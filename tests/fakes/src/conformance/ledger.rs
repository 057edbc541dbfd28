//! The contract of [`Ledger`].

mod event;
mod item;
mod rounds;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::{
    AnswerCounts, Claim, EventKey, Lease, Ledger, ReopenPolicy, Settlement,
};

use self::event::{
    ARCHIVED, COMPLETED, DEFERRED, Event, FAILED, LEASE, NOW, acquired, lost, unavailable,
};
use self::item::{
    claim_stores_the_note_of_an_operator_replay, item_shows_the_state_of_the_event,
    refused_claim_changes_nothing,
};
use self::rounds::{
    expired_lease_marks_the_event_as_maybe_delivered,
    failure_record_claim_returns_the_delivery_unchanged,
    failure_record_claims_an_undelivered_event, failure_record_of_a_settled_event_is_a_duplicate,
    indexed_delivery_id_finds_its_event, look_up_needs_no_claim,
    operator_replay_begins_at_round_one, receipt_is_stored_and_returned,
    round_begins_for_one_of_two_and_is_idempotent,
    round_begins_only_for_the_delivery_that_was_read, round_is_claimed_only_after_its_delay,
    uncertain_attempts_are_stored,
};
use super::{CallFault, Result, holds, same, suite};

/// The configured retention of the ledger under test.
pub const REMEMBER: Duration = Duration::from_secs(15 * 24 * 3_600);

/// A ledger under test and its items.
pub trait LedgerSuite {
    /// The implementation.
    type Ledger: Ledger;

    /// The ledger.
    fn ledger(&self) -> &Self::Ledger;

    /// Injects a fault into the next call.
    fn next_call(&self, fault: CallFault);

    /// Returns the attributes of an event's item as text. Empty: there is no item.
    fn item(&self, key: &EventKey) -> impl Future<Output = Result<BTreeMap<String, String>>>;
}

/// Checks that a ledger keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(suite: &impl LedgerSuite) -> Result<()> {
    suite!(suite;
        claim_of_a_new_event_succeeds_for_one_of_many,
        claim_of_an_expired_lease_succeeds_for_one_of_many,
        claim_is_idempotent_for_its_owner,
        lease_ends_after_its_last_millisecond,
        lease_holder_is_fenced_after_a_takeover,
        write_is_refused_without_a_claim,
        claim_of_a_deferred_event_continues_its_attempts,
        claim_of_a_delivered_event_has_its_checkpoint,
        checkpoint_is_kept_when_deferred_after_delivery,
        claim_of_a_settled_event_is_refused_for_every_worker,
        claim_reopens_rejected_events_only_when_allowed,
        reopened_event_can_be_completed,
        write_is_idempotent,
        late_attempt_count_does_not_decrease_attempts,
        settlement_is_refused_after_a_takeover,
        failed_call_changes_nothing,
        call_is_idempotent_after_a_lost_response,
        item_shows_the_state_of_the_event,
        claim_stores_the_note_of_an_operator_replay,
        refused_claim_changes_nothing,
        receipt_is_stored_and_returned,
        failure_record_claim_returns_the_delivery_unchanged,
        failure_record_claims_an_undelivered_event,
        failure_record_of_a_settled_event_is_a_duplicate,
        round_begins_for_one_of_two_and_is_idempotent,
        round_begins_only_for_the_delivery_that_was_read,
        round_is_claimed_only_after_its_delay,
        operator_replay_begins_at_round_one,
        indexed_delivery_id_finds_its_event,
        look_up_needs_no_claim,
        uncertain_attempts_are_stored,
        expired_lease_marks_the_event_as_maybe_delivered,
    )
}

/// Checks that one of many concurrent claims succeeds, with this attempt number.
async fn one_of_many(
    event: &Event<'_, impl LedgerSuite>,
    now: Timestamp,
    attempt: u32,
) -> Result<()> {
    let owners: Vec<String> = (0..10).map(|number| format!("{attempt}-{number}")).collect();
    let claims = join_all(owners.iter().map(|owner| event.claim(owner, now))).await;
    let held = Claim::HeldUntil(now.plus(LEASE));
    let mut winners = Vec::new();
    for claim in claims {
        match claim? {
            Claim::Acquired(lease) => winners.push((lease.attempt, lease.first_seen)),
            other @ (Claim::AlreadyDone
            | Claim::PreviouslyRejected(_)
            | Claim::HeldUntil(_)
            | Claim::Delayed { .. }
            | Claim::Delivered(_)) => {
                same("the others", &other, &held)?;
            }
        }
    }
    same("the winners", &winners, &vec![(attempt, NOW)])
}

async fn claim_of_a_new_event_succeeds_for_one_of_many(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    one_of_many(&Event::new(suite, name)?, NOW, 1).await
}

async fn claim_of_an_expired_lease_succeeds_for_one_of_many(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    event.lease("first", NOW).await?;
    one_of_many(&event, NOW.plus(LEASE * 2), 2).await
}

async fn claim_is_idempotent_for_its_owner(suite: &impl LedgerSuite, name: &str) -> Result<()> {
    let event = Event::new(suite, name)?;
    let first = event.claim("worker", NOW).await?;
    same("again", &event.claim("worker", NOW).await?, &first)
}

async fn lease_ends_after_its_last_millisecond(suite: &impl LedgerSuite, name: &str) -> Result<()> {
    let event = Event::new(suite, name)?;
    event.lease("first", NOW).await?;
    let end = NOW.plus(LEASE);
    let claim = event.claim("second", end).await?;
    same("at its end", &claim, &Claim::HeldUntil(end))?;
    let after = end.plus(Duration::from_millis(1));
    let lease = event.lease("second", after).await?;
    same("the attempt", &lease.attempt, &2)?;
    same("first seen", &lease.first_seen, &NOW)?;
    let held = Claim::HeldUntil(after.plus(LEASE));
    same("later", &event.claim("third", after).await?, &held)
}

async fn lease_holder_is_fenced_after_a_takeover(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let stale = event.lease("first", NOW).await?;
    let later = NOW.plus(LEASE * 2);
    let fresh = event.lease("second", later).await?;
    event.fences_out(&stale).await?;
    event.ledger().settle(&fresh, DEFERRED, later).await?;
    event.fences_out(&stale).await?;
    let fresh = event.lease("third", later).await?;
    event.ledger().settle(&fresh, COMPLETED, later).await?;
    event.fences_out(&stale).await
}

async fn write_is_refused_without_a_claim(suite: &impl LedgerSuite, name: &str) -> Result<()> {
    let event = Event::new(suite, name)?;
    let lease = Lease {
        key: event.key.clone(),
        owner: "nobody".to_owned(),
        attempt: 1,
        delivered: None,
        receipt: None,
        round: 1,
        first_seen: NOW,
        retry_since: NOW,
        maybe_delivered: false,
        answers: AnswerCounts::default(),
        processed: None,
    };
    event.fences_out(&lease).await?;
    holds("there is no item", event.item().await?.is_empty())
}

async fn claim_of_a_deferred_event_continues_its_attempts(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let lease = event.lease("first", NOW).await?;
    let lease = event.ledger().next_attempt(&lease).await?;
    same("the attempt", &lease.attempt, &2)?;
    event.ledger().settle(&lease, DEFERRED, NOW).await?;
    let next = event.lease("second", NOW).await?;
    same("the attempt", &(next.attempt, next.delivered), &(3, None))
}

async fn claim_of_a_delivered_event_has_its_checkpoint(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let lease = event.lease("first", NOW).await?;
    let lease = event.ledger().next_attempt(&lease).await?;
    let lease = event.ledger().checkpoint(&lease).await?;
    same("at the checkpoint", &lease.delivered, &Some(2))?;
    // Its worker crashed, and two others before one settled the event.
    let mut now = NOW;
    for owner in ["second", "third"] {
        now = now.plus(LEASE * 2);
        let lease = event.lease(owner, now).await?;
        same(owner, &(lease.delivered, lease.reported_attempt()), &(Some(2), 2))?;
    }
    now = now.plus(LEASE * 2);
    let lease = event.lease("fourth", now).await?;
    event.ledger().settle(&lease, COMPLETED, now).await?;
    let item = event.item().await?;
    let attempts = item.get("Attempts").map(String::as_str);
    same("attempts shown", &attempts, &Some("2"))
}

async fn checkpoint_is_kept_when_deferred_after_delivery(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let lease = event.lease("first", NOW).await?;
    let delivered = event.ledger().checkpoint(&lease).await?;
    event.ledger().settle(&delivered, DEFERRED, NOW).await?;
    let lease = event.lease("second", NOW).await?;
    same("delivered", &lease.delivered, &Some(1))?;

    // The checkpoint was lost: the settlement contains it.
    let event = Event::new(suite, &format!("{name}, by its settlement"))?;
    let lease = Lease { delivered: Some(1), ..event.lease("first", NOW).await? };
    event.ledger().settle(&lease, DEFERRED, NOW).await?;
    let lease = event.lease("second", NOW).await?;
    same("delivered", &lease.delivered, &Some(1))
}

async fn claim_of_a_settled_event_is_refused_for_every_worker(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let given_up = Claim::PreviouslyRejected(FailureCode::TargetRefused);
    for (settlement, claim) in [
        (COMPLETED, Claim::AlreadyDone),
        (Settlement::Completed(Some(FailureCode::RetryStateNotWritten)), Claim::AlreadyDone),
        (ARCHIVED, Claim::AlreadyDone),
        (FAILED, given_up),
    ] {
        let event = Event::new(suite, &format!("{name}, {settlement:?}"))?;
        event.settled(settlement).await?;
        // The result does not depend on the deletion of expired items.
        for now in [NOW, NOW.plus(LEASE * 2), NOW.plus(REMEMBER * 2)] {
            for owner in ["first", "second"] {
                let what = format!("{settlement:?} for the {owner} at {now}");
                same(&what, &event.claim(owner, now).await?, &claim)?;
            }
        }
    }
    Ok(())
}

async fn claim_reopens_rejected_events_only_when_allowed(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    for (settlement, reopen, taken) in [
        (ARCHIVED, ReopenPolicy::Failed, false),
        (ARCHIVED, ReopenPolicy::FailedAndArchived, true),
        (FAILED, ReopenPolicy::Failed, true),
        (FAILED, ReopenPolicy::FailedAndArchived, true),
        (COMPLETED, ReopenPolicy::Failed, false),
        (COMPLETED, ReopenPolicy::FailedAndArchived, false),
    ] {
        let what = format!("{name}, {settlement:?} with {reopen:?}");
        let event = Event::new(suite, &what)?;
        event.settled(settlement).await?;
        let claim = event.ask("second", NOW, reopen).await?;
        if let Claim::Acquired(lease) = &claim {
            same(&what, &(lease.attempt, lease.first_seen), &(2, NOW))?;
        }
        same(&what, &matches!(claim, Claim::Acquired(_)), &taken)?;
    }
    Ok(())
}

async fn reopened_event_can_be_completed(suite: &impl LedgerSuite, name: &str) -> Result<()> {
    let event = Event::new(suite, name)?;
    event.settled(ARCHIVED).await?;
    let again = event.ask("second", NOW, ReopenPolicy::FailedAndArchived).await?;
    let lease = acquired(again)?;
    let held = event.ask("third", NOW, ReopenPolicy::FailedAndArchived).await?;
    same("meanwhile", &held, &Claim::HeldUntil(NOW.plus(LEASE)))?;
    let lease = event.ledger().checkpoint(&lease).await?;
    event.ledger().settle(&lease, COMPLETED, NOW).await?;
    let done = event.ask("fourth", NOW, ReopenPolicy::FailedAndArchived).await?;
    same("in the end", &done, &Claim::AlreadyDone)?;
    let code = event.item().await?.get("FailureCode").cloned();
    same("the old failure code", &code, &None)
}

async fn late_attempt_count_does_not_decrease_attempts(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let ledger = event.ledger();
    let first = event.lease("worker", NOW).await?;
    let second = ledger.next_attempt(&first).await?;
    ledger.next_attempt(&second).await?;
    lost("the first count", &ledger.next_attempt(&first).await)?;
    // A worker with an old attempt count can still release the event.
    ledger.settle(&first, DEFERRED, NOW).await?;
    let next = event.lease("next", NOW).await?;
    same("the next attempt", &next.attempt, &4)
}

async fn write_is_idempotent(suite: &impl LedgerSuite, name: &str) -> Result<()> {
    for settlement in [COMPLETED, ARCHIVED, FAILED, DEFERRED] {
        let event = Event::new(suite, &format!("{name}, {settlement:?}"))?;
        let ledger = event.ledger();
        let lease = event.lease("worker", NOW).await?;

        let second = ledger.next_attempt(&lease).await?;
        let item = event.item().await?;
        same("next_attempt", &ledger.next_attempt(&lease).await?, &second)?;
        same("after next_attempt", &event.item().await?, &item)?;

        let delivered = ledger.checkpoint(&second).await?;
        let item = event.item().await?;
        same("checkpoint", &ledger.checkpoint(&second).await?, &delivered)?;
        same("after checkpoint", &event.item().await?, &item)?;

        ledger.settle(&delivered, settlement, NOW).await?;
        let item = event.item().await?;
        ledger.settle(&delivered, settlement, NOW).await?;
        same("after settle", &event.item().await?, &item)?;
    }
    Ok(())
}

async fn settlement_is_refused_after_a_takeover(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let lease = event.lease("first", NOW).await?;
    event.ledger().settle(&lease, DEFERRED, NOW).await?;
    let other = event.lease("second", NOW).await?;
    event.fences_out(&lease).await?;
    Ok(event.ledger().settle(&other, COMPLETED, NOW).await?)
}

async fn failed_call_changes_nothing(suite: &impl LedgerSuite, name: &str) -> Result<()> {
    let event = Event::new(suite, name)?;
    let ledger = event.ledger();
    let down = || suite.next_call(CallFault::NoEffect);
    down();
    unavailable("claim", &event.ask("worker", NOW, ReopenPolicy::Never).await)?;
    holds("no item", event.item().await?.is_empty())?;

    let lease = event.lease("worker", NOW).await?;
    let item = event.item().await?;
    down();
    unavailable("next_attempt", &ledger.next_attempt(&lease).await)?;
    down();
    unavailable("checkpoint", &ledger.checkpoint(&lease).await)?;
    down();
    unavailable("settle", &ledger.settle(&lease, COMPLETED, NOW).await)?;
    same("the item", &event.item().await?, &item)?;
    Ok(ledger.settle(&lease, COMPLETED, NOW).await?)
}

async fn call_is_idempotent_after_a_lost_response(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    for settlement in [COMPLETED, ARCHIVED, FAILED, DEFERRED] {
        let event = Event::new(suite, &format!("{name}, {settlement:?}"))?;
        let ledger = event.ledger();
        let lose = || suite.next_call(CallFault::ResponseLost);
        lose();
        unavailable("claim", &event.ask("worker", NOW, ReopenPolicy::Never).await)?;
        let held = Claim::HeldUntil(NOW.plus(LEASE));
        same("the claim took effect", &event.claim("other", NOW).await?, &held)?;
        let lease = event.lease("worker", NOW).await?;
        same("the attempt", &lease.attempt, &1)?;

        lose();
        unavailable("next_attempt", &ledger.next_attempt(&lease).await)?;
        let lease = ledger.next_attempt(&lease).await?;
        lose();
        unavailable("checkpoint", &ledger.checkpoint(&lease).await)?;
        let lease = ledger.checkpoint(&lease).await?;
        lose();
        unavailable("settle", &ledger.settle(&lease, settlement, NOW).await)?;
        let item = event.item().await?;
        ledger.settle(&lease, settlement, NOW).await?;
        same("the item", &event.item().await?, &item)?;
    }
    Ok(())
}
