//! The ledger's behaviour in its table. Its contract is in `conformance.rs`.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use genesys_replay::clock::{Clock, SystemClock, Timestamp};
use genesys_replay::destination::Destination;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::{
    ClaimMetadata, ClaimRequest, EventKey, Ledger, LedgerError, ReopenPolicy,
};
use genesys_replay::message::{Message, MessageId};
use genesys_replay::replay::{Invocation, Outcome};
use genesys_replay_storage::dynamodb::DynamoDbLedger;
use genesys_test_support::replay_harness::AMPLE_TIME;
use genesys_test_support::{
    LocalAws, Record, ReplayHarness, TestResult, aws_at, closed_port, conversation_event,
};

const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);
const REMEMBER: Duration = Duration::from_secs(15 * 24 * 3_600);

#[tokio::test]
async fn ledger_is_unavailable_when_its_table_is_missing_or_wrong() -> TestResult {
    unavailable_without_a_table(&LocalAws::start().await?).await
}

#[tokio::test]
#[ignore = "make test DYNAMODB_LOCAL=1 runs it: it needs Java and Amazon's DynamoDB Local"]
async fn ledger_is_unavailable_without_a_table_in_dynamodb_local() -> TestResult {
    unavailable_without_a_table(&LocalAws::dynamodb_local().await?).await
}

async fn unavailable_without_a_table(aws: &LocalAws) -> TestResult {
    let message_id = MessageId::new("m-1").ok_or("id")?;
    let key = EventKey::new(None, &message_id, &Destination::None);
    let (_socket, closed) = closed_port()?;
    let nowhere = aws_at(&closed);
    for ledger in [
        DynamoDbLedger::new(aws.dynamodb(), "no-such-table".to_owned(), REMEMBER),
        DynamoDbLedger::new(Client::new(&nowhere), aws.table.clone(), REMEMBER),
    ] {
        let request = ClaimRequest {
            key: &key,
            owner: "worker".to_owned(),
            now: NOW,
            lease_until: NOW.plus(Duration::from_secs(30)),
            reopen: ReopenPolicy::Never,
            is_failure_record: false,
            ignores_delay: false,
            about: ClaimMetadata {
                message_id: &message_id,
                interaction_id: None,
                category: "UNKNOWN",
                target: "none",
                event_type: None,
                original_target: None,
                replay: None,
            },
        };
        let claim = ledger.claim(&request).await;
        assert!(matches!(claim, Err(LedgerError::Unavailable(_))), "{claim:?}");
    }
    Ok(())
}

/// Items that this version cannot read, by the invalid attribute.
fn unreadable_items() -> Vec<(&'static str, Vec<(&'static str, AttributeValue)>)> {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let number = |value: &str| AttributeValue::N(value.to_owned());
    vec![
        ("Status", vec![("Status", text("TIRED"))]),
        ("Status", vec![("Status", number("7"))]),
        ("Status", Vec::new()),
        ("LeaseUntil", vec![("Status", text("IN_PROGRESS"))]),
        ("LeaseUntil", vec![("Status", text("IN_PROGRESS")), ("LeaseUntil", text("tomorrow"))]),
        ("Attempts", vec![("Status", text("DEFERRED")), ("Attempts", text("two"))]),
    ]
}

async fn put(
    harness: &ReplayHarness,
    event_id: &str,
    members: &[(&str, AttributeValue)],
) -> Result<(), Box<dyn std::error::Error>> {
    let dynamodb = harness.aws.dynamodb();
    let mut put = dynamodb
        .put_item()
        .table_name(&harness.aws.table)
        .item("EventId", AttributeValue::S(harness.key(event_id)));
    for (name, value) in members {
        put = put.item(*name, value.clone());
    }
    put.send().await?;
    Ok(())
}

#[tokio::test]
async fn ledger_item_that_cannot_be_read_defers_its_own_message_only() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("MAX_CONCURRENCY", "1");
    harness.set("BACKOFF_BASE_SECONDS", "2");
    let mut messages = Vec::new();
    let odd = unreadable_items();
    for (number, (_, members)) in odd.iter().enumerate() {
        put(&harness, &format!("odd-{number}"), members).await?;
        messages.push(message(&format!("m-{number}"), &format!("odd-{number}"))?);
    }
    messages.push(message("good", "good")?);
    let invocation = Invocation {
        request_id: "request".to_owned(),
        function_arn: String::new(),
        deadline: SystemClock.now().plus(AMPLE_TIME),
    };
    let mut handled = harness.function()?.batch(&messages, &invocation).await;
    let good = handled.pop().ok_or("no outcome")?;
    assert_eq!(good.result.outcome, Outcome::Replayed, "the circuit is closed");
    for ((attribute, _), handled) in odd.iter().zip(&handled) {
        let Outcome::Deferred { after, code } = handled.result.outcome else {
            return Err(format!("{attribute}: {handled:?}").into());
        };
        assert_eq!(code, FailureCode::LedgerUnavailable);
        assert!(after >= Duration::from_secs(1), "{attribute}: {after:?}");
        let reason = handled.result.reason.clone().unwrap_or_default();
        assert!(reason.contains(attribute), "{attribute}: {reason}");
    }
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn ledger_item_that_was_discarded_is_final() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    let discarded = [("Status", AttributeValue::S("DISCARDED".to_owned()))];
    put(&harness, "e-1", &discarded).await?;
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    let planned = Record::dead_letter("m-2", "e-1", "c-1").with("ReplayPlan", "plan-1");
    for record in [record, planned] {
        assert!(harness.deliver(&[record]).await?.is_empty(), "acknowledged");
    }
    assert_eq!(harness.deliveries(), 0);
    assert_eq!(harness.state("e-1").await?, "DISCARDED");
    Ok(())
}

fn message(id: &str, event_id: &str) -> Result<Message, &'static str> {
    let id = MessageId::new(id).ok_or("id")?;
    Ok(Message::new(id, conversation_event(event_id, "c-1")))
}
