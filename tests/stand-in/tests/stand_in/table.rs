//! The table over the wire.

mod expressions;
mod ledger;
mod powertools;

use std::collections::BTreeMap;
use std::time::Duration;

use genesys_stand_in::Table;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::Result;

/// A table with partition key `id`, and its client.
struct Wire {
    table: Table,
    http: reqwest::Client,
}

impl Wire {
    async fn start() -> Result<Self> {
        Ok(Self {
            table: Table::start("id").await?,
            http: reqwest::Client::builder()
                .no_proxy()
                // In paused time, an idle connection would be closed at once.
                .pool_idle_timeout(None)
                .build()?,
        })
    }

    /// Sends a request with this target and body.
    async fn send(&self, target: &str, body: String) -> Result<(StatusCode, Value)> {
        let request = self.http.post(self.table.url()).body(body);
        let request = request.header("X-Amz-Target", target);
        let response = request.send().await?;
        let content_type = response.headers().get("content-type");
        assert_eq!(content_type.ok_or("no type")?, "application/x-amz-json-1.0");
        let status = response.status();
        Ok((status, serde_json::from_str(&response.text().await?)?))
    }

    async fn call(&self, operation: &str, request: &Value) -> Result<(StatusCode, Value)> {
        let target = format!("DynamoDB_20120810.{operation}");
        self.send(&target, request.to_string()).await
    }

    /// Sends a request that has to succeed.
    async fn ok(&self, operation: &str, request: Value) -> Result<Value> {
        let (status, answer) = self.call(operation, &request).await?;
        assert_eq!(status, StatusCode::OK, "{answer}");
        Ok(answer)
    }

    /// Sends a request that has to be refused. Returns the error's name and the whole error.
    async fn refused(&self, operation: &str, request: Value) -> Result<(String, Value)> {
        let (status, answer) = self.call(operation, &request).await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        Ok((name(&answer)?, answer))
    }
}

fn name(error: &Value) -> Result<String> {
    let kind = error["__type"].as_str().and_then(|kind| kind.split_once('#'));
    Ok(kind.ok_or("no __type")?.1.to_owned())
}

/// Returns a request that puts `{id: "a", n: 1}`.
fn put_a() -> Value {
    json!({"TableName": "T", "Item": {"id": {"S": "a"}, "n": {"N": "1"}}})
}

fn key_a() -> Value {
    json!({"TableName": "T", "Key": {"id": {"S": "a"}}})
}

/// Returns a request that sets `n` of `a` to 2.
fn update_a(return_values: &str) -> Value {
    json!({
        "TableName": "T", "Key": {"id": {"S": "a"}}, "ReturnValues": return_values,
        "UpdateExpression": "SET n = :two", "ExpressionAttributeValues": {":two": {"N": "2"}},
    })
}

#[tokio::test]
async fn item_is_put_read_and_deleted() -> Result {
    let wire = Wire::start().await?;

    assert_eq!(wire.ok("GetItem", key_a()).await?, json!({}));
    assert_eq!(wire.ok("PutItem", put_a()).await?, json!({}));
    let got = wire.ok("GetItem", key_a()).await?;
    let mut delete = key_a();
    delete["ReturnValues"] = "ALL_OLD".into();
    let deleted = wire.ok("DeleteItem", delete.clone()).await?;

    assert_eq!(got, json!({"Item": put_a()["Item"]}));
    assert_eq!(deleted, json!({"Attributes": put_a()["Item"]}));
    assert_eq!(wire.ok("GetItem", key_a()).await?, json!({}));
    assert_eq!(wire.ok("DeleteItem", delete).await?, json!({}));
    Ok(())
}

#[tokio::test]
async fn put_replaces_the_whole_item() -> Result {
    let wire = Wire::start().await?;
    wire.ok("PutItem", put_a()).await?;

    let put = json!({"TableName": "T", "Item": {"id": {"S": "a"}}, "ReturnValues": "ALL_OLD"});
    let replaced = wire.ok("PutItem", put).await?;

    assert_eq!(replaced, json!({"Attributes": put_a()["Item"]}));
    assert_eq!(wire.ok("GetItem", key_a()).await?, json!({"Item": {"id": {"S": "a"}}}));
    Ok(())
}

