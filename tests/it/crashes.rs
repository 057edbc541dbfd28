//! The real program, killed with SIGKILL at any call: the next process loses no event, and does not deliver
//! events with a checkpoint again.

use std::collections::BTreeMap;
use std::error::Error;

use aws_sdk_dynamodb::types::AttributeValue;
use fastrand::Rng;
use genesys_stand_in::Fault;
use genesys_test_support::{
    Function, Invocation, Record, ReplayHarness, TestResult, event, eventually,
};
use serde_json::Value;

/// Events in a batch.
const EVENTS: usize = 8;

/// The number of kills before the last run.
const KILLS: u32 = 4;

/// The state of an event between two runs of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct EventState {
    /// The number of acceptances.
    accepted: usize,
    /// The ledger has a checkpoint.
    recorded: bool,
    /// The attempts in the ledger.
    attempts: u32,
}

/// The events of a harness, redelivered until they are acknowledged.
struct Batch<'w> {
    harness: &'w ReplayHarness,
    receives: u32,
    open: Vec<usize>,
}

impl Batch<'_> {
    fn records(&mut self) -> Vec<Record> {
        self.receives += 1;
        let record = |number: &usize| {
            let (message, name) = (format!("m-{number}"), format!("e-{number}"));
            Record::dead_letter(&message, &name, &format!("c-{number}")).received(self.receives)
        };
        self.open.iter().map(record).collect()
    }

    /// Removes the acknowledged messages.
    fn acknowledge(&mut self, answer: &Value) {
        let failures = answer["batchItemFailures"].as_array();
        let back: Vec<_> = failures
            .into_iter()
            .flatten()
            .filter_map(|failure| failure["itemIdentifier"].as_str())
            .collect();
        self.open.retain(|number| back.contains(&format!("m-{number}").as_str()));
    }

    /// Kills the program at the call after this many. That call gets no response, so that the program cannot
    /// finish before the kill. `acts`: the call has its effect.
    async fn killed_at_call(&mut self, calls: u32, acts: bool) -> TestResult {
        let genesys = &self.harness.genesys;
        genesys.fault(Fault::default().times(calls));
        let last = Fault::default().hang();
        genesys.fault(if acts { last.act() } else { last });
        let before = genesys.calls().len();
        let function =
            Function::start(crate::REPLAY, self.harness.settings(), &self.harness.aws).await?;
        function.send(event(&self.records()))?;
        let expected = before + usize::try_from(calls)? + 1;
        eventually(&format!("{calls} calls and one more"), async || {
            let calls = self.harness.genesys.calls().len();
            Ok((calls >= expected).then_some(()))
        })
        .await?;
        function.end().await?;
        self.harness.genesys.clear_faults();
        Ok(())
    }

    /// Runs the program until it responds.
    async fn finished(&mut self) -> TestResult {
        let mut function =
            Function::start(crate::REPLAY, self.harness.settings(), &self.harness.aws).await?;
        let Invocation::Response(answer) = function.invoke(event(&self.records())).await? else {
            return Err("the batch failed".into());
        };
        self.acknowledge(&answer);
        Ok(())
    }

    /// Returns the state of each event in target and ledger.
    async fn state(&self) -> Result<BTreeMap<usize, EventState>, Box<dyn Error>> {
        let mut state = BTreeMap::new();
        let calls = self.harness.genesys.calls_to("POST", "/targets/");
        for number in 0..EVENTS {
            let key = self.harness.key(&format!("e-{number}"));
            let name = self.harness.idempotency_key(&format!("e-{number}"));
            let of_it =
                |call: &&genesys_stand_in::Call| call.headers.get("idempotency-key") == Some(&name);
            let attribute = |name| self.harness.aws.attribute(&key, name);
            let attempts = attribute("Attempts").await?;
            let about = EventState {
                accepted: calls.iter().filter(of_it).filter(|call| call.acted).count(),
                recorded: attribute("Step").await?.as_deref() == Some("REPLAYED"),
                attempts: attempts.unwrap_or_default().parse().unwrap_or_default(),
            };
            state.insert(number, about);
        }
        Ok(state)
    }
}

/// Ends the leases of a killed worker, instead of a long wait.
async fn end_leases(harness: &ReplayHarness) -> TestResult {
    for number in 0..EVENTS {
        let key = AttributeValue::S(harness.key(&format!("e-{number}")));
        let past = AttributeValue::N("1".to_owned());
        let update = harness.aws.dynamodb().update_item();
        let ended = update
            .table_name(&harness.aws.table)
            .key("EventId", key)
            .condition_expression("attribute_exists(LeaseUntil)")
            .update_expression("SET LeaseUntil = :past")
            .expression_attribute_values(":past", past)
            .send()
            .await;
        // Unclaimed events have no lease.
        if let Err(error) = ended {
            let error = error.into_service_error();
            if !error.is_conditional_check_failed_exception() {
                return Err(error.into());
            }
        }
    }
    Ok(())
}

async fn survives_being_killed(seed: u64) -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("MAX_RECEIVES", "100");
    harness.set("MAX_CONCURRENCY", "3");
    let mut chance = Rng::with_seed(seed);
    let mut batch = Batch { harness: &harness, receives: 0, open: (0..EVENTS).collect() };
    let mut before = batch.state().await?;
    for _ in 0..KILLS {
        // A token, then GET, PATCH, POST, PATCH per undelivered event: the program needs more calls than it gets.
        let undelivered = before.values().filter(|state| !state.recorded).count();
        if undelivered == 0 {
            break;
        }
        let calls = chance.u32(0..4 * u32::try_from(undelivered)?);
        batch.killed_at_call(calls, chance.bool()).await?;
        let after = batch.state().await?;
        compare(seed, &before, &after)?;
        end_leases(&harness).await?;
        before = after;
    }
    batch.finished().await?;
    let after = batch.state().await?;
    compare(seed, &before, &after)?;
    assert!(batch.open.is_empty(), "seed {seed}: {:?} are open", batch.open);
    for (number, state) in after {
        let id = format!("e-{number}");
        assert!(state.accepted >= 1 && state.recorded, "seed {seed}: {id} {state:?}");
        assert_eq!(harness.state(&id).await?, "COMPLETED", "seed {seed}: {id}");
        let marks = harness.genesys.calls_to("PATCH", &format!("/conversations/c-{number}/"));
        let last = marks.last().map(|call| call.body.contains("replay_successful"));
        assert_eq!(last, Some(true), "seed {seed}: the last mark of {id}");
    }
    Ok(())
}

/// Checks the changes of an event between two runs of the program.
fn compare(
    seed: u64,
    before: &BTreeMap<usize, EventState>,
    after: &BTreeMap<usize, EventState>,
) -> TestResult {
    for (number, then) in before {
        let now = after.get(number).ok_or("an event is gone")?;
        let change = format!("seed {seed}: e-{number}: {then:?}, then {now:?}");
        assert!(now.recorded || !then.recorded, "forgotten: {change}");
        if then.recorded {
            // The attempts may decrease: a claim of a delivered event counts as an attempt until its settlement.
            assert_eq!(now.accepted, then.accepted, "delivered again: {change}");
        } else {
            assert!(now.recorded || now.attempts >= then.attempts, "attempts go back: {change}");
            assert!(now.accepted <= then.accepted + 1, "delivered twice at once: {change}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn killed_program_loses_no_event_and_repeats_only_lost_answers() -> TestResult {
    for seed in 0..6 {
        survives_being_killed(seed).await?;
    }
    Ok(())
}
