//! Prints the replay of large backlogs in virtual time: `genesys-backlog [MESSAGES]`.

use std::process::ExitCode;
use std::time::Duration;

use genesys_backlog::{RunError, Scenario, run};

/// The number of dead letters without interaction, without an argument.
const MESSAGES: usize = 1_000_000;

/// One in this many dead letters has an interaction: Genesys Cloud allows a tenth of the target's rate, and half of the
/// time.
const INTERACTION_SHARE: usize = 20;

const HOUR: Duration = Duration::from_secs(3_600);

fn scenarios(messages: usize) -> Vec<Scenario> {
    let without = Scenario {
        messages,
        has_interactions: false,
        outage: 8 * HOUR,
        target_per_minute: Some(1_000),
        environments: 2,
    };
    let with = Scenario {
        messages: messages.div_ceil(INTERACTION_SHARE),
        has_interactions: true,
        target_per_minute: None,
        ..without
    };
    let long = |scenario| Scenario { outage: 60 * HOUR, ..scenario };
    let rate_budget = Scenario {
        messages: messages.div_ceil(INTERACTION_SHARE).min(5_000),
        outage: Duration::ZERO,
        environments: 5,
        ..with
    };
    vec![without, long(without), with, long(with), rate_budget]
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the output of a program")]
fn main() -> Result<ExitCode, RunError> {
    let argument = std::env::args().nth(1);
    let messages = argument.as_deref().map_or(Ok(MESSAGES), str::parse);
    let Ok(messages) = messages else {
        eprintln!("error: the number of messages is not a number\nhint: genesys-backlog 1000000");
        return Ok(ExitCode::from(2));
    };
    let mut is_broken = false;
    let runs = scenarios(messages).into_iter().map(|it| std::thread::spawn(move || run(it)));
    for run in runs.collect::<Vec<_>>() {
        let Ok(report) = run.join() else {
            eprintln!("error: a run panicked");
            return Ok(ExitCode::FAILURE);
        };
        let report = report?;
        println!("{report}");
        for broken in report.broken_promises() {
            is_broken = true;
            eprintln!("error: {broken}");
        }
    }
    Ok(ExitCode::from(u8::from(is_broken)))
}
