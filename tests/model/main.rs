//! An exhaustive model of a claim: one event, two workers at a time, leases that end, lost responses, late
//! calls, and a crash at any moment. A scenario explores every possible step within its bounds and checks
//! the invariants of every state.
//!
//! Shared with the code: the `Rules` of the fake ledger change the item, and the conformance suite checks
//! that `DynamoDB` has the same rules. The `Witness` is the one of the simulation. `worker.rs` repeats the
//! steps of a worker between its calls: compare it with the code.
//!
//! Not in the model: the order inside one batch, circuit breakers, and marks, except that one may fail.
//!
//! The search is our own (`explore.rs`), because `stateright` 0.31 needs fifteen crates, among them a web
//! server, and its `eventually` misses paths that join. This search shows that every path has an end and
//! checks every end.
//!
//! `MODEL=deep cargo test --test model -- --nocapture` has wider bounds than `make test`.

mod explore;
mod item;
mod labels;
mod scenario;
mod state;
mod steps;
mod worker;

use tokio::time::Instant;

use genesys_fakes::{Clocks, Flaw, Status};

use explore::{Counterexample, Exploration};
use item::{Change, ItemState, Ledger};
use scenario::{Messages, Scenario, WorkerBug};
use state::{Call, InvariantError, ModelState, Place};
use steps::ClaimModel;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// A situation that a scenario must reach. Otherwise the scenario proves nothing.
#[derive(Clone, Copy, Debug)]
enum Situation {
    Archived,
    Parked,
    /// The target accepts a duplicate.
    Repeated,
    /// A redelivery only settles a delivered event.
    OnlySettlement,
    /// Acknowledged as delivered, without a settlement.
    AcknowledgeUnrecorded,
    /// Archived by a worker that crashed then, delivered by the next one.
    DeliveredAndArchived,
    /// Delivered in a second round.
    SecondRound,
    /// Archived after a late failure of its only round.
    LastRound,
    /// A failure record of an earlier delivery is acknowledged.
    EarlierRecord,
    /// Two workers deliver at the same time.
    Overtaken,
}

impl Situation {
    fn is_in(self, state: &ModelState) -> bool {
        let mut workers = state.workers.iter();
        match self {
            Self::Archived => state.has(Status::Archived),
            Self::Parked => state.is_parked(),
            Self::Repeated => state.witness.accepted_times() > 1,
            Self::OnlySettlement => workers.any(|worker| {
                worker.call == Call::Change(Change::Complete)
                    && worker.held.delivered.is_some_and(|it| it < worker.held.attempt)
            }),
            Self::AcknowledgeUnrecorded => {
                state.acknowledged_unrecorded && state.has(Status::InProgress)
            }
            Self::DeliveredAndArchived => state.has(Status::Completed) && state.is_archived,
            Self::SecondRound => {
                let second = |item: ItemState| item.status == Status::Completed && item.round == 2;
                state.item.is_some_and(second)
            }
            Self::LastRound => {
                let last = |item: ItemState| item.status == Status::Archived && item.round > 1;
                state.item.is_some_and(last)
            }
            Self::EarlierRecord => {
                let last = state.witness.accepted_times();
                let mut messages = state.messages.iter();
                state.has(Status::Completed)
                    && messages.any(|message| {
                        message.report.is_some_and(|it| it < last)
                            && message.place == Place::Acknowledged
                    })
            }
            Self::Overtaken => workers.filter(|worker| worker.call == Call::Deliver).count() > 1,
        }
    }
}

fn is_deep() -> bool {
    std::env::var("MODEL").is_ok_and(|it| it == "deep")
}

fn explore(
    scenario: Scenario,
) -> Result<
    Result<Exploration<ClaimModel>, Counterexample<InvariantError>>,
    Box<dyn std::error::Error>,
> {
    Ok(Exploration::of(&model(scenario)?))
}

