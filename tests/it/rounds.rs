//! Failure after acceptance: targets that accept an event and report a failure later.

mod former_items;
mod redirects;
mod redriven;

use std::error::Error;
use std::time::Duration;

use genesys_replay::clock::{Clock, SystemClock, Timestamp};
use genesys_replay_lambda::app::ReplayFunction;
use genesys_stand_in::{Fault, StandIn};
use genesys_test_support::{
    FUNCTION, Record, ReplayHarness, TestResult, conversation_event, event, on_failure_body,
};
use serde_json::Value;

/// A harness with the local AWS, except for Lambda: the stand-in accepts every invocation with an id of the
/// test.
struct Rounds {
    harness: ReplayHarness,
    lambda: StandIn,
    function: ReplayFunction,
}

impl Rounds {
    async fn start() -> Result<Self, Box<dyn Error>> {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut ReplayHarness)) -> Result<Self, Box<dyn Error>> {
        let mut harness = ReplayHarness::start().await?;
        let bucket = harness.aws.create_bucket().await?;
        harness.set("ARCHIVE_BUCKET", &bucket);
        harness.set("REPLAY_TARGET", "original");
        change(&mut harness);
        let lambda = StandIn::builder().start().await?;
        let function = function(&harness, &lambda)?;
        let rounds = Self { harness, lambda, function };
        rounds.accepts_as(Some("r-1"));
        Ok(rounds)
    }

    /// Sets the id of the next deliveries.
    fn accepts_as(&self, id: Option<&str>) {
        self.lambda.clear_faults();
        let accepted = Fault::on("POST", "/invocations").status(202);
        self.lambda.fault(match id {
            Some(id) => accepted.header("x-amzn-RequestId", id),
            None => accepted,
        });
    }

    fn deliveries(&self) -> usize {
        self.lambda.calls_to("POST", "/invocations").len()
    }

    /// Handles one record. Returns true if it is acknowledged.
    async fn handle(&self, record: &Record) -> Result<bool, Box<dyn Error>> {
        let records = std::slice::from_ref(record);
        let back =
            genesys_test_support::replay_harness::invoke(&self.function, event(records)).await??;
        Ok(back.is_empty())
    }

    async fn attribute(&self, name: &str) -> Result<Option<String>, Box<dyn Error>> {
        let key = format!("e-1|{FUNCTION}");
        self.harness.aws.attribute(&key, name).await
    }

    async fn state(&self) -> Result<String, Box<dyn Error>> {
        let mut state = Vec::new();
        for name in ["Status", "Step", "Rounds", "FailureCode"] {
            state.extend(self.attribute(name).await?);
        }
        Ok(state.join(" "))
    }

    async fn archived(&self) -> Result<Vec<(String, Value)>, Box<dyn Error>> {
        let bucket = self.harness.settings().get("ARCHIVE_BUCKET");
        self.harness.aws.objects(bucket.ok_or("no bucket")?).await
    }
}

/// Returns a function with the real adapters and the stand-in as Lambda.
fn function(harness: &ReplayHarness, lambda: &StandIn) -> Result<ReplayFunction, Box<dyn Error>> {
    use genesys_replay_targets::aws::{AwsTargets, RegionalClients};
    let mut function = harness.function()?;
    let (aws, lambda) = (harness.aws.config(), genesys_test_support::aws_at(&lambda.url()));
    let clients = move |_: &str| RegionalClients {
        lambda: aws_sdk_lambda::Client::new(&lambda),
        ..RegionalClients::new(&aws)
    };
    function.target.aws = AwsTargets::new(Box::new(clients), function.clock.clone());
    Ok(function)
}

/// Returns the dead letter of a rule for the function.
fn dead_letter(message: &str) -> Record {
    Record::dead_letter(message, "e-1", "c-1").with("TARGET_ARN", FUNCTION)
}

/// Returns an on-failure record of the function about an invocation.
fn on_failure(message: &str, request_id: &str, at: Timestamp) -> Record {
    on_failure_of(message, request_id, at, &conversation_event("e-1", "c-1"))
}

fn on_failure_of(message: &str, request_id: &str, at: Timestamp, payload: &str) -> Record {
    Record::new(message, &on_failure_body(request_id, at, payload))
}

fn now() -> Timestamp {
    SystemClock.now()
}

