//! The requests of our ledger.

use serde_json::{Value, json};

use super::Wire;
use crate::client::Result;

/// Returns a claim of event `a` as in `crates/storage/src/dynamodb.rs`.
fn claim(owner: &str, now: u64) -> Value {
    json!({
        "TableName": "T",
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": "SET #Status = :in_progress, #Owner = :owner, #LeaseUntil = :lease_until, \
            #Step = if_not_exists(#Step, :claimed), #Attempts = if_not_exists(#Attempts, :zero) + :one",
        "ConditionExpression": "attribute_not_exists(id) OR #Status = :deferred \
            OR (#Status = :in_progress AND #LeaseUntil < :now)",
        "ExpressionAttributeNames": {
            "#Status": "Status", "#Owner": "Owner", "#LeaseUntil": "LeaseUntil", "#Step": "Step", "#Attempts": "Attempts",
        },
        "ExpressionAttributeValues": {
            ":in_progress": {"S": "IN_PROGRESS"}, ":deferred": {"S": "DEFERRED"}, ":claimed": {"S": "CLAIMED"},
            ":owner": {"S": owner}, ":now": {"N": now.to_string()}, ":lease_until": {"N": (now + 100).to_string()},
            ":zero": {"N": "0"}, ":one": {"N": "1"},
        },
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    })
}

/// Returns a settlement of the claim.
fn settle(owner: &str, status: &str, code: Option<&str>) -> Value {
    let mut request = json!({
        "TableName": "T",
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": "SET #Status = :status REMOVE #FailureCode",
        "ConditionExpression": "#Owner = :owner AND #Status = :in_progress",
        "ExpressionAttributeNames": {"#Status": "Status", "#Owner": "Owner", "#FailureCode": "FailureCode"},
        "ExpressionAttributeValues": {
            ":status": {"S": status}, ":owner": {"S": owner}, ":in_progress": {"S": "IN_PROGRESS"},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    if let Some(code) = code {
        request["UpdateExpression"] = "SET #Status = :status, #FailureCode = :code".into();
        request["ExpressionAttributeValues"][":code"] = json!({"S": code});
    }
    request
}

fn held(owner: &str, lease_until: &str, attempts: &str) -> Value {
    json!({
        "id": {"S": "a"}, "Status": {"S": "IN_PROGRESS"}, "Owner": {"S": owner}, "LeaseUntil": {"N": lease_until},
        "Step": {"S": "CLAIMED"}, "Attempts": {"N": attempts},
    })
}

#[tokio::test]
async fn claim_holds_until_its_lease_ends() -> Result {
    let wire = Wire::start().await?;

    let first = wire.ok("UpdateItem", claim("one", 1000)).await?;
    let (name, refusal) = wire.refused("UpdateItem", claim("two", 1100)).await?;
    let late = wire.ok("UpdateItem", claim("two", 1101)).await?;

    assert_eq!(first, json!({"Attributes": held("one", "1100", "1")}));
    assert_eq!(name, "ConditionalCheckFailedException");
    assert_eq!(refusal["message"], "The conditional request failed");
    assert_eq!(refusal["Item"], held("one", "1100", "1"));
    assert_eq!(late, json!({"Attributes": held("two", "1201", "2")}));
    Ok(())
}

#[tokio::test]
async fn condition_failure_shows_the_item_only_when_requested() -> Result {
    let wire = Wire::start().await?;

    let (_, nothing) = wire.refused("UpdateItem", settle("one", "COMPLETED", None)).await?;
    wire.ok("UpdateItem", claim("one", 1000)).await?;
    let mut unasked = settle("two", "COMPLETED", None);
    unasked["ReturnValuesOnConditionCheckFailure"] = "NONE".into();
    let (_, hidden) = wire.refused("UpdateItem", unasked).await?;

    assert_eq!(nothing.get("Item"), None);
    assert_eq!(hidden.get("Item"), None);
    assert_eq!(serde_json::to_value(wire.table.items())?, json!([held("one", "1100", "1")]));
    Ok(())
}

#[tokio::test]
async fn claim_succeeds_when_deferred_and_fails_when_completed() -> Result {
    let wire = Wire::start().await?;
    wire.ok("UpdateItem", claim("one", 1000)).await?;

    let deferred = settle("one", "DEFERRED", Some("TARGET_UNAVAILABLE"));
    assert_eq!(wire.ok("UpdateItem", deferred).await?, json!({}));
    assert_eq!(wire.table.items()[0]["FailureCode"], json!({"S": "TARGET_UNAVAILABLE"}));
    let again = wire.ok("UpdateItem", claim("two", 1001)).await?;
    wire.refused("UpdateItem", settle("one", "COMPLETED", None)).await?;
    wire.ok("UpdateItem", settle("two", "COMPLETED", None)).await?;
    let (_, refusal) = wire.refused("UpdateItem", claim("three", 9000)).await?;

    assert_eq!(again["Attributes"]["Attempts"], json!({"N": "2"}));
    assert_eq!(refusal["Item"]["Status"], json!({"S": "COMPLETED"}));
    assert_eq!(refusal["Item"].get("FailureCode"), None);
    Ok(())
}
