//! The lease and the audit of a shared plan in paused time, with a clock of the store that differs from ours.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genesys_fakes::ManualClock;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::message::Message;
use genesys_replay_cli::operator::apply::{
    ApplyError, AuditEntry, AuditEvent, FlushError, Journal, SendResult, Sender, Summary,
};
use genesys_replay_cli::operator::plan::Plan;
use genesys_replay_cli::operator::plans::{
    AuditChain, AuditWriter, Catalog, LEASE, PlansError, RunState, SharedJournal, abort, listed,
    read_audit, read_plan, store_plan, take_over,
};
use genesys_replay_cli::plan_store::PlanStore;
use genesys_test_support::TestResult;

use super::super::apply_safety::parts::{Delivered, OPTIONS, plan, run, sends};
use super::store::MemoryStore;

type Tested<T> = Result<T, Box<dyn Error>>;

/// A clock of this computer that is years behind that of the store.
fn wrong_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_500_000_000_000)))
}

async fn chain(store: &MemoryStore, plan: &Plan) -> Tested<AuditChain> {
    let catalog = Catalog::read(store, &plan.id).await?;
    Ok(read_audit(store, catalog.only()?, catalog.now).await?)
}

async fn journal(
    store: &MemoryStore,
    plan: &Plan,
    by: &str,
) -> Tested<(SharedJournal<MemoryStore>, AuditChain)> {
    let chain = chain(store, plan).await?;
    let writer = AuditWriter { by: by.to_owned(), host: None };
    let journal = SharedJournal::after(&chain, store.clone(), &plan.id, writer, wrong_clock());
    Ok((journal, chain))
}

async fn stored(items: usize) -> Tested<(MemoryStore, Plan)> {
    let (store, plan) = (MemoryStore::new(), plan(items));
    store_plan(&store, &plan).await?;
    Ok((store, plan))
}

/// A sender that counts the sends of each message.
#[derive(Clone, Default)]
struct Counted(Arc<Mutex<BTreeMap<String, usize>>>, Delivered);

impl Sender for Counted {
    fn is_followed(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        "nowhere".to_owned()
    }

    async fn send(&self, messages: &[Message]) -> Result<Vec<SendResult>, AwsError> {
        {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for message in messages {
                *counts.entry(message.id.to_string()).or_default() += 1;
            }
        }
        sends(&self.1, usize::MAX).send(messages).await
    }
}

/// Applies or resumes a plan, as the command does.
async fn apply(
    store: &MemoryStore,
    plan: &Plan,
    by: &str,
    sender: &Counted,
) -> Tested<Result<Summary, ApplyError>> {
    let (mut journal, chain) = journal(store, plan, by).await?;
    tokio::time::sleep(chain.unsettled_for).await;
    Ok(run(plan, OPTIONS, sender.clone(), &sender.1, &mut journal, chain.history).await)
}

fn part(plan: &Plan, number: u64) -> String {
    format!("plans/{}/audit/{number:08}.jsonl", plan.id)
}

