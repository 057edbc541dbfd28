//! Ledger items that the program reads.

use std::collections::HashMap;
use std::error::Error;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use genesys_test_support::LocalAws;

/// An item of the ledger.
pub(super) fn item(key: &str, members: &[(&str, &str)]) -> Result<WriteRequest, Box<dyn Error>> {
    let mut put = PutRequest::builder().item("EventId", AttributeValue::S(key.to_owned()));
    for (name, value) in members {
        let value = match *name {
            "LeaseUntil" | "Attempts" | "Rounds" | "DeliveredAt" => {
                AttributeValue::N((*value).to_owned())
            }
            _ => AttributeValue::S((*value).to_owned()),
        };
        put = put.item(*name, value);
    }
    Ok(WriteRequest::builder().put_request(put.build()?).build())
}
pub(super) async fn write(aws: &LocalAws, items: Vec<WriteRequest>) -> Result<(), Box<dyn Error>> {
    let client = aws.dynamodb();
    for chunk in items.chunks(25) {
        let answer =
            client.batch_write_item().request_items(&aws.table, chunk.to_vec()).send().await?;
        assert!(answer.unprocessed_items().is_none_or(HashMap::is_empty));
    }
    Ok(())
}