#[tokio::test]
async fn failure_record_of_our_delivery_begins_a_new_round() -> TestResult {
    let rounds = Rounds::start().await?;
    // EventBridge's own invocation failed: the first record does not report on our delivery.
    assert!(rounds.handle(&on_failure("m-1", "r-0", now())).await?);
    assert_eq!(rounds.state().await?, "COMPLETED REPLAYED 1");
    assert_eq!(rounds.attribute("DeliveryId").await?.as_deref(), Some("r-1"));
    assert!(rounds.attribute("DeliveredAt").await?.is_some());

    // The delivery fails at once. The delivery of the new round is delayed.
    let record = on_failure("m-2", "r-1", now());
    assert!(!rounds.handle(&record).await?);
    let deferred = "DEFERRED CLAIMED 2 FAILED_AFTER_ACCEPTANCE";
    assert_eq!(rounds.state().await?, deferred);
    assert_eq!(rounds.deliveries(), 1);
    assert_eq!(rounds.attribute("DeliveryId").await?, None);

    // It returns after the delay.
    rounds.accepts_as(Some("r-2"));
    assert!(rounds.handle(&record).await?);
    assert_eq!(rounds.state().await?, "COMPLETED REPLAYED 2");
    assert_eq!(rounds.deliveries(), 2);
    assert_eq!(rounds.harness.marks().last().map(String::as_str), Some("2 replay_successful"));

    // A duplicate of the record, and an older one: neither reports on the current delivery.
    for (message, id) in [("m-3", "r-1"), ("m-4", "r-0")] {
        assert!(rounds.handle(&on_failure(message, id, now())).await?);
    }
    assert_eq!(rounds.state().await?, "COMPLETED REPLAYED 2");
    assert_eq!(rounds.deliveries(), 2);

    // The second delivery fails, too.
    assert!(!rounds.handle(&on_failure("m-5", "r-2", now())).await?);
    assert_eq!(rounds.state().await?, "DEFERRED CLAIMED 3 FAILED_AFTER_ACCEPTANCE");
    Ok(())
}

#[tokio::test]
async fn failure_record_completes_its_own_settlement() -> TestResult {
    let rounds = Rounds::start().await?;
    rounds
        .harness
        .genesys
        .fault(Fault::on("PATCH", "/attributes").body_contains("replay_successful").status(500));
    // EventBridge's own invocation failed. Ours is accepted, and the mark of success fails.
    let record = on_failure("m-1", "r-0", now());
    assert!(!rounds.handle(&record).await?);
    assert_eq!(rounds.state().await?, "DEFERRED REPLAYED 1 RETRY_STATE_NOT_WRITTEN");
    rounds.harness.genesys.clear_faults();
    assert!(rounds.handle(&record).await?);
    assert_eq!(rounds.state().await?, "COMPLETED REPLAYED 1");
    assert_eq!(rounds.deliveries(), 1);
    assert_eq!(rounds.harness.marks().last().map(String::as_str), Some("1 replay_successful"));
    Ok(())
}

#[tokio::test]
async fn failure_record_does_not_report_on_its_own_delivery() -> TestResult {
    // An HTTP target returns no id, and the record is as old as its delivery.
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    let record = on_failure("m-1", "r-0", now());
    assert!(harness.deliver(std::slice::from_ref(&record)).await?.is_empty());
    assert!(harness.deliver(&[record]).await?.is_empty());
    assert_eq!(harness.deliveries(), 1);
    // Another message reports on the delivery.
    let later = on_failure("m-2", "r-1", now());
    assert_eq!(harness.deliver(&[later]).await?, ["m-2"]);
    assert_eq!(harness.state("e-1").await?, "DEFERRED FAILED_AFTER_ACCEPTANCE");
    Ok(())
}

#[tokio::test]
async fn failure_record_without_a_known_id_is_compared_by_time() -> TestResult {
    let rounds = Rounds::start().await?;
    rounds.accepts_as(None);
    let before = now();
    assert!(rounds.handle(&dead_letter("m-1")).await?);
    assert_eq!(rounds.attribute("DeliveryId").await?, None);
    // Ten seconds before the delivery, and at its time.
    let old = Timestamp::from_millis(before.as_millis() - 10_000);
    assert!(rounds.handle(&on_failure("m-2", "r-0", old)).await?);
    assert_eq!(rounds.state().await?, "COMPLETED REPLAYED 1");
    assert!(!rounds.handle(&on_failure("m-3", "r-1", before)).await?);
    assert_eq!(rounds.state().await?, "DEFERRED CLAIMED 2 FAILED_AFTER_ACCEPTANCE");
    Ok(())
}

