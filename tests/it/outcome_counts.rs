//! The counts of outcomes and of possible duplicates in a batch.

use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay::failure::FailureCode;
use genesys_replay::message::{Message, MessageId};
use genesys_replay::replay::{Counts, Invocation, Outcome, RecordReport};
use genesys_stand_in::{Fault, StandIn};
use genesys_test_support::replay_harness::AMPLE_TIME;
use genesys_test_support::{Record, ReplayHarness, TestResult};

/// Returns the reports of a batch, from which the response to Lambda is made.
async fn handle(
    harness: &ReplayHarness,
    records: &[Record],
) -> Result<Vec<RecordReport>, Box<dyn std::error::Error>> {
    let mut messages = Vec::new();
    for record in records {
        let text = |name: &str| record.0[name].as_str().unwrap_or_default().to_owned();
        let id = MessageId::new(text("messageId")).ok_or("id")?;
        messages.push(Message::new(id, text("body")));
    }
    let invocation = Invocation {
        function_arn: String::new(),
        request_id: "request".to_owned(),
        deadline: SystemClock.now().plus(AMPLE_TIME),
    };
    Ok(harness.function()?.batch(&messages, &invocation).await)
}

fn event(id: &str, conversation: &str) -> Record {
    Record::new(id, &genesys_test_support::conversation_event(id, conversation))
}

#[tokio::test]
async fn outcome_of_each_record_is_in_the_order_of_the_batch() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.deliver(&[event("done", "c-1")]).await?;
    harness
        .genesys
        .fault(Fault::on("GET", "/conversations/slow").status(429).header("Retry-After", "60"));
    harness.genesys.fault(Fault::on("GET", "/conversations/gone").status(404));
    harness.set("MAX_CONCURRENCY", "1");
    let batch = [
        event("good", "c-1"),
        event("done", "c-1"),
        event("good", "c-1"),
        Record::new("bad", "not json"),
        event("gone", "gone"),
        event("slow", "slow"),
        event("after", "c-1"),
    ];
    for (archive, given_up) in [("", "returned"), (bucket.as_str(), "archived")] {
        harness.set("ARCHIVE_BUCKET", archive);
        let handled = handle(&harness, &batch).await?;
        let outcomes: Vec<_> = handled.iter().map(|it| it.result.outcome.as_str()).collect();
        let first = if archive.is_empty() { "replayed" } else { "duplicate" };
        assert_eq!(
            outcomes,
            [first, "duplicate", "duplicate", given_up, given_up, "deferred", "not_attempted"],
            "after a 429 no other replay begins"
        );
        let counts = Counts::of(&handled);
        assert_eq!(counts.accounted(), batch.len());
        assert_eq!((counts.deferred, counts.not_attempted), (1, 1));
        assert_eq!(counts.archived + counts.returned, 2);
        assert_eq!(counts.replayed + counts.duplicates, 3);
    }
    Ok(())
}

#[tokio::test]
async fn possible_duplicate_is_counted_when_an_answer_is_lost() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").close().act().times(1));
    let handled = handle(&harness, &[event("e-1", "c-1")]).await?;
    assert_eq!(handled.first().map(|it| it.result.outcome), Some(Outcome::Replayed));
    assert_eq!(Counts::of(&handled).possible_duplicates, 1);

    harness.genesys.fault(Fault::on("POST", "/targets/").status(503).times(1));
    let handled = handle(&harness, &[event("e-2", "c-1")]).await?;
    assert_eq!(
        Counts::of(&handled).possible_duplicates,
        0,
        "a refusal is not a possible duplicate"
    );
    Ok(())
}