fn model(scenario: Scenario) -> Result<ClaimModel, Box<dyn std::error::Error>> {
    let ledger = Ledger::new(scenario.rules).ok_or("no ledger to start from")?;
    Ok(ClaimModel { scenario, ledger })
}

/// Explores a scenario and checks that it reaches the situations.
#[expect(clippy::print_stdout, reason = "the figures, for --nocapture")]
fn check_scenario(name: &str, scenario: Scenario, situations: &[Situation]) -> TestResult {
    let begun = Instant::now();
    let all = explore(scenario)?.map_err(|found| format!("{name}:\n{found}"))?;
    println!(
        "{name}: {} states, {} steps, {} ends, depth {}, {:.1} s",
        all.states(),
        all.steps,
        all.ends,
        all.depth,
        begun.elapsed().as_secs_f32()
    );
    assert!(all.terminates, "{name}: some path has no end");
    let model = model(scenario)?;
    for situation in situations {
        let path = all.path_to(&model, |state| situation.is_in(state));
        let path = path.ok_or_else(|| format!("{name}: {situation:?} never happens"))?;
        println!("{name}: {situation:?} after {} steps", path.len());
        for line in path {
            println!("  {line}");
        }
    }
    Ok(())
}

#[test]
fn invariants_hold_with_one_crash_and_one_lost_response() -> TestResult {
    let situations = [
        Situation::Archived,
        Situation::Parked,
        Situation::Repeated,
        Situation::OnlySettlement,
        Situation::AcknowledgeUnrecorded,
        Situation::DeliveredAndArchived,
    ];
    let scenario = Scenario {
        max_attempts: if is_deep() { 3 } else { 2 },
        early_redeliveries: u8::from(is_deep()),
        ..Scenario::base()
    };
    check_scenario("one death, one lost answer", scenario, &situations)
}

// Three attempts are needed: a late repeated count of the second attempt changes the third one only.
#[test]
fn invariants_hold_with_a_stale_receive_count() -> TestResult {
    let scenario = Scenario { max_attempts: 3, max_receives: 2, ..Scenario::base() };
    check_scenario("three tries, one death, one lost answer", scenario, &[Situation::Repeated])
}

#[test]
fn invariants_hold_with_two_crashes() -> TestResult {
    let scenario =
        Scenario { crashes: 2, lost_responses: if is_deep() { 2 } else { 0 }, ..Scenario::base() };
    check_scenario("two deaths", scenario, &[Situation::Repeated])
}

#[test]
fn invariants_hold_with_one_message_at_two_workers() -> TestResult {
    let early_redeliveries = Scenario {
        early_redeliveries: if is_deep() { 2 } else { 1 },
        max_receives: 3,
        ..Scenario::base()
    };
    let (crashes, lost_responses) = (0, 0);
    check_scenario(
        "handed out twice, one death",
        Scenario { lost_responses, ..early_redeliveries },
        &[Situation::OnlySettlement],
    )?;
    check_scenario(
        "handed out twice, one lost answer",
        Scenario { crashes, ..early_redeliveries },
        &[Situation::OnlySettlement],
    )
}

#[test]
fn invariants_hold_when_targets_fail_after_acceptance() -> TestResult {
    let another_round = Scenario::failing_later(2);
    let last_round = Scenario::failing_later(1);
    let (crashes, lost_responses) = (0, 1);
    for (name, bounds) in [
        ("one death", another_round),
        ("one lost answer", Scenario { crashes, lost_responses, ..another_round }),
    ] {
        let name = format!("a later failure, {name}");
        check_scenario(&name, bounds, &[Situation::SecondRound])?;
    }
    check_scenario("a last round, one death", last_round, &[Situation::LastRound])?;
    let twice = Scenario { crashes, late_failures: 2, ..another_round };
    check_scenario("two later failures", twice, &[Situation::LastRound, Situation::EarlierRecord])
}

