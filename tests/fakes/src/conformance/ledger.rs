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
    a_claim_that_is_refused_changes_nothing, an_item_shows_what_has_become_of_the_event,
};
use self::rounds::{
    a_dead_worker_may_have_delivered, a_delivery_leads_to_its_event_once_it_is_indexed,
    a_failure_record_claims_what_is_not_delivered,
    a_failure_record_is_answered_with_the_delivery_and_changes_nothing,
    a_failure_record_of_a_finished_event_is_done,
    a_new_round_is_begun_by_one_of_two_and_can_be_repeated,
    a_new_round_needs_the_delivery_that_was_read, a_new_round_waits_for_its_time,
    a_receipt_is_kept_and_shown, an_event_is_looked_up_without_a_claim,
    an_operator_replay_begins_again_at_round_one, uncertain_attempts_are_remembered,
};
use super::{Mishap, Result, holds, same, suite};

/// How long the ledger under test says that it remembers a finished event.
pub const REMEMBER: Duration = Duration::from_secs(15 * 24 * 3_600);

/// A ledger and what it shows to people.
pub trait World {
    /// The implementation.
    type Ledger: Ledger;

    /// The ledger.
    fn ledger(&self) -> &Self::Ledger;

    /// Lets something befall the next call.
    fn next_call(&self, mishap: Mishap);

    /// An event's attributes as text; empty when there is no item.
    fn item(&self, key: &EventKey) -> impl Future<Output = Result<BTreeMap<String, String>>>;
}

/// Whether a ledger keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(world: &impl World) -> Result<()> {
    suite!(world;
        a_new_event_is_claimed_by_one_of_many,
        a_lease_that_ended_is_taken_over_by_one_of_many,
        a_claim_repeated_by_its_owner_is_the_same_claim,
        a_lease_is_over_once_its_end_has_passed,
        who_was_taken_over_is_fenced_out,
        an_event_that_was_never_claimed_cannot_be_written,
        a_deferred_event_is_claimed_at_once_and_attempts_count_on,
        a_delivered_event_is_claimed_for_its_bookkeeping_only,
        an_event_deferred_after_delivery_stays_delivered,
        a_finished_event_is_finished_for_everybody_and_for_good,
        only_what_was_given_up_is_reopened_and_only_for_who_may,
        a_reopened_event_can_be_completed,
        every_write_can_be_repeated,
        a_count_that_comes_late_does_not_take_attempts_back,
        a_settlement_repeated_after_a_takeover_does_not_count,
        a_call_that_did_not_act_has_changed_nothing,
        a_call_whose_answer_was_lost_can_be_repeated,
        an_item_shows_what_has_become_of_the_event,
        a_claim_that_is_refused_changes_nothing,
        a_receipt_is_kept_and_shown,
        a_failure_record_is_answered_with_the_delivery_and_changes_nothing,
        a_failure_record_claims_what_is_not_delivered,
        a_failure_record_of_a_finished_event_is_done,
        a_new_round_is_begun_by_one_of_two_and_can_be_repeated,
        a_new_round_needs_the_delivery_that_was_read,
        a_new_round_waits_for_its_time,
        an_operator_replay_begins_again_at_round_one,
        a_delivery_leads_to_its_event_once_it_is_indexed,
        an_event_is_looked_up_without_a_claim,
        uncertain_attempts_are_remembered,
        a_dead_worker_may_have_delivered,
    )
}

/// Of many who ask at once, one is given the event, as this attempt.
async fn one_of_many(event: &Event<'_, impl World>, now: Timestamp, attempt: u32) -> Result<()> {
    let owners: Vec<String> = (0..10)
        .map(|number| format!("{attempt}-{number}"))
        .collect();
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

async fn a_new_event_is_claimed_by_one_of_many(world: &impl World, name: &str) -> Result<()> {
    one_of_many(&Event::new(world, name)?, NOW, 1).await
}

async fn a_lease_that_ended_is_taken_over_by_one_of_many(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name)?;
    event.lease("first", NOW).await?;
    one_of_many(&event, NOW.plus(LEASE * 2), 2).await
}

async fn a_claim_repeated_by_its_owner_is_the_same_claim(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name)?;
    let first = event.claim("worker", NOW).await?;
    same("again", &event.claim("worker", NOW).await?, &first)
}

async fn a_lease_is_over_once_its_end_has_passed(world: &impl World, name: &str) -> Result<()> {
    let event = Event::new(world, name)?;
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

async fn who_was_taken_over_is_fenced_out(world: &impl World, name: &str) -> Result<()> {
    let event = Event::new(world, name)?;
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

async fn an_event_that_was_never_claimed_cannot_be_written(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name)?;
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

async fn a_deferred_event_is_claimed_at_once_and_attempts_count_on(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name)?;
    let lease = event.lease("first", NOW).await?;
    let lease = event.ledger().next_attempt(&lease).await?;
    same("the attempt", &lease.attempt, &2)?;
    event.ledger().settle(&lease, DEFERRED, NOW).await?;
    let next = event.lease("second", NOW).await?;
    same("the attempt", &(next.attempt, next.delivered), &(3, None))
}

async fn a_delivered_event_is_claimed_for_its_bookkeeping_only(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name)?;
    let lease = event.lease("first", NOW).await?;
    let lease = event.ledger().next_attempt(&lease).await?;
    let lease = event.ledger().checkpoint(&lease).await?;
    same("at the checkpoint", &lease.delivered, &Some(2))?;
    // Its worker died, and two others before one could finish.
    let mut now = NOW;
    for owner in ["second", "third"] {
        now = now.plus(LEASE * 2);
        let lease = event.lease(owner, now).await?;
        same(
            owner,
            &(lease.delivered, lease.reported_attempt()),
            &(Some(2), 2),
        )?;
    }
    now = now.plus(LEASE * 2);
    let lease = event.lease("fourth", now).await?;
    event.ledger().settle(&lease, COMPLETED, now).await?;
    let item = event.item().await?;
    let attempts = item.get("Attempts").map(String::as_str);
    same("attempts shown", &attempts, &Some("2"))
}

