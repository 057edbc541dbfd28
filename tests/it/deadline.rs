//! The deadline of an invocation: the time for the ledger and for the response. Over the fakes in paused
//! time, because with a real clock the tests would depend on the machine's speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use genesys_fakes::{FaultHookFuture, Faults};
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::ledger::Status;
use genesys_replay::replay::{Counts, Outcome};
use genesys_replay::target::DeliveryError;
use genesys_stand_in::Fault;
use genesys_test_support::memory::{InMemoryFunction as Function, ms};
use genesys_test_support::replay_harness::invoke_within;
use genesys_test_support::{Record, ReplayHarness, TestResult, event};
use tokio::time::sleep;

const SLOW_LEDGER: &[(&str, Duration)] =
    &[("claim", ms(400)), ("checkpoint", ms(400)), ("settle", ms(400))];

#[tokio::test(start_paused = true)]
async fn deadline_leaves_time_for_the_checkpoint_of_a_slow_ledger() -> TestResult {
    let (mut settled, mut cut_off) = (0, 0);
    for latency in (0..6_000).step_by(50) {
        let function = Function::new()?.ledger(SLOW_LEDGER).target(ms(latency));
        let result = function.handle(ms(6_000)).await?;
        assert!(!result.is_unrecorded(), "target took {latency} ms");
        let accepted = !function.0.target.accepted().is_empty();
        let (status, checkpoint) = function.item(0).ok_or("no item")?;
        assert_eq!(checkpoint, accepted, "target took {latency} ms: {status}");
        if accepted {
            settled += 1;
        } else {
            cut_off += 1;
        }
    }
    assert!(settled > 0 && cut_off > 0, "{settled} {cut_off}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_starts_no_delivery_without_time_to_record_it() -> TestResult {
    let function = Function::new()?.genesys(&[("fetch", ms(5_500))]);
    let result = function.handle(ms(6_000)).await?;
    assert!(matches!(result.outcome, Outcome::Deferred { .. }));
    assert_eq!(result.code(), Some(FailureCode::OutOfTime));
    assert!(!result.possible_duplicate, "nothing was sent");
    assert!(function.0.target.accepted().is_empty());
    assert_eq!(function.item(0), Some((Status::Deferred, false)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_starts_no_record_within_the_slow_ledgers_margin() -> TestResult {
    let function = Function::new()?.ledger(SLOW_LEDGER);
    let known = function.handle(ms(6_000)).await?;
    assert_eq!(known.outcome, Outcome::Replayed);
    let late = function.handle(ms(1_500)).await?;
    assert_eq!(late.outcome.as_str(), "not_attempted");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_lets_a_checkpoint_under_way_finish() -> TestResult {
    // Slower than the measured latency of the claim: it ends after the cut-off and before the response.
    let function =
        Function::new()?.ledger(&[("claim", ms(10)), ("checkpoint", ms(450))]).target(ms(3_400));
    let result = function.handle(ms(4_000)).await?;
    assert!(!result.is_unrecorded(), "{result:?}");
    assert_eq!(function.0.target.accepted().len(), 1);
    assert!(matches!(function.item(0), Some((_, true))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_acknowledges_and_counts_a_hanging_checkpoint() -> TestResult {
    let function = Function::new()?.ledger(&[("checkpoint", ms(60_000))]);
    let handled = function.batch(1, ms(4_000)).await?;
    let counts = Counts::of(&handled);
    assert_eq!((counts.replayed, counts.unrecorded), (1, 1));
    assert_eq!(function.item(0), Some((Status::InProgress, false)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_returns_unstarted_records_and_accounts_for_all() -> TestResult {
    let function = Function::new()?.target(ms(1_500));
    let handled = function.batch(60, ms(5_000)).await?;
    let counts = Counts::of(&handled);
    // With a concurrency of ten, three rounds are accepted within 4.5 s, and a fourth does not fit.
    assert_eq!((counts.replayed, counts.not_attempted), (30, 30));
    for (number, handled) in handled.iter().enumerate() {
        let replayed = handled.result.outcome == Outcome::Replayed;
        let expected = replayed.then_some((Status::Completed, true));
        assert_eq!(function.item(number), expected, "{number}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_releases_a_delivery_that_it_cut_off() -> TestResult {
    let function = Function::new()?.target(ms(60_000));
    let result = function.handle(ms(4_000)).await?;
    assert!(matches!(result.outcome, Outcome::Deferred { .. }));
    assert_eq!(result.code(), Some(FailureCode::OutOfTime));
    assert!(result.possible_duplicate, "the target may have acted");
    assert_eq!(function.item(0), Some((Status::Deferred, false)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_during_the_preparation_of_a_delivery_sends_nothing() -> TestResult {
    let function = Function::new()?.target_preparation(ms(60_000));
    let result = function.handle(ms(4_000)).await?;
    assert!(matches!(result.outcome, Outcome::Deferred { .. }));
    assert_eq!(result.code(), Some(FailureCode::OutOfTime));
    assert!(!result.possible_duplicate, "the target cannot have acted");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_after_acceptance_holds_the_event_and_its_checkpoint() -> TestResult {
    // The final mark fails at the deadline. The event is delivered: only its settlement is open.
    let function = Function::new()?.genesys(&[("mark", ms(1_000))]).target(ms(1_500));
    let result = function.handle(ms(3_500)).await?;
    assert!(matches!(result.outcome, Outcome::Deferred { .. }));
    assert_eq!(result.code(), Some(FailureCode::OutOfTime));
    assert_eq!(function.item(0), Some((Status::InProgress, true)), "held until its lease ends");
    let later = function.handle(ms(30_000)).await?;
    assert_eq!(later.code(), Some(FailureCode::HeldElsewhere));
    // 300 ms were left of the invocation, and the lease ends 5 s after its deadline.
    assert_eq!(later.outcome.retry_delay(), Some(ms(5_300)));
    sleep(Duration::from_secs(30)).await;
    let later = function.handle(ms(30_000)).await?;
    assert_eq!(later.outcome, Outcome::Replayed);
    assert_eq!(function.0.target.accepted().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn lease_outlives_the_deadline_by_five_seconds() -> TestResult {
    let function = Function::new()?;
    let deadline = function.0.clock.now().plus(ms(30_000));
    function.handle(ms(30_000)).await?;
    let item = function.key(0).and_then(|key| function.0.ledger.item(&key));
    let lease_until = item.ok_or("no item")?.lease_until;
    assert_eq!(lease_until, deadline.plus(ms(5_000)));
    Ok(())
}

#[tokio::test]
async fn deadline_on_real_adapters_leaves_each_event_in_one_place() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let fault = Fault::on("POST", "/targets/").delay(Duration::from_millis(1_500));
    harness.genesys.fault(fault);
    let records: Vec<_> = (0..60)
        .map(|number| Record::dead_letter(&format!("m-{number}"), &format!("e-{number}"), "c-1"))
        .collect();
    let function = harness.function()?;
    let answer = invoke_within(&function, event(&records), Duration::from_secs(5)).await??;
    let calls = harness.genesys.calls_to("POST", "/targets/");
    for number in 0..60 {
        // The numbers depend on the machine's speed, the possible states do not. IN_PROGRESS with an acknowledgement:
        // delivered, and the ledger did not respond in time.
        let returned = answer.contains(&format!("m-{number}"));
        let state = harness.state(&format!("e-{number}")).await?;
        let body = format!("\"e-{number}\"");
        let accepted = calls.iter().any(|call| call.acted && call.body.contains(&body));
        assert!(
            returned || (accepted && ["COMPLETED", "IN_PROGRESS"].contains(&&*state)),
            "m-{number} is lost: {state}"
        );
    }
    Ok(())
}

/// A target whose first response is lost.
#[derive(Default)]
struct LosesAnswer(AtomicBool);

impl Faults<DeliveryError> for LosesAnswer {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, DeliveryError> {
        let is_first = !self.0.swap(true, Ordering::Relaxed);
        Box::pin(async move {
            if !is_first {
                return Ok(());
            }
            Err(DeliveryError {
                code: FailureCode::TargetUnavailable,
                disposition: Disposition::Transient { after: None },
                certainty: Certainty::Unknown,
                timed_out: false,
                locally_throttled: false,
                reason: "reset".to_owned(),
                source: None,
            })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answer_is_recorded_when_cut_off_before_next_attempt() -> TestResult {
    let function = Function::new()?
        .ledger(&[("next_attempt", Duration::from_secs(60))])
        .target_with(Arc::new(LosesAnswer::default()));
    let result = function.handle(ms(6_000)).await?;
    assert_eq!(result.code(), Some(FailureCode::OutOfTime));
    let key = function.key(0).ok_or("no key")?;
    let item = function.0.ledger.item(&key).ok_or("no item")?;
    assert!(item.maybe_delivered, "{item:?}");
    assert_eq!(item.answers.unanswered, 1);
    assert!(result.possible_duplicate, "{result:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn unanswered_attempt_counts_when_the_deadline_comes_first() -> TestResult {
    let function = Function::new()?.target(Duration::from_secs(60));
    for receives in 1..=2 {
        let result = function.handle(ms(30_000)).await?;
        assert_eq!(result.code(), Some(FailureCode::OutOfTime));
        let key = function.key(0).ok_or("no key")?;
        let item = function.0.ledger.item(&key).ok_or("no item")?;
        assert_eq!(item.answers.unanswered, receives);
        sleep(Duration::from_secs(3_600)).await;
    }
    Ok(())
}