#[test]
fn invariants_hold_with_duplicate_messages_of_one_event() -> TestResult {
    check_scenario("two messages", two_messages(), &[Situation::Repeated])
}

#[test]
fn invariants_hold_with_an_operator_replay() -> TestResult {
    let scenario = Scenario { messages: Messages::SecondSentAgain, ..two_messages() };
    check_scenario("sent again by an operator", scenario, &[Situation::DeliveredAndArchived])
}

fn two_messages() -> Scenario {
    Scenario {
        messages: Messages::Two,
        lost_responses: u8::from(is_deep()),
        max_attempts: 1,
        last_receive: 1,
        max_receives: 2,
        ..Scenario::base()
    }
}

#[test]
fn rejected_event_is_parked_without_an_archive() -> TestResult {
    let scenario = Scenario { archive: false, ..Scenario::base() };
    check_scenario("no archive", scenario, &[Situation::Parked])
}

#[test]
fn ledger_item_outlives_the_retention_of_its_message() -> TestResult {
    let scenario =
        Scenario { days_may_pass: true, lost_responses: u8::from(is_deep()), ..Scenario::base() };
    check_scenario("thirteen days", scenario, &[Situation::OnlySettlement])
}

#[test]
fn invariants_hold_when_a_lease_is_taken_over() -> TestResult {
    let unbounded = Scenario {
        clocks: Clocks::Unbounded,
        crashes: u8::from(is_deep()),
        lost_responses: 0,
        early_redeliveries: 1,
        ..Scenario::base()
    };
    let lost_responses = 1;
    let (crashes, early_redeliveries) = (0, u8::from(is_deep()));
    check_scenario("unbounded clocks", unbounded, &[Situation::Overtaken, Situation::Repeated])?;
    check_scenario(
        "unbounded clocks, one lost answer",
        Scenario { crashes, lost_responses, early_redeliveries, ..unbounded },
        &[Situation::Repeated],
    )
}

#[test]
#[expect(clippy::print_stdout, reason = "the counterexamples, for --nocapture")]
fn injected_bugs_are_all_caught() -> TestResult {
    for flaw in Flaw::ALL {
        let clocks = match flaw {
            // Only the conditions on its writes stop a former holder.
            Flaw::NoFencing | Flaw::ReleaseWithoutOwner => Clocks::Unbounded,
            Flaw::NoLease
            | Flaw::NoCheckpoint
            | Flaw::AttemptsStartOver
            | Flaw::ExpiresTooSoon
            | Flaw::RoundsNotCounted => Clocks::Bounded,
        };
        let scenario = if flaw == Flaw::RoundsNotCounted {
            Scenario::failing_later(1)
        } else {
            Scenario::minimal(clocks)
        };
        let found = explore(scenario.flawed(flaw))?
            .err()
            .ok_or_else(|| format!("{flaw:?} is not caught"))?;
        println!("{flaw:?}, {} steps:\n{found}", found.trace.len());
    }
    for worker_bug in WorkerBug::ALL {
        let base = match worker_bug {
            WorkerBug::IgnoresLaterFailures | WorkerBug::ComparesNoDeliveries => {
                Scenario::failing_later(2)
            }
            WorkerBug::AcknowledgesFirst
            | WorkerBug::ArchivesLast
            | WorkerBug::ContinuesWithoutClaim
            | WorkerBug::CountsNoRetry
            | WorkerBug::LeaseEndsEarly
            | WorkerBug::ReleasesAccepted => Scenario::minimal(Clocks::Bounded),
        };
        let scenario = Scenario {
            worker_bug: Some(worker_bug),
            lost_responses: u8::from(worker_bug == WorkerBug::ContinuesWithoutClaim),
            ..base
        };
        let found =
            explore(scenario)?.err().ok_or_else(|| format!("{worker_bug:?} is not caught"))?;
        println!("{worker_bug:?}, {} steps:\n{found}", found.trace.len());
    }
    Ok(())
}
