//! Items of older versions.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use genesys_fakes::{FaultHookFuture, Faults, Redrive};
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::{
    Claim, ClaimMetadata, ClaimRequest, EventKey, Lease, Ledger, LedgerError, ReopenPolicy,
    Settlement, Status,
};
use genesys_replay::message::MessageId;
use genesys_replay::replay::Outcome;
use genesys_test_support::TestResult;
use genesys_test_support::memory::{InMemoryFunction, message, ms};

use super::{FUNCTION, Rounds, dead_letter, now, on_failure};

#[tokio::test]
async fn items_of_older_versions_are_compared_by_their_first_claim() -> TestResult {
    use aws_sdk_dynamodb::types::AttributeValue;
    // With and without the qualifier `$LATEST`.
    for suffix in ["", ":$LATEST"] {
        let rounds = Rounds::start().await?;
        let seen = Timestamp::from_millis(now().as_millis() - 60_000);
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let put = rounds.harness.aws.dynamodb().put_item();
        put.table_name(&rounds.harness.aws.table)
            .item("EventId", text(&format!("e-1|{FUNCTION}{suffix}")))
            .item("Status", text("COMPLETED"))
            .item("Step", text("REPLAYED"))
            .item("DeliveredAttempt", AttributeValue::N("1".to_owned()))
            .item("Attempts", AttributeValue::N("1".to_owned()))
            .item("FirstSeenAt", text(&seen.to_string()))
            .send()
            .await?;
        let old = Timestamp::from_millis(seen.as_millis() - 10_000);
        assert!(rounds.handle(&on_failure("m-1", "r-0", old)).await?);
        assert!(rounds.handle(&dead_letter("m-2")).await?, "delivered before");
        assert_eq!(rounds.deliveries(), 0, "{suffix}");
        // The event continues under its former key.
        let key = format!("e-1|{FUNCTION}{suffix}");
        let status = rounds.harness.aws.attribute(&key, "Status").await?;
        assert_eq!(status.as_deref(), Some("COMPLETED"), "{suffix}");
    }
    Ok(())
}

/// A ledger whose first lookup fails.
#[derive(Default)]
struct FailsOnce(AtomicBool);

impl Faults<LedgerError> for FailsOnce {
    fn before(&self, call: &'static str) -> FaultHookFuture<'_, LedgerError> {
        let fails = call == "look_up" && !self.0.swap(true, Ordering::Relaxed);
        let answer = if fails { Err(LedgerError::Unavailable("no route".into())) } else { Ok(()) };
        Box::pin(async { answer })
    }
}

/// Returns a function with the event of message 0 delivered by an older version, and the former key of that event.
async fn delivered_by_older_version() -> Result<(InMemoryFunction, EventKey), Box<dyn Error>> {
    let mut function = InMemoryFunction::new()?;
    function.0.destination = ReplayTarget::Fixed(Destination::of_arn(FUNCTION));
    let key = EventKey::stored(&format!("e-0|{FUNCTION}:$LATEST"));
    let at = function.0.clock.now();
    let message_id = MessageId::new("m-of-old").ok_or("id")?;
    let request = ClaimRequest {
        key: &key,
        owner: "an older version".to_owned(),
        now: at,
        lease_until: at,
        reopen: ReopenPolicy::Never,
        is_failure_record: false,
        ignores_delay: false,
        about: ClaimMetadata {
            message_id: &message_id,
            interaction_id: None,
            category: "UNKNOWN",
            target: FUNCTION,
            event_type: None,
            original_target: None,
            replay: None,
        },
    };
    let Claim::Acquired(lease) = function.0.ledger.claim(&request).await? else {
        return Err("not new".into());
    };
    let lease = Lease { delivered: Some(1), ..lease };
    let completed = Settlement::Completed(None);
    function.0.ledger.settle(&lease, completed, at).await?;
    Ok((function, key))
}

#[tokio::test(start_paused = true)]
async fn item_under_the_former_key_is_found_after_a_failed_lookup() -> TestResult {
    let (mut function, key) = delivered_by_older_version().await?;
    function.0.ledger = function.0.ledger.with_faults(Arc::default() as Arc<FailsOnce>);
    let result = function.handle(ms(30_000)).await?;
    assert_eq!(result.code(), Some(FailureCode::LedgerUnavailable));
    let result = function.handle(ms(30_000)).await?;
    assert_eq!(result.outcome, Outcome::Duplicate);
    assert_eq!(function.0.target.accepted().len(), 0);
    assert_eq!(function.item(0), None, "the event continues under its former key");
    let item = function.0.ledger.item(&key);
    assert_eq!(item.map(|item| item.status), Some(Status::Completed));
    Ok(())
}

/// A ledger without lookups.
struct NoLookups;

impl Faults<LedgerError> for NoLookups {
    fn before(&self, call: &'static str) -> FaultHookFuture<'_, LedgerError> {
        let fails = call == "look_up";
        let answer = if fails { Err(LedgerError::Unavailable("no route".into())) } else { Ok(()) };
        Box::pin(async { answer })
    }
}

#[tokio::test(start_paused = true)]
async fn event_is_not_claimed_under_another_key_when_its_last_lookup_fails() -> TestResult {
    let (mut function, _) = delivered_by_older_version().await?;
    function.0.ledger = function.0.ledger.with_faults(Arc::new(NoLookups));
    let queue = "arn:aws:sqs:eu-central-1:271828182845:dlq";
    let parking = "arn:aws:sqs:eu-central-1:271828182845:parking".to_owned();
    function.0.queue.create(queue, Some(Redrive { to: parking, max_receives: 3 }));
    let mut message = message(0)?;
    message.queue_arn = Some(queue.to_owned());
    message.receive_count = 3;
    let handled = function.messages(&[message], ms(30_000)).await;
    let result = &handled.first().ok_or("no outcome")?.result;
    // The parking queue keeps the message: the ledger may already have the event's delivery.
    assert!(result.outcome.returns_to_queue(), "{result:?}");
    assert_eq!(result.code(), Some(FailureCode::LedgerUnavailable));
    assert_eq!(function.item(0), None);
    Ok(())
}
