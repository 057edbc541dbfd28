//! The life of a claim, exhaustively: one event, two workers at a time, leases that end, answers that get
//! lost, calls that act late, and a death at any moment. Within its bounds a scenario does everything that
//! can be done, and no state on the way may be wrong.
//!
//! What is shared with the code: the ledger's item changes by the `Rules` of the fake ledger, which the
//! conformance suite holds equal to `DynamoDB`'s, and the `Witness` is the simulation's too. What a worker does
//! between its calls is written down once more, in `worker.rs`; there the code has to be read beside it.
//!
//! Left out: what happens inside one batch (two messages of an event follow each other there), circuit breakers, and
//! marks, except that one may fail.
//!
//! The search is our own (`explore.rs`): `stateright` 0.31 would bring fifteen crates, a web server among them
//! and no way to leave it out, and its `eventually` overlooks paths that meet; here every path is shown to
//! end, and every end is looked at.
//!
//! `MODEL=deep cargo test --test model -- --nocapture` goes further than the slice of `make test`.

mod explore;
mod item;
mod scenario;
mod steps;
mod words;
mod worker;
mod world;

use std::time::Instant;

use genesys_fakes::{Clocks, Flaw, Status};

use explore::{Counterexample, Explored};
use item::{Change, Kept, Ledger};
use scenario::{Messages, Mistake, Scenario};
use steps::ClaimLife;
use world::{Call, Place, World, Wrong};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// Something that a scenario must contain, or it proves nothing.
#[derive(Clone, Copy, Debug)]
enum Sight {
    Archived,
    Parked,
    /// The target accepts it a second time.
    Repeated,
    /// A redelivery finds that only the bookkeeping is left.
    OnlyBookkeeping,
    /// Acknowledged as delivered, with an item that says less.
    LetGo,
    /// Archived by a worker that died of it, delivered by the next.
    DeliveredAndArchived,
    /// Delivered in a second round.
    SecondRound,
    /// Archived after its only round has failed later.
    LastRound,
    /// A record of an earlier delivery is acknowledged.
    EarlierRecord,
    /// Two workers are about to deliver.
    Overtaken,
}

impl Sight {
    fn is_in(self, world: &World) -> bool {
        let mut workers = world.workers.iter();
        match self {
            Self::Archived => world.has(Status::Archived),
            Self::Parked => world.is_parked(),
            Self::Repeated => world.witness.accepted_times() > 1,
            Self::OnlyBookkeeping => workers.any(|worker| {
                worker.call == Call::Change(Change::Complete)
                    && worker
                        .held
                        .delivered
                        .is_some_and(|it| it < worker.held.attempt)
            }),
            Self::LetGo => world.let_go && world.has(Status::InProgress),
            Self::DeliveredAndArchived => world.has(Status::Completed) && world.is_archived,
            Self::SecondRound => {
                let second = |item: Kept| item.status == Status::Completed && item.round == 2;
                world.item.is_some_and(second)
            }
            Self::LastRound => {
                let last = |item: Kept| item.status == Status::Archived && item.round > 1;
                world.item.is_some_and(last)
            }
            Self::EarlierRecord => {
                let last = world.witness.accepted_times();
                let mut messages = world.messages.iter();
                world.has(Status::Completed)
                    && messages.any(|message| {
                        message.report.is_some_and(|it| it < last)
                            && message.place == Place::Acknowledged
                    })
            }
            Self::Overtaken => {
                workers
                    .filter(|worker| worker.call == Call::Deliver)
                    .count()
                    > 1
            }
        }
    }
}

fn is_deep() -> bool {
    std::env::var("MODEL").is_ok_and(|it| it == "deep")
}

fn explored(
    scenario: Scenario,
) -> Result<Result<Explored<ClaimLife>, Counterexample<Wrong>>, Box<dyn std::error::Error>> {
    Ok(Explored::of(&model(scenario)?))
}

fn model(scenario: Scenario) -> Result<ClaimLife, Box<dyn std::error::Error>> {
    let ledger = Ledger::new(scenario.rules).ok_or("no ledger to start from")?;
    Ok(ClaimLife { scenario, ledger })
}

/// Goes through everything that a scenario can do.
#[expect(clippy::print_stdout, reason = "how much was seen, for --nocapture")]
fn prove(name: &str, scenario: Scenario, sights: &[Sight]) -> TestResult {
    let begun = Instant::now();
    let all = explored(scenario)?.map_err(|found| format!("{name}:\n{found}"))?;
    println!(
        "{name}: {} states, {} steps, {} ends, depth {}, {:.1} s",
        all.states(),
        all.steps,
        all.ends,
        all.depth,
        begun.elapsed().as_secs_f32()
    );
    assert!(all.terminates, "{name}: it may go on for ever");
    let model = model(scenario)?;
    for sight in sights {
        let way = all.way_to(&model, |world| sight.is_in(world));
        let way = way.ok_or_else(|| format!("{name}: {sight:?} never happens"))?;
        println!("{name}: {sight:?} after {} steps", way.len());
        for line in way {
            println!("  {line}");
        }
    }
    Ok(())
}

#[test]
fn invariants_hold_with_one_crash_and_one_lost_response() -> TestResult {
    let sights = [
        Sight::Archived,
        Sight::Parked,
        Sight::Repeated,
        Sight::OnlyBookkeeping,
        Sight::LetGo,
        Sight::DeliveredAndArchived,
    ];
    let scenario = Scenario {
        tries: if is_deep() { 3 } else { 2 },
        early: u8::from(is_deep()),
        ..Scenario::ordinary()
    };
    prove("one death, one lost answer", scenario, &sights)
}