#[tokio::test]
async fn event_is_deferred_to_lease_end_when_another_worker_holds_it() -> TestResult {
    use genesys_replay::ledger::{ClaimMetadata, ClaimRequest, EventKey, Ledger, ReopenPolicy};
    let harness = ReplayHarness::start().await?;
    let function = harness.function()?;
    let message_id = MessageId::new("elsewhere").ok_or("id")?;
    let destination = function.destination.destination(None, &[]);
    let event_id = genesys_replay::dead_letter::EventId::new("e-1");
    let key = EventKey::new(event_id.as_ref(), &message_id, &destination);
    let now = SystemClock.now();
    let request = ClaimRequest {
        key: &key,
        owner: "elsewhere".to_owned(),
        now,
        lease_until: now.plus(AMPLE_TIME),
        reopen: ReopenPolicy::Never,
        is_failure_record: false,
        ignores_delay: false,
        about: ClaimMetadata {
            message_id: &message_id,
            interaction_id: None,
            category: "UNKNOWN",
            target: "elsewhere",
            event_type: None,
            original_target: None,
            replay: None,
        },
    };
    function.ledger.claim(&request).await?;
    let handled = handle(&harness, &[event("e-1", "c-1")]).await?;
    let Some(Outcome::Deferred { after, code }) = handled.first().map(|it| it.result.outcome)
    else {
        return Err(format!("{handled:?}").into());
    };
    assert_eq!(code, FailureCode::HeldElsewhere);
    // A test in paused time checks the exact value: deadline.rs.
    assert!(after > AMPLE_TIME / 2 && after <= AMPLE_TIME, "{after:?}");
    assert!(harness.genesys.calls().is_empty());
    Ok(())
}

#[tokio::test]
async fn rate_limiter_slows_a_batch_down_before_genesys_refuses() -> TestResult {
    let harness = ReplayHarness::with_genesys(StandIn::builder().rate_limit(30)).await?;
    let batch: Vec<_> = (0..30).map(|number| event(&format!("e-{number}"), "c-1")).collect();
    let handled = handle(&harness, &batch).await?;
    let refused = harness.genesys.calls().iter().filter(|call| call.status == Some(429)).count();
    assert!(refused <= 10, "{refused} calls over the limit: no more than were in flight at once");
    let counts = Counts::of(&handled);
    // Three calls per replay. A slow machine may reach a second window of the rate limit.
    let granted = harness.genesys.calls().len() - refused;
    assert!(counts.replayed >= 1, "{counts:?}");
    assert!(3 * counts.replayed <= granted, "{granted} calls: {counts:?}");
    // A replay that the limit does not admit is not attempted; one that has begun is deferred.
    assert!(counts.deferred + counts.not_attempted >= 1, "{counts:?}");
    assert_eq!(counts.accounted(), 30);
    Ok(())
}

#[tokio::test]
async fn skipped_mark_is_logged_and_counted() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("RETRY_STATE", "best-effort");
    for (fault, needs_operator) in [
        (Fault::on("POST", "/oauth/token").status(400), 1),
        (Fault::on("GET", "/conversations/").status(404), 0),
        (Fault::on("PATCH", "/conversations/").body_contains("replay_successful").status(403), 1),
    ] {
        harness.genesys.clear_faults();
        harness.genesys.fault(fault);
        let id = format!("e-{}", harness.deliveries());
        let handled = handle(&harness, &[event(&id, "c-1")]).await?;
        let result = &handled.first().ok_or("no outcome")?.result;
        assert_eq!(result.outcome, Outcome::Replayed);
        assert_eq!(result.code(), Some(FailureCode::RetryStateNotWritten));
        assert!(result.reason.is_some(), "{result:?}");
        assert_eq!(Counts::of(&handled).needs_operator, needs_operator);
    }
    // A skipped mark does not matter when the final mark is written.
    harness.genesys.clear_faults();
    harness
        .genesys
        .fault(Fault::on("PATCH", "/conversations/").body_contains("retrying").status(500));
    let handled = handle(&harness, &[event("e-last", "c-1")]).await?;
    let result = &handled.first().ok_or("no outcome")?.result;
    assert_eq!((result.outcome, result.code()), (Outcome::Replayed, None));
    Ok(())
}