async fn an_event_deferred_after_delivery_stays_delivered(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name)?;
    let lease = event.lease("first", NOW).await?;
    let delivered = event.ledger().checkpoint(&lease).await?;
    event.ledger().settle(&delivered, DEFERRED, NOW).await?;
    let lease = event.lease("second", NOW).await?;
    same("delivered", &lease.delivered, &Some(1))?;

    // The checkpoint did not arrive: the settlement carries it.
    let event = Event::new(world, &format!("{name}, by its settlement"))?;
    let lease = Lease {
        delivered: Some(1),
        ..event.lease("first", NOW).await?
    };
    event.ledger().settle(&lease, DEFERRED, NOW).await?;
    let lease = event.lease("second", NOW).await?;
    same("delivered", &lease.delivered, &Some(1))
}

async fn a_finished_event_is_finished_for_everybody_and_for_good(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let given_up = Claim::PreviouslyRejected(FailureCode::TargetRefused);
    for (settlement, claim) in [
        (COMPLETED, Claim::AlreadyDone),
        (
            Settlement::Completed(Some(FailureCode::RetryStateNotWritten)),
            Claim::AlreadyDone,
        ),
        (ARCHIVED, Claim::AlreadyDone),
        (FAILED, given_up),
    ] {
        let event = Event::new(world, &format!("{name}, {settlement:?}"))?;
        event.settled(settlement).await?;
        // No sweep of expired items is relied on, nor feared.
        for now in [NOW, NOW.plus(LEASE * 2), NOW.plus(REMEMBER * 2)] {
            for owner in ["first", "second"] {
                let what = format!("{settlement:?} for the {owner} at {now}");
                same(&what, &event.claim(owner, now).await?, &claim)?;
            }
        }
    }
    Ok(())
}

async fn only_what_was_given_up_is_reopened_and_only_for_who_may(
    world: &impl World,
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
        let event = Event::new(world, &what)?;
        event.settled(settlement).await?;
        let claim = event.ask("second", NOW, reopen).await?;
        if let Claim::Acquired(lease) = &claim {
            same(&what, &(lease.attempt, lease.first_seen), &(2, NOW))?;
        }
        same(&what, &matches!(claim, Claim::Acquired(_)), &taken)?;
    }
    Ok(())
}

async fn a_reopened_event_can_be_completed(world: &impl World, name: &str) -> Result<()> {
    let event = Event::new(world, name)?;
    event.settled(ARCHIVED).await?;
    let again = event
        .ask("second", NOW, ReopenPolicy::FailedAndArchived)
        .await?;
    let lease = acquired(again)?;
    let held = event
        .ask("third", NOW, ReopenPolicy::FailedAndArchived)
        .await?;
    same("meanwhile", &held, &Claim::HeldUntil(NOW.plus(LEASE)))?;
    let lease = event.ledger().checkpoint(&lease).await?;
    event.ledger().settle(&lease, COMPLETED, NOW).await?;
    let done = event
        .ask("fourth", NOW, ReopenPolicy::FailedAndArchived)
        .await?;
    same("in the end", &done, &Claim::AlreadyDone)?;
    let code = event.item().await?.get("FailureCode").cloned();
    same("the old failure code", &code, &None)
}

async fn a_count_that_comes_late_does_not_take_attempts_back(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name)?;
    let ledger = event.ledger();
    let first = event.lease("worker", NOW).await?;
    let second = ledger.next_attempt(&first).await?;
    ledger.next_attempt(&second).await?;
    lost("the first count", &ledger.next_attempt(&first).await)?;
    // A worker that does not know how far it has counted gives the event back all the same.
    ledger.settle(&first, DEFERRED, NOW).await?;
    let next = event.lease("next", NOW).await?;
    same("the next attempt", &next.attempt, &4)
}

async fn every_write_can_be_repeated(world: &impl World, name: &str) -> Result<()> {
    for settlement in [COMPLETED, ARCHIVED, FAILED, DEFERRED] {
        let event = Event::new(world, &format!("{name}, {settlement:?}"))?;
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

async fn a_settlement_repeated_after_a_takeover_does_not_count(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name)?;
    let lease = event.lease("first", NOW).await?;
    event.ledger().settle(&lease, DEFERRED, NOW).await?;
    let other = event.lease("second", NOW).await?;
    event.fences_out(&lease).await?;
    Ok(event.ledger().settle(&other, COMPLETED, NOW).await?)
}

async fn a_call_that_did_not_act_has_changed_nothing(world: &impl World, name: &str) -> Result<()> {
    let event = Event::new(world, name)?;
    let ledger = event.ledger();
    let down = || world.next_call(Mishap::Down);
    down();
    unavailable(
        "claim",
        &event.ask("worker", NOW, ReopenPolicy::Never).await,
    )?;
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

async fn a_call_whose_answer_was_lost_can_be_repeated(
    world: &impl World,
    name: &str,
) -> Result<()> {
    for settlement in [COMPLETED, ARCHIVED, FAILED, DEFERRED] {
        let event = Event::new(world, &format!("{name}, {settlement:?}"))?;
        let ledger = event.ledger();
        let lose = || world.next_call(Mishap::AnswerLost);
        lose();
        unavailable(
            "claim",
            &event.ask("worker", NOW, ReopenPolicy::Never).await,
        )?;
        let held = Claim::HeldUntil(NOW.plus(LEASE));
        same("it acted", &event.claim("other", NOW).await?, &held)?;
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