#[tokio::test]
async fn failure_record_of_a_functions_own_queue_begins_a_new_round() -> TestResult {
    let rounds = Rounds::with(|harness| harness.set("REPLAY_TARGET", FUNCTION)).await?;
    let own_queue = |message: &str, request: &str| {
        Record::new(message, &conversation_event("e-1", "c-1"))
            .with("RequestID", request)
            .with("ErrorCode", "200")
            .with("ErrorMessage", "boom")
    };
    assert!(rounds.handle(&own_queue("m-1", "r-0")).await?);
    assert!(rounds.handle(&own_queue("m-2", "r-0")).await?, "a copy");
    assert!(!rounds.handle(&own_queue("m-3", "r-1")).await?);
    assert_eq!(rounds.state().await?, "DEFERRED CLAIMED 2 FAILED_AFTER_ACCEPTANCE");
    Ok(())
}

#[tokio::test]
async fn dead_letter_and_failure_record_are_duplicates_in_any_order() -> TestResult {
    for first_is_record in [true, false] {
        let rounds = Rounds::start().await?;
        let (dead_letter, record) = (dead_letter("m-1"), on_failure("m-2", "r-0", now()));
        let order = if first_is_record { [&record, &dead_letter] } else { [&dead_letter, &record] };
        for message in order {
            assert!(rounds.handle(message).await?);
        }
        assert_eq!(rounds.deliveries(), 1, "{first_is_record}");
        assert_eq!(rounds.state().await?, "COMPLETED REPLAYED 1");
    }
    Ok(())
}

