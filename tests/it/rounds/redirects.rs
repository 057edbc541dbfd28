//! `TARGET_REDIRECTS`: events of an old target that go to a new one.

use aws_sdk_dynamodb::types::AttributeValue;
use genesys_stand_in::Fault;
use genesys_test_support::replay_harness::invoke;

use super::*;

/// Another function that is redirected to the same queue.
const OTHER: &str = "arn:aws:lambda:eu-central-1:271828182845:function:other";

/// A new target: a queue of the local AWS. The old one is [`FUNCTION`].
struct Moved {
    rounds: Rounds,
    queue: String,
    /// The function after its setting has changed.
    redirecting: ReplayFunction,
}

impl Moved {
    async fn start() -> Result<Self, Box<dyn Error>> {
        let mut rounds = Rounds::start().await?;
        let queue = rounds.harness.aws.create_queue(false).await?;
        let redirects = format!("{FUNCTION}={queue},{OTHER}={queue}");
        rounds.harness.set("TARGET_REDIRECTS", &redirects);
        // The queue is at the local AWS.
        let redirecting = rounds.harness.function()?;
        Ok(Self { rounds, queue, redirecting })
    }

    /// Handles one record with the redirect. Returns true if it is acknowledged.
    async fn handle(&self, record: Record) -> Result<bool, Box<dyn Error>> {
        Ok(invoke(&self.redirecting, event(&[record])).await??.is_empty())
    }

    /// Returns the number of events at the new target.
    async fn at_new(&self) -> Result<usize, Box<dyn Error>> {
        Ok(self.rounds.harness.aws.receive(&self.queue, 0).await?.len())
    }

