//! Reads the ledger's items from `DynamoDB`.

mod writer;

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::Timestamp;
use genesys_replay::ledger::Status;
use genesys_replay_storage::dynamodb::item::{
    EVENT_KEY, Item, NOT_BEFORE, REPLAYED, integer, receipt, round, string, text,
};

use super::{LedgerReader, Record, RecordPage};
use crate::calls::answered;
pub use writer::DynamoDbWriter;
use writer::{OPERATOR, PLAN_ID, REASON};

/// The maximum number of keys in one call.
const MAX_BATCH_ENTRIES: usize = 100;

/// The maximum number of calls until `DynamoDB` has answered all keys of one chunk.
const MAX_CALLS: usize = 20;

/// The delay between these calls: first and maximum.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A reader of one table.
#[derive(Clone, Debug)]
pub struct DynamoDbReader {
    client: Client,
    table: String,
}

impl DynamoDbReader {
    pub(crate) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    fn operation(&self) -> String {
        format!("reading the table {}", self.table)
    }
}

impl LedgerReader for DynamoDbReader {
    async fn scan(
        &self,
        segment: u32,
        segments: u32,
        from: Option<&str>,
    ) -> Result<RecordPage, AwsError> {
        let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let mut call = self.client.scan().table_name(&self.table);
        call = call.segment(whole(segment));
        call = call.total_segments(whole(segments));
        if let Some(key) = from {
            call = call.exclusive_start_key("EventId", text(key));
        }
        let answer = answered(&self.operation(), call.send()).await?;
        let next =
            answer.last_evaluated_key().and_then(|key| string(key, "EventId")).map(str::to_owned);
        Ok(RecordPage { next, records: answer.items().iter().filter_map(record).collect() })
    }

    async fn find(&self, keys: &[&str]) -> Result<Vec<Record>, AwsError> {
        let mut found = Vec::new();
        // DynamoDB rejects a call that names a key twice.
        let unique: BTreeSet<&str> = keys.iter().copied().collect();
        let unique: Vec<&str> = unique.into_iter().collect();
        for chunk in unique.chunks(MAX_BATCH_ENTRIES) {
            let keys = chunk.iter().map(|key| Item::from([("EventId".to_owned(), text(key))]));
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(keys.collect()))
                .consistent_read(true)
                .build()
                .map_err(|_| AwsError::incomplete(self.operation(), "keys"))?;
            let mut wanted = Some([(self.table.clone(), wanted)].into());
            let mut pause = RETRY_DELAYS.0;
            for _ in 0..MAX_CALLS {
                let call = self.client.batch_get_item();
                let call = call.set_request_items(wanted.take());
                let answer = answered(&self.operation(), call.send()).await?;
                let items = answer.responses.unwrap_or_default().into_values().flatten();
                found.extend(items.filter_map(|item| record(&item)));
                wanted = answer.unprocessed_keys.filter(|keys| !keys.is_empty());
                if wanted.is_none() {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_DELAYS.1);
            }
            if wanted.is_some() {
                return Err(AwsError {
                    operation: self.operation(),
                    kind: AwsErrorKind::Throttled,
                    detail: Some("the table did not return all items".to_owned()),
                });
            }
        }
        Ok(found)
    }
}

/// Returns `None` for an item without the key `EventId`, and for an item that only leads from a delivery to its event.
fn record(item: &Item) -> Option<Record> {
    if item.contains_key(EVENT_KEY) {
        return None;
    }
    let owned = |name| string(item, name).map(str::to_owned);
    let moment = |name| string(item, name).and_then(Timestamp::parse);
    let status = string(item, "Status").and_then(Status::parse);
    Some(Record {
        key: owned("EventId")?,
        status,
        delivered: string(item, "Step") == Some(REPLAYED),
        receipt: receipt(item),
        round: round(item),
        attempts: integer(item, "Attempts")
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or_default(),
        interaction_id: owned("InteractionId"),
        category: owned("Category").unwrap_or_default(),
        failure_code: owned("FailureCode"),
        target: owned("Target").unwrap_or_default(),
        original_target: owned("OriginalTarget"),
        event_type: owned("EventType"),
        message_id: owned("MessageId").unwrap_or_default(),
        first_seen: moment("FirstSeenAt"),
        processed: moment("ProcessedAt"),
        lease_until: integer(item, "LeaseUntil")
            .filter(|_| status == Some(Status::InProgress))
            .map(Timestamp::from_millis),
        not_before: integer(item, NOT_BEFORE).map(Timestamp::from_millis),
        plan: owned(PLAN_ID),
        by: owned(OPERATOR),
        reason: owned(REASON),
    })
}