#[tokio::test]
async fn failure_records_of_one_batch_are_not_duplicates() -> TestResult {
    let rounds = Rounds::start().await?;
    assert!(rounds.handle(&dead_letter("m-1")).await?);
    let records = [
        on_failure("m-2", "r-0", now()),
        on_failure("m-3", "r-1", now()),
        on_failure("m-4", "r-1", now()),
    ];
    let back =
        genesys_test_support::replay_harness::invoke(&rounds.function, event(&records)).await??;
    assert_eq!(back, ["m-3", "m-4"], "the older one is a duplicate");
    assert_eq!(rounds.state().await?, "DEFERRED CLAIMED 2 FAILED_AFTER_ACCEPTANCE");
    assert_eq!(rounds.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn failure_record_before_settlement_begins_a_new_round() -> TestResult {
    let rounds = Rounds::start().await?;
    rounds
        .harness
        .genesys
        .fault(Fault::on("PATCH", "/attributes").body_contains("replay_successful").status(500));
    assert!(!rounds.handle(&dead_letter("m-1")).await?);
    assert_eq!(rounds.state().await?, "DEFERRED REPLAYED 1 RETRY_STATE_NOT_WRITTEN");
    assert!(!rounds.handle(&on_failure("m-2", "r-1", now())).await?);
    assert_eq!(rounds.state().await?, "DEFERRED CLAIMED 2 FAILED_AFTER_ACCEPTANCE");
    // The first message returns: the ledger has no delivery of the event any more.
    rounds.harness.genesys.clear_faults();
    rounds.accepts_as(Some("r-2"));
    assert!(rounds.handle(&dead_letter("m-1")).await?);
    assert_eq!(rounds.state().await?, "COMPLETED REPLAYED 2");
    assert!(rounds.handle(&on_failure("m-2", "r-1", now())).await?);
    assert_eq!(rounds.deliveries(), 2);
    Ok(())
}

#[tokio::test]
async fn event_is_archived_after_its_last_round_until_operator_replay() -> TestResult {
    let rounds = Rounds::with(|harness| harness.set("MAX_ROUNDS", "2")).await?;
    assert!(rounds.handle(&dead_letter("m-1")).await?);
    let record = on_failure("m-2", "r-1", now());
    assert!(!rounds.handle(&record).await?);
    rounds.accepts_as(Some("r-2"));
    assert!(rounds.handle(&record).await?);
    // The second round fails, too: there is no third.
    let last = on_failure("m-3", "r-2", now());
    assert!(rounds.handle(&last).await?);
    let state = rounds.state().await?;
    assert_eq!(state, "ARCHIVED CLAIMED 3 FAILED_AFTER_ACCEPTANCE");
    let archived = rounds.archived().await?;
    assert_eq!(archived.len(), 1);
    assert_eq!(archived[0].1["failure_code"], "FAILED_AFTER_ACCEPTANCE");
    assert!(archived[0].0.contains("/FAILED_AFTER_ACCEPTANCE/"));
    assert_eq!(rounds.harness.marks().last().map(String::as_str), Some("3 replay_failed"));
    // A record for an archived event is a duplicate.
    assert!(rounds.handle(&on_failure("m-4", "r-2", now())).await?);
    assert_eq!(rounds.deliveries(), 2);

    let again = last.clone().with("ReplayPlan", "plan-1");
    rounds.accepts_as(Some("r-3"));
    assert!(rounds.handle(&again).await?);
    assert_eq!(rounds.state().await?, "COMPLETED REPLAYED 1");
    assert!(rounds.handle(&again).await?, "its redelivery reports nothing");
    assert!(!rounds.handle(&on_failure("m-5", "r-3", now())).await?);
    assert_eq!(rounds.state().await?, "DEFERRED CLAIMED 2 FAILED_AFTER_ACCEPTANCE");
    Ok(())
}

#[tokio::test]
async fn event_without_an_id_is_found_by_its_delivery_and_ends() -> TestResult {
    let rounds = Rounds::with(|harness| harness.set("MAX_ROUNDS", "2")).await?;
    let payload = r#"{"interactionId":"c-1"}"#;
    let record = |message: &str, id: &str| on_failure_of(message, id, now(), payload);
    assert!(rounds.handle(&record("m-1", "r-0")).await?);
    for (message, failed, next) in [("m-2", "r-1", "r-2")] {
        assert!(!rounds.handle(&record(message, failed)).await?);
        rounds.accepts_as(Some(next));
        assert!(rounds.handle(&record(message, failed)).await?);
    }
    assert!(rounds.handle(&record("m-3", "r-2")).await?);
    assert_eq!(rounds.deliveries(), 2);
    assert_eq!(rounds.archived().await?.len(), 1);
    // One event, with the key of its first message.
    let key = format!("m-1|{FUNCTION}");
    let status = rounds.harness.aws.attribute(&key, "Status").await?;
    assert_eq!(status.as_deref(), Some("ARCHIVED"));
    let index = rounds.harness.aws.attribute("delivery|r-1", "EventKey").await?;
    assert_eq!(index, Some(key));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn round_delay_is_the_visibility_timeout() -> TestResult {
    use genesys_replay::failure::FailureCode;
    use genesys_replay::message::{Message, MessageId};
    use genesys_replay::replay::Outcome;

    use genesys_test_support::memory::{InMemoryFunction, ms};
    let mut function = InMemoryFunction::new()?;
    let destination = genesys_replay::destination::Destination::of_arn(FUNCTION);
    function.0.destination = genesys_replay::destination::ReplayTarget::Fixed(destination);
    let record = |number: usize| -> Result<Message, Box<dyn Error>> {
        let body = on_failure("m", &format!("delivery-{number}"), Timestamp::from_millis(0));
        let id = MessageId::new(format!("m-{number}")).ok_or("id")?;
        let body = body.0["body"].as_str().unwrap_or_default().to_owned();
        Ok(Message::new(id, body))
    };
    assert_eq!(function.messages(&[record(0)?], ms(30_000)).await.len(), 1);
    for (number, delay) in [(1, 1_200), (2, 4_800), (3, 19_200), (4, 43_200)] {
        let handled = function.messages(&[record(number)?], ms(30_000)).await;
        let after = handled.first().and_then(|it| it.result.outcome.retry_delay());
        assert_eq!(after, Some(Duration::from_secs(delay)), "{handled:?}");
        // Another message of the event does not shorten the delay.
        tokio::time::sleep(Duration::from_secs(delay - 100)).await;
        let body = conversation_event("e-1", "c-1");
        let id = MessageId::new("m-of-a-rule").ok_or("id")?;
        let handled = function.messages(&[Message::new(id, body)], ms(30_000)).await;
        let result = &handled.first().ok_or("no outcome")?.result;
        let code = result.code().map(FailureCode::as_str);
        assert_eq!(code, Some("FAILED_AFTER_ACCEPTANCE"));
        let after = result.outcome.retry_delay();
        assert_eq!(after, Some(Duration::from_secs(100)), "{result:?}");
        tokio::time::sleep(Duration::from_secs(100)).await;
        let handled = function.messages(&[record(number)?], ms(30_000)).await;
        let outcome = handled.first().map(|it| it.result.outcome);
        assert_eq!(outcome, Some(Outcome::Replayed), "{handled:?}");
    }
    Ok(())
}