#[tokio::test]
async fn update_returns_the_requested_values() -> Result {
    for (return_values, expected) in [
        ("NONE", json!({})),
        ("ALL_OLD", json!({"Attributes": {"id": {"S": "a"}, "n": {"N": "1"}}})),
        ("ALL_NEW", json!({"Attributes": {"id": {"S": "a"}, "n": {"N": "2"}}})),
    ] {
        let wire = Wire::start().await?;
        wire.ok("PutItem", put_a()).await?;
        assert_eq!(
            wire.ok("UpdateItem", update_a(return_values)).await?,
            expected,
            "{return_values}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn unknown_operation_is_refused_by_its_name() -> Result {
    let wire = Wire::start().await?;

    let (name, error) = wire.refused("Scan", json!({"TableName": "T"})).await?;

    assert_eq!(name, "UnknownOperationException");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("Scan")));
    let (status, _) = wire.send("DynamoDB_20111205.GetItem", key_a().to_string()).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test]
async fn invalid_request_is_a_validation_error_with_its_cause() -> Result {
    let wire = Wire::start().await?;
    let with = |mut request: Value, member: &str, value: Value| {
        request[member] = value;
        request
    };
    for (operation, request, named) in [
        ("GetItem", json!({"TableName": "T"}), "the key id must be a string"),
        ("PutItem", json!({"TableName": "T"}), "the key id must be a string"),
        (
            "GetItem",
            with(key_a(), "Key", json!({"other": {"S": "a"}})),
            "the key id must be a string",
        ),
        ("GetItem", with(key_a(), "Key", json!({"id": {"N": "1"}})), "the key id must be a string"),
        ("GetItem", with(key_a(), "ProjectionExpression", json!("n")), "`ProjectionExpression`"),
        ("BatchGetItem", json!({"RequestItems": {}}), "BatchGetItem: unknown field `RequestItems`"),
        ("PutItem", with(put_a(), "Item", json!({"n": {"N": "1"}})), "the key id must be a string"),
        ("PutItem", with(put_a(), "Item", json!({"id": {"S": "a"}, "b": {"B": "AA=="}})), "`B`"),
        ("PutItem", with(put_a(), "ConditionExpression", json!("n !")), "token: \"!\""),
        ("UpdateItem", with(update_a("NONE"), "UpdateExpression", json!("SET n")), "<EOF>"),
        ("UpdateItem", update_a("SOME"), "`SOME`"),
    ] {
        let (name, error) = wire.refused(operation, request).await?;
        assert_eq!(name, "ValidationException", "{error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(named), "{named}: {message}");
    }
    assert!(wire.table.items().is_empty());
    Ok(())
}

#[tokio::test]
async fn body_that_is_not_json_is_a_validation_error() -> Result {
    let wire = Wire::start().await?;

    let (status, error) =
        wire.send("DynamoDB_20120810.GetItem", "{\"Key\": oops".to_owned()).await?;

    assert_eq!((status, name(&error)?.as_str()), (StatusCode::BAD_REQUEST, "ValidationException"));
    assert!(
        error["message"].as_str().is_some_and(|message| message.contains("column 9")),
        "{error}"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn latency_applies_to_every_response() -> Result {
    let wire = Wire::start().await?;
    wire.table.set_latency(Duration::from_secs(2));

    let start = Instant::now();
    wire.ok("PutItem", put_a()).await?;
    wire.refused("Scan", json!({})).await?;

    assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
    Ok(())
}

#[tokio::test]
async fn items_and_calls_are_shown_until_each_are_cleared() -> Result {
    let wire = Wire::start().await?;
    wire.ok("PutItem", json!({"TableName": "T", "Item": {"id": {"S": "b"}}})).await?;
    wire.ok("PutItem", put_a()).await?;
    wire.refused("Scan", json!({})).await?;

    let items = serde_json::to_value(wire.table.items())?;
    wire.table.clear();
    let calls = wire.table.calls();
    wire.table.clear_calls();

    assert_eq!(items, json!([put_a()["Item"], {"id": {"S": "b"}}]));
    let expected = [("PutItem", 2), ("Scan", 1)];
    assert_eq!(calls, expected.map(|(name, count)| (name.to_owned(), count)).into());
    assert!(wire.table.items().is_empty());
    assert_eq!(wire.table.calls(), BTreeMap::new());
    Ok(())
}

#[tokio::test]
async fn table_closes_its_port_when_dropped() -> Result {
    let Wire { table, http } = Wire::start().await?;
    let url = table.url();
    drop(table);
    tokio::task::yield_now().await;

    assert!(http.post(url).send().await.is_err_and(|error| error.is_connect()));
    Ok(())
}
