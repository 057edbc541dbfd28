//! What only the table shows of the ledger; its contract is in `conformance.rs`.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Destination;
use genesys_replay::ledger::dynamodb::DynamoDbLedger;
use genesys_replay::ledger::{About, ClaimRequest, EventKey, Ledger, LedgerError, Reopen};
use genesys_replay::message::MessageId;

use crate::support::{LocalAws, TestResult, aws_at, closed_port};

const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);
const REMEMBER: Duration = Duration::from_secs(15 * 24 * 3_600);

#[tokio::test]
async fn a_ledger_that_is_not_there_or_not_a_ledger_is_unavailable() -> TestResult {
    unavailable_without_a_table(&LocalAws::start().await?).await
}

#[tokio::test]
#[ignore = "make test DYNAMODB_LOCAL=1 runs it: it needs Java and Amazon's DynamoDB Local"]
async fn the_same_is_so_in_amazons_dynamodb_local() -> TestResult {
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
            reopen: Reopen::Nothing,
            about: About {
                message_id: &message_id,
                interaction_id: None,
                category: "UNKNOWN",
                target: "none",
            },
        };
        let claim = ledger.claim(&request).await;
        assert!(
            matches!(claim, Err(LedgerError::Unavailable(_))),
            "{claim:?}"
        );
    }
    Ok(())
}
