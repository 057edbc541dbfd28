//! The attributes of an item in the ledger.

use std::collections::BTreeMap;

use genesys_replay::ledger::{Ledger, ReplayNote};

use super::super::{Result, same};
use super::event::{COMPLETED, DEFERRED, Event, LEASE, NOW};
use super::{LedgerSuite, REMEMBER};

pub(super) async fn item_shows_the_state_of_the_event(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let lease = event.lease("first", NOW).await?;
    let lease_until = NOW.plus(LEASE).as_millis().to_string();
    let expires_at = NOW.plus(REMEMBER).as_secs().to_string();
    let first_seen = NOW.to_string();
    let retry_since = NOW.as_millis().to_string();
    let mut shown = attributes(&[
        ("EventId", event.key.as_str()),
        ("Status", "IN_PROGRESS"),
        ("Step", "CLAIMED"),
        ("Owner", "first"),
        ("LeaseUntil", &lease_until),
        ("Attempts", "1"),
        ("FirstSeenAt", &first_seen),
        ("RetrySince", &retry_since),
        ("Rounds", "1"),
        ("ExpiresAt", &expires_at),
        ("MessageId", event.message_id.as_str()),
        ("InteractionId", "c-1"),
        ("Category", "UNKNOWN"),
        ("Target", "none"),
    ]);
    same("claimed", &event.item().await?, &shown)?;

    let lease = event.ledger().checkpoint(&lease).await?;
    shown.extend(attributes(&[("Step", "REPLAYED"), ("DeliveredAttempt", "1")]));
    same("delivered", &event.item().await?, &shown)?;

    let later = NOW.plus(LEASE);
    let (processed_at, expires_at) =
        (later.to_string(), later.plus(REMEMBER).as_secs().to_string());
    event.ledger().settle(&lease, DEFERRED, later).await?;
    shown.extend(attributes(&[
        ("Status", "DEFERRED"),
        ("FailureCode", "OUT_OF_TIME"),
        ("ProcessedAt", &processed_at),
        ("ExpiresAt", &expires_at),
    ]));
    same("deferred", &event.item().await?, &shown)?;

    // The next message may have less information.
    let event = Event { interaction_id: None, ..event };
    let lease = event.lease("second", later).await?;
    let lease_until = later.plus(LEASE).as_millis().to_string();
    shown.extend(attributes(&[
        ("Status", "IN_PROGRESS"),
        ("Owner", "second"),
        ("LeaseUntil", &lease_until),
        ("Attempts", "2"),
    ]));
    same("claimed again", &event.item().await?, &shown)?;

    event.ledger().settle(&lease, COMPLETED, later).await?;
    shown.extend(attributes(&[("Status", "COMPLETED"), ("Attempts", "1")]));
    shown.remove("FailureCode");
    same("completed", &event.item().await?, &shown)
}

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(super) async fn claim_stores_the_note_of_an_operator_replay(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let replay = ReplayNote { plan: "plan-1", by: Some("marta"), reason: Some("ticket 4711") };
    let event = Event { replay: Some(replay), ..Event::new(suite, name)? };
    event.settled(DEFERRED).await?;
    let note = |item: BTreeMap<String, String>| {
        ["PlanId", "By", "Reason"].map(|name| item.get(name).cloned())
    };
    let stored = ["plan-1", "marta", "ticket 4711"].map(|text| Some(text.to_owned()));
    same("stored", &note(event.item().await?), &stored)?;

    // A message without a plan does not change the note.
    let event = Event { replay: None, ..event };
    let lease = event.lease("second", NOW.plus(LEASE)).await?;
    event.ledger().settle(&lease, DEFERRED, NOW.plus(LEASE)).await?;
    same("kept", &note(event.item().await?), &stored)?;

    // The next plan may have less information, and does not keep that of another plan.
    let replay = ReplayNote { plan: "plan-2", by: None, reason: None };
    let event = Event { replay: Some(replay), ..event };
    event.lease("third", NOW.plus(LEASE * 2)).await?;
    let stored = [Some("plan-2".to_owned()), None, None];
    same("replaced", &note(event.item().await?), &stored)
}

pub(super) async fn refused_claim_changes_nothing(
    suite: &impl LedgerSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name)?;
    let lease = event.lease("first", NOW).await?;
    let item = event.item().await?;
    event.claim("second", NOW).await?;
    same("while it is held", &event.item().await?, &item)?;
    event.ledger().settle(&lease, COMPLETED, NOW).await?;
    let item = event.item().await?;
    event.claim("second", NOW).await?;
    same("when it is done", &event.item().await?, &item)
}