    /// Checks the status of the event at each target.
    async fn has_statuses(&self, expected: [Option<&str>; 2]) -> TestResult {
        let mut seen = Vec::new();
        for target in [FUNCTION, &self.queue] {
            let key = format!("e-1|{target}");
            seen.push(self.rounds.harness.aws.attribute(&key, "Status").await?);
        }
        assert_eq!(seen.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        Ok(())
    }
}

const COMPLETED: Option<&str> = Some("COMPLETED");

#[tokio::test]
async fn redirected_event_goes_to_the_new_target_once() -> TestResult {
    let moved = Moved::start().await?;
    for _ in 0..2 {
        assert!(moved.handle(dead_letter("m-1")).await?);
    }
    assert_eq!(moved.at_new().await?, 1);
    assert_eq!(moved.rounds.deliveries(), 0);
    moved.has_statuses([None, COMPLETED]).await?;
    Ok(())
}

#[tokio::test]
async fn redirected_event_is_a_duplicate_when_the_old_target_has_it() -> TestResult {
    let moved = Moved::start().await?;
    assert!(moved.rounds.handle(&dead_letter("m-1")).await?);
    assert!(moved.handle(dead_letter("m-2")).await?);
    assert_eq!(moved.at_new().await?, 0);
    moved.has_statuses([COMPLETED, None]).await?;
    Ok(())
}

#[tokio::test]
async fn redirected_failure_record_is_delivered_to_the_new_target() -> TestResult {
    let moved = Moved::start().await?;
    assert!(moved.rounds.handle(&dead_letter("m-1")).await?);
    let now = SystemClock.now();
    // A record about another delivery than the one that the ledger has.
    assert!(moved.handle(on_failure("m-2", "r-0", now)).await?);
    assert_eq!(moved.at_new().await?, 0);
    for message in ["m-3", "m-4"] {
        assert!(moved.handle(on_failure(message, "r-1", now)).await?);
    }
    assert_eq!(moved.at_new().await?, 1);
    moved.has_statuses([COMPLETED, COMPLETED]).await?;
    Ok(())
}

#[tokio::test]
async fn redirect_repairs_a_deferred_event() -> TestResult {
    let moved = Moved::start().await?;
    moved.rounds.lambda.clear_faults();
    moved.rounds.lambda.fault(Fault::on("POST", "/invocations").status(404));
    assert!(!moved.rounds.handle(&dead_letter("m-1")).await?);
    assert!(moved.handle(dead_letter("m-1")).await?);
    assert_eq!(moved.at_new().await?, 1);
    moved.has_statuses([Some("DEFERRED"), COMPLETED]).await?;
    Ok(())
}

#[tokio::test]
async fn redirected_event_that_was_archived_needs_an_operator() -> TestResult {
    let moved = Moved::start().await?;
    moved.rounds.lambda.clear_faults();
    moved.rounds.lambda.fault(Fault::on("POST", "/invocations").status(400));
    assert!(moved.rounds.handle(&dead_letter("m-1")).await?);
    assert!(moved.handle(dead_letter("m-2")).await?);
    assert_eq!(moved.at_new().await?, 0);
    assert!(moved.handle(dead_letter("m-3").with("ReplayPlan", "p-1")).await?);
    assert_eq!(moved.at_new().await?, 1);
    moved.has_statuses([Some("ARCHIVED"), COMPLETED]).await?;
    Ok(())
}

#[tokio::test]
async fn redirected_event_is_completed_when_the_old_target_has_accepted_it() -> TestResult {
    let moved = Moved::start().await?;
    let genesys = &moved.rounds.harness.genesys;
    genesys.fault(Fault::on("PATCH", "/api/v2/").body_contains("replay_successful").status(503));
    assert!(!moved.rounds.handle(&dead_letter("m-1")).await?);
    assert_eq!(moved.rounds.deliveries(), 1);
    genesys.clear_faults();
    assert!(moved.handle(dead_letter("m-1")).await?);
    assert_eq!(moved.at_new().await?, 0);
    moved.has_statuses([COMPLETED, None]).await?;
    Ok(())
}

#[tokio::test]
async fn redirected_event_waits_while_another_worker_holds_it() -> TestResult {
    let moved = Moved::start().await?;
    moved.rounds.lambda.clear_faults();
    moved.rounds.lambda.fault(Fault::on("POST", "/invocations").status(404));
    assert!(!moved.rounds.handle(&dead_letter("m-1")).await?);
    let until = SystemClock.now().plus(Duration::from_secs(60)).as_millis();
    let aws = &moved.rounds.harness.aws;
    let table = moved.rounds.harness.settings().get("IDEMPOTENCY_TABLE_NAME").cloned();
    let update = aws.dynamodb().update_item().set_table_name(table);
    update
        .key("EventId", AttributeValue::S(format!("e-1|{FUNCTION}")))
        .update_expression("SET #s = :s, LeaseUntil = :u")
        .expression_attribute_names("#s", "Status")
        .expression_attribute_values(":s", AttributeValue::S("IN_PROGRESS".to_owned()))
        .expression_attribute_values(":u", AttributeValue::N(until.to_string()))
        .send()
        .await?;
    assert!(!moved.handle(dead_letter("m-1")).await?);
    assert_eq!(moved.at_new().await?, 0);
    moved.has_statuses([Some("IN_PROGRESS"), None]).await?;
    Ok(())
}

#[tokio::test]
async fn event_of_two_old_targets_is_delivered_for_the_one_without_it() -> TestResult {
    let moved = Moved::start().await?;
    assert!(moved.rounds.handle(&dead_letter("m-1")).await?);
    let other = Record::dead_letter("m-3", "e-1", "c-1").with("TARGET_ARN", OTHER);
    let records = [dead_letter("m-2"), other];
    assert!(invoke(&moved.redirecting, event(&records)).await??.is_empty());
    assert_eq!(moved.at_new().await?, 1);
    moved.has_statuses([COMPLETED, COMPLETED]).await?;
    Ok(())
}

#[tokio::test]
async fn redirected_failure_records_are_duplicates_at_the_new_target() -> TestResult {
    let moved = Moved::start().await?;
    for (message, request) in [("m-1", "r-1"), ("m-2", "r-2")] {
        assert!(moved.handle(on_failure(message, request, now())).await?);
    }
    assert_eq!(moved.at_new().await?, 1);
    moved.has_statuses([None, COMPLETED]).await?;
    Ok(())
}

#[tokio::test]
async fn redirected_failure_record_of_another_delivery_completes_the_old_item() -> TestResult {
    let moved = Moved::start().await?;
    let genesys = &moved.rounds.harness.genesys;
    genesys.fault(Fault::on("PATCH", "/api/v2/").body_contains("replay_successful").status(503));
    assert!(!moved.rounds.handle(&dead_letter("m-1")).await?);
    genesys.clear_faults();
    assert!(moved.handle(on_failure("m-2", "r-0", now())).await?);
    assert_eq!(moved.at_new().await?, 0);
    moved.has_statuses([COMPLETED, None]).await?;
    Ok(())
}

#[tokio::test]
async fn event_that_a_plan_redirects_is_a_duplicate_when_the_old_target_has_it() -> TestResult {
    let mut moved = Moved::start().await?;
    assert!(moved.rounds.handle(&dead_letter("m-1")).await?);
    // The setting of the function does not name the new target.
    moved.rounds.harness.set("TARGET_REDIRECTS", "");
    let function = moved.rounds.harness.function()?;
    // As `apply` sends them.
    for from in [FUNCTION, OTHER] {
        assert_eq!(moved.at_new().await?, 0);
        let planned = Record::dead_letter("m-2", "e-1", "c-1").with("ReplayPlan", "p-1");
        let planned = planned.with("TARGET_ARN", &moved.queue).with("ReplayRedirectedFrom", from);
        assert!(invoke(&function, event(&[planned])).await??.is_empty());
    }
    assert_eq!(moved.at_new().await?, 1);
    moved.has_statuses([COMPLETED, COMPLETED]).await?;
    Ok(())
}
