//! Small backlogs in virtual time: each event is delivered once, and waiting costs little.

use std::time::Duration;

use genesys_backlog::{Report, RunError, Scenario, run};

const HOUR: Duration = Duration::from_secs(3_600);

const BACKLOG: Scenario = Scenario {
    messages: 300,
    has_interactions: false,
    outage: Duration::from_secs(8 * 3_600),
    target_per_minute: Some(1_000),
    environments: 2,
};

fn kept(scenario: Scenario) -> Result<Report, RunError> {
    let report = run(scenario)?;
    assert!(report.broken_promises().is_empty(), "{:?}\n{report}", report.broken_promises());
    Ok(report)
}

#[test]
fn backlog_is_delivered_within_three_hours_after_an_outage() -> Result<(), RunError> {
    for has_interactions in [false, true] {
        for outage in [8 * HOUR, 60 * HOUR] {
            let report = kept(Scenario { has_interactions, outage, ..BACKLOG })?;
            assert!(report.drained_after < 3 * HOUR, "{report}");
            assert!(report.receives.max < 100, "{report}");
        }
    }
    Ok(())
}

#[test]
fn batch_is_billed_for_at_most_25_ms_with_an_open_circuit() -> Result<(), RunError> {
    let report = kept(BACKLOG)?;
    // The limit of 25 ms is one of the promises.
    assert!(report.open_circuit_batches > 100, "{report}");
    Ok(())
}

#[test]
fn rate_limit_is_shared_by_five_environments() -> Result<(), RunError> {
    let report = kept(Scenario {
        messages: 1_000,
        has_interactions: true,
        outage: Duration::ZERO,
        environments: 5,
        ..BACKLOG
    })?;
    // The limit of 5 % refused calls is one of the promises.
    assert!(report.receives.p95 <= 3, "{report}");
    Ok(())
}

#[test]
fn target_limit_is_used_up_by_a_backlog() -> Result<(), RunError> {
    let report = kept(Scenario {
        messages: 2_000,
        outage: Duration::ZERO,
        target_per_minute: Some(100),
        ..BACKLOG
    })?;
    // 20 minutes at the limit.
    assert!(report.drained_after < 2 * HOUR, "{report}");
    Ok(())
}