#[tokio::test(start_paused = true)]
async fn lease_ends_by_the_clock_of_the_store() -> TestResult {
    let (store, plan) = stored(1).await?;
    let (mut first, before) = journal(&store, &plan, "marta").await?;
    assert_eq!(before.state, RunState::New);
    first.write(&AuditEntry { at: "t".to_owned(), event: AuditEvent::Wave { size: 1 } })?;
    first.flush().await?;
    let held = chain(&store, &plan).await?.state;
    assert_eq!(held.held_from("ben").map(|lease| lease.by.as_str()), Some("marta"));
    assert!(held.held_from("marta").is_some(), "another process of the same operator");
    // A running process extends its lease without an entry.
    for _ in 0..20 {
        tokio::time::sleep(LEASE / 5).await;
        first.flush().await?;
        let state = chain(&store, &plan).await?.state;
        assert!(state.lease().is_some_and(|lease| !lease.is_over), "{state:?}");
    }
    tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
    let state = chain(&store, &plan).await?.state;
    assert_eq!(state.as_str(), "abandoned");
    assert!(state.held_from("marta").is_none(), "operators continue their own plans");
    assert!(state.held_from("ben").is_some(), "others take the plan over first");
    let (mut second, _) = journal(&store, &plan, "ben").await?;
    take_over(&mut second, "ben", "marta", wrong_clock().as_ref()).await?;
    let state = chain(&store, &plan).await?.state;
    assert_eq!(state.as_str(), "taken over");
    assert!(state.held_from("ben").is_none() && state.held_from("marta").is_some(), "{state:?}");
    let lost = first.flush().await;
    assert_eq!(lost, Err(FlushError::Superseded { by: "ben".to_owned() }));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn item_is_sent_once_when_a_slow_apply_is_taken_over() -> TestResult {
    // The answer to the part that announces the canary is late. Part 1 has the begin of the run.
    for delay in [20, 40, 100] {
        let (store, plan) = stored(3).await?;
        let sender = Counted::default();
        let slow = store.slow(&part(&plan, 2), Duration::from_secs(delay));
        let first = async { apply(&slow, &plan, "marta", &sender).await };
        let second = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (mut journal, _) = journal(&store, &plan, "ben").await?;
            take_over(&mut journal, "ben", "marta", wrong_clock().as_ref()).await?;
            apply(&store, &plan, "ben", &sender).await
        };
        let (first, second) = tokio::join!(first, second);
        let lost = ApplyError::Flush(FlushError::Superseded { by: "ben".to_owned() });
        assert_eq!(first?.err().map(|it| it.to_string()), Some(lost.to_string()), "{delay}");
        assert!(second??.is_well());
        let counts = sender.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(counts.values().copied().collect::<Vec<_>>(), [1, 1, 1], "{delay}: {counts:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn slow_part_is_followed_by_another_before_the_send() -> TestResult {
    let (store, plan) = stored(1).await?;
    let sender = Counted::default();
    let slow = store.slow(&part(&plan, 2), Duration::from_secs(20));
    assert!(apply(&slow, &plan, "marta", &sender).await??.is_well());
    let parts = [2, 3].map(|number| store.text(&part(&plan, number)));
    assert!(parts[0].contains("\"sending\""), "{parts:?}");
    assert_eq!(parts[1].lines().count(), 1, "only the number is taken: {parts:?}");
    assert_eq!(sender.0.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn two_applies_at_once_send_each_item_once() -> TestResult {
    let (store, plan) = stored(30).await?;
    let sender = Counted::default();
    let (first, second) =
        tokio::join!(apply(&store, &plan, "marta", &sender), apply(&store, &plan, "ben", &sender));
    let ended = [first?, second?].map(|ended| ended.is_ok());
    assert!(ended[0] ^ ended[1], "one of both sends: {ended:?}");
    let counts = sender.0.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(counts.len(), 30);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn aborted_apply_stops_before_its_next_send() -> TestResult {
    let (store, plan) = stored(2).await?;
    let sender = Counted::default();
    let slow = store.slow(&part(&plan, 2), Duration::from_secs(20));
    let aborting = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (mut journal, _) = journal(&store, &plan, "ben").await?;
        abort(&mut journal, "ben", "wrong target", wrong_clock().as_ref()).await?;
        Tested::Ok(())
    };
    let (ended, aborted) = tokio::join!(apply(&slow, &plan, "marta", &sender), aborting);
    aborted?;
    assert!(matches!(ended?, Err(ApplyError::Flush(FlushError::Superseded { .. }))));
    assert!(sender.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
    let state = chain(&store, &plan).await?.state;
    assert!(matches!(state, RunState::Aborted { .. }), "{state:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn audit_is_refused_when_a_part_is_missing_or_damaged() -> TestResult {
    let (store, plan) = stored(3).await?;
    assert!(apply(&store, &plan, "marta", &Counted::default()).await??.is_well());
    let second = part(&plan, 2);
    let text = store.text(&second);
    let third = store.text(&part(&plan, 3));
    let changed = text.replace("e-0", "e-9");
    assert_ne!(changed, text);
    for (content, says) in [
        (None, "is missing"),
        (Some(changed.as_str()), "the next part has another digest"),
        (Some("no audit"), "a line cannot be read"),
        (Some(third.as_str()), "it is a part of another audit"),
        (Some(""), "it does not begin as a part"),
    ] {
        store.set(&second, content);
        let refused = chain(&store, &plan).await.err().map(|it| it.to_string());
        let refused = refused.unwrap_or_default();
        assert!(refused.contains(says) && refused.contains("00000002.jsonl"), "{refused}");
    }
    store.set(&second, Some(&text));
    assert!(chain(&store, &plan).await.is_ok());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn plan_is_refused_when_it_is_too_long_or_damaged() -> TestResult {
    let (store, plan) = stored(1).await?;
    store_plan(&store, &plan).await?;
    let mut content = plan.content.clone();
    content.reason = "x".repeat(64 * 1024 * 1024);
    let long = Plan::of(content);
    let refused = store_plan(&store, &long).await;
    assert!(matches!(refused, Err(PlansError::TooLong { .. })), "{refused:?}");
    assert!(store.list(&format!("plans/{}", long.id)).await?.objects.is_empty());
    let key = format!("plans/{}/plan.json", plan.id);
    let text = store.text(&key);
    for (content, says) in [
        (Some(text.replace("marta", "ben")), "does not match the hash"),
        (Some("{}".to_owned()), "not a plan of this version"),
        (None, "is missing"),
    ] {
        store.set(&key, content.as_deref());
        let refused = read_plan(&store, &plan.id).await.err().map(|it| it.to_string());
        assert!(refused.as_ref().is_some_and(|it| it.contains(says)), "{says}: {refused:?}");
    }
    // Without its plan, the folder cannot be listed.
    let catalog = Catalog::read(&store, "").await?;
    let listed = listed(&store, &catalog).await;
    assert!(matches!(&listed[..], [(_, Err(PlansError::Missing { .. }))]), "{listed:?}");
    Ok(())
}