// Only the third attempt can be told from the second by a count that was repeated and acts late.
#[test]
fn invariants_hold_with_a_stale_receive_count() -> TestResult {
    let scenario = Scenario {
        tries: 3,
        most_receives: 2,
        ..Scenario::ordinary()
    };
    prove(
        "three tries, one death, one lost answer",
        scenario,
        &[Sight::Repeated],
    )
}

#[test]
fn invariants_hold_with_two_crashes() -> TestResult {
    let scenario = Scenario {
        deaths: 2,
        losses: if is_deep() { 2 } else { 0 },
        ..Scenario::ordinary()
    };
    prove("two deaths", scenario, &[Sight::Repeated])
}

#[test]
fn invariants_hold_with_one_message_at_two_workers() -> TestResult {
    let early = Scenario {
        early: if is_deep() { 2 } else { 1 },
        most_receives: 3,
        ..Scenario::ordinary()
    };
    let (deaths, losses) = (0, 0);
    prove(
        "handed out twice, one death",
        Scenario { losses, ..early },
        &[Sight::OnlyBookkeeping],
    )?;
    prove(
        "handed out twice, one lost answer",
        Scenario { deaths, ..early },
        &[Sight::OnlyBookkeeping],
    )
}

#[test]
fn invariants_hold_when_targets_fail_after_acceptance() -> TestResult {
    let another_round = Scenario::failing_later(2);
    let last_round = Scenario::failing_later(1);
    let (deaths, losses) = (0, 1);
    for (name, bounds) in [
        ("one death", another_round),
        (
            "one lost answer",
            Scenario {
                deaths,
                losses,
                ..another_round
            },
        ),
    ] {
        let name = format!("a later failure, {name}");
        prove(&name, bounds, &[Sight::SecondRound])?;
    }
    prove("a last round, one death", last_round, &[Sight::LastRound])?;
    let twice = Scenario {
        deaths,
        failures: 2,
        ..another_round
    };
    prove(
        "two later failures",
        twice,
        &[Sight::LastRound, Sight::EarlierRecord],
    )
}

#[test]
fn invariants_hold_with_duplicate_messages_of_one_event() -> TestResult {
    prove("two messages", two_messages(), &[Sight::Repeated])
}

#[test]
fn invariants_hold_with_an_operator_replay() -> TestResult {
    let scenario = Scenario {
        messages: Messages::SecondSentAgain,
        ..two_messages()
    };
    prove(
        "sent again by an operator",
        scenario,
        &[Sight::DeliveredAndArchived],
    )
}

fn two_messages() -> Scenario {
    Scenario {
        messages: Messages::Two,
        losses: u8::from(is_deep()),
        tries: 1,
        last_receive: 1,
        most_receives: 2,
        ..Scenario::ordinary()
    }
}

#[test]
fn rejected_event_is_parked_without_an_archive() -> TestResult {
    let scenario = Scenario {
        archive: false,
        ..Scenario::ordinary()
    };
    prove("no archive", scenario, &[Sight::Parked])
}

#[test]
fn ledger_item_outlives_the_retention_of_its_message() -> TestResult {
    let scenario = Scenario {
        days: true,
        losses: u8::from(is_deep()),
        ..Scenario::ordinary()
    };
    prove("thirteen days", scenario, &[Sight::OnlyBookkeeping])
}

#[test]
fn invariants_hold_when_a_lease_is_taken_over() -> TestResult {
    let wild = Scenario {
        clocks: Clocks::Wild,
        deaths: u8::from(is_deep()),
        losses: 0,
        early: 1,
        ..Scenario::ordinary()
    };
    let losses = 1;
    let (deaths, early) = (0, u8::from(is_deep()));
    prove("wild clocks", wild, &[Sight::Overtaken, Sight::Repeated])?;
    prove(
        "wild clocks, one lost answer",
        Scenario {
            deaths,
            losses,
            early,
            ..wild
        },
        &[Sight::Repeated],
    )
}

#[test]
#[expect(clippy::print_stdout, reason = "how each is caught, for --nocapture")]
fn injected_bugs_are_all_caught() -> TestResult {
    for flaw in Flaw::ALL {
        let clocks = match flaw {
            // Only the conditions on its writes keep a worker from harm that was overtaken.
            Flaw::NoFencing | Flaw::ReleaseWithoutOwner => Clocks::Wild,
            Flaw::NoLease
            | Flaw::NoCheckpoint
            | Flaw::AttemptsStartOver
            | Flaw::ForgetsTooSoon
            | Flaw::RoundsNotCounted => Clocks::Near,
        };
        let scenario = if flaw == Flaw::RoundsNotCounted {
            Scenario::failing_later(1)
        } else {
            Scenario::telling(clocks)
        };
        let found = explored(scenario.flawed(flaw))?
            .err()
            .ok_or_else(|| format!("{flaw:?} is not caught"))?;
        println!("{flaw:?}, {} steps:\n{found}", found.story.len());
    }
    for mistake in Mistake::ALL {
        let base = match mistake {
            Mistake::IgnoresLaterFailures | Mistake::ComparesNoDeliveries => {
                Scenario::failing_later(2)
            }
            Mistake::AcknowledgesFirst
            | Mistake::ArchivesLast
            | Mistake::GoesOnWithoutClaim
            | Mistake::CountsNoRetry
            | Mistake::LeaseEndsEarly
            | Mistake::GivesBackAccepted => Scenario::telling(Clocks::Near),
        };
        let scenario = Scenario {
            mistake: Some(mistake),
            losses: u8::from(mistake == Mistake::GoesOnWithoutClaim),
            ..base
        };
        let found = explored(scenario)?
            .err()
            .ok_or_else(|| format!("{mistake:?} is not caught"))?;
        println!("{mistake:?}, {} steps:\n{found}", found.story.len());
    }
    Ok(())
}
