//! The idempotency layers of Powertools for AWS Lambda, in Python and in TypeScript.

use serde_json::{Value, json};

use super::Wire;
use crate::client::Result;

/// Returns `_put_record` at this second, valid for an hour, with ten seconds for the function.
fn put_record(now: u64) -> Value {
    json!({
        "TableName": "T",
        "Item": {
            "id": {"S": "f#1"}, "expiration": {"N": (now + 3600).to_string()}, "status": {"S": "INPROGRESS"},
            "in_progress_expiration": {"N": ((now + 10) * 1000).to_string()},
        },
        "ConditionExpression": "attribute_not_exists(#id) OR #expiry < :now OR \
            (#status = :inprogress AND attribute_exists(#in_progress_expiry) AND #in_progress_expiry < :now_in_millis)",
        "ExpressionAttributeNames": {
            "#id": "id", "#expiry": "expiration", "#in_progress_expiry": "in_progress_expiration", "#status": "status",
        },
        "ExpressionAttributeValues": {
            ":now": {"N": now.to_string()}, ":now_in_millis": {"N": (now * 1000).to_string()},
            ":inprogress": {"S": "INPROGRESS"},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    })
}

/// Returns `_update_record` at the end of the function.
fn update_record(now: u64) -> Value {
    json!({
        "TableName": "T",
        "Key": {"id": {"S": "f#1"}},
        "UpdateExpression": "SET #response_data = :response_data, #expiry = :expiry, #status = :status",
        "ExpressionAttributeNames": {"#response_data": "data", "#expiry": "expiration", "#status": "status"},
        "ExpressionAttributeValues": {
            ":response_data": {"S": "{\"ok\": true}"}, ":expiry": {"N": (now + 3600).to_string()},
            ":status": {"S": "COMPLETED"},
        },
    })
}

fn key() -> Value {
    json!({"TableName": "T", "Key": {"id": {"S": "f#1"}}, "ConsistentRead": true})
}

#[tokio::test]
async fn idempotency_record_in_progress_blocks_until_the_timeout() -> Result {
    let wire = Wire::start().await?;

    wire.ok("PutItem", put_record(1000)).await?;
    let (name, refusal) = wire.refused("PutItem", put_record(1010)).await?;
    wire.ok("PutItem", put_record(1011)).await?;

    assert_eq!(name, "ConditionalCheckFailedException");
    assert_eq!(refusal["Item"], put_record(1000)["Item"]);
    assert_eq!(wire.table.items()[0]["expiration"], json!({"N": "4611"}));
    Ok(())
}

#[tokio::test]
async fn idempotency_record_blocks_until_expiry_when_completed() -> Result {
    let wire = Wire::start().await?;
    wire.ok("PutItem", put_record(1000)).await?;

    assert_eq!(wire.ok("UpdateItem", update_record(1005)).await?, json!({}));
    let record = wire.ok("GetItem", key()).await?;
    let (_, refusal) = wire.refused("PutItem", put_record(4605)).await?;
    wire.ok("PutItem", put_record(4606)).await?;

    assert_eq!(record["Item"]["data"], json!({"S": "{\"ok\": true}"}));
    assert_eq!(refusal["Item"], record["Item"]);
    assert_eq!(refusal["Item"]["status"], json!({"S": "COMPLETED"}));
    Ok(())
}

#[tokio::test]
async fn idempotency_record_is_put_again_after_its_deletion() -> Result {
    let wire = Wire::start().await?;
    wire.ok("PutItem", put_record(1000)).await?;

    let delete = json!({"TableName": "T", "Key": {"id": {"S": "f#1"}}});
    assert_eq!(wire.ok("DeleteItem", delete).await?, json!({}));

    wire.ok("PutItem", put_record(1001)).await?;
    Ok(())
}
