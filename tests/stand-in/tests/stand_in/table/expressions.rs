//! Condition and update expressions.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Wire, name};
use crate::client::Result;

/// Evaluates a condition on `{id: "a", status: "OPEN", count: 10}`. The inner error is the reason of a refusal.
async fn ask(wire: &Wire, condition: &str) -> Result<std::result::Result<bool, String>> {
    let request = json!({
        "TableName": "T",
        "Item": {"id": {"S": "a"}, "status": {"S": "OPEN"}, "count": {"N": "10"}},
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {
            ":open": {"S": "OPEN"}, ":shut": {"S": "SHUT"}, ":nine": {"N": "9"}, ":ten": {"N": "10.0"},
            ":half": {"N": "10.5"}, ":text": {"S": "10"},
        },
    });
    let (status, answer) = wire.call("PutItem", &request).await?;
    if status == StatusCode::OK {
        return Ok(Ok(true));
    }
    Ok(match name(&answer)?.as_str() {
        "ConditionalCheckFailedException" => Ok(false),
        "ValidationException" => Err(answer["message"].as_str().unwrap_or_default().to_owned()),
        other => return Err(other.into()),
    })
}

async fn assert_all(cases: &[(&str, bool)]) -> Result {
    let wire = Wire::start().await?;
    assert_eq!(ask(&wire, "attribute_not_exists(id)").await?, Ok(true));
    for (condition, expected) in cases {
        assert_eq!(ask(&wire, condition).await?, Ok(*expected), "{condition}");
    }
    Ok(())
}

#[tokio::test]
async fn condition_compares_strings_and_numbers() -> Result {
    assert_all(&[
        ("#status = :open", true),
        ("#status = :shut", false),
        ("#status < :shut", true),
        (":shut <= #status", false),
        ("count = :ten", true),
        ("count < :nine", false),
        (":nine<count", true),
        ("count <= :ten", true),
        ("count < :half", true),
        (":half <= count", false),
    ])
    .await
}

#[tokio::test]
async fn condition_fails_when_types_differ() -> Result {
    assert_all(&[
        ("count = :text", false),
        ("count <= :text", false),
        (":text <= count", false),
        ("NOT count = :text", true),
    ])
    .await
}

#[tokio::test]
async fn condition_fails_when_an_attribute_is_missing() -> Result {
    assert_all(&[
        ("attribute_exists(#status)", true),
        ("attribute_not_exists(#status)", false),
        ("attribute_exists(missing)", false),
        ("attribute_not_exists( missing )", true),
        ("missing = :open", false),
        ("missing < :nine", false),
        ("missing = missing", false),
        ("NOT missing = :open", true),
    ])
    .await
}

#[tokio::test]
async fn condition_precedence_is_not_and_or() -> Result {
    assert_all(&[
        ("#status = :open OR count = :ten AND count = :nine", true),
        ("(#status = :open OR count = :ten) AND count = :nine", false),
        ("count = :nine AND count = :ten OR #status = :open", true),
        ("NOT count = :nine AND #status = :open", true),
        ("NOT (count = :ten AND #status = :open)", false),
        ("not not count = :ten and ((#status = :open))", true),
    ])
    .await
}

#[tokio::test]
async fn condition_is_refused_by_its_token_when_malformed() -> Result {
    let wire = Wire::start().await?;
    for (condition, named) in [
        (" ", "<EOF>"),
        ("#status =", "<EOF>"),
        ("#status = :open AND", "<EOF>"),
        ("(#status = :open", "<EOF>"),
        ("#status = :open)", ")"),
        ("#status :open", ":open"),
        ("#status = :open count", "count"),
        ("#status > :open", ">"),
        ("a.b = :open", "."),
        ("1 = :open", "1"),
        ("ä = :open", "ä"),
        ("#missing = :open", "#missing"),
        ("count = :missing", ":missing"),
        // The right side of OR is parsed, also if the left one is true.
        ("attribute_not_exists(id) OR count = :missing", ":missing"),
        ("count BETWEEN :nine AND :ten", "BETWEEN"),
    ] {
        let expected = format!("syntax error; token: \"{named}\", in: {condition}");
        assert_eq!(ask(&wire, condition).await?, Err(expected));
    }
    let refused = ask(&wire, "begins_with(#status, :open)").await?;
    assert!(refused.is_err_and(|error| error.contains("begins_with")));
    assert!(wire.table.items().is_empty());
    Ok(())
}

/// Updates `{id: "a", n: 1, s: "x"}` and returns the item. The inner error is the reason of a refusal.
async fn update(expression: &str) -> Result<std::result::Result<Value, String>> {
    let wire = Wire::start().await?;
    let item = json!({"id": {"S": "a"}, "n": {"N": "1"}, "s": {"S": "x"}});
    wire.ok("PutItem", json!({"TableName": "T", "Item": item})).await?;
    let request = json!({
        "TableName": "T",
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": expression,
        "ExpressionAttributeNames": {"#n": "n"},
        "ExpressionAttributeValues": {":two": {"N": "2"}, ":half": {"N": "0.5"}, ":true": {"BOOL": true}},
    });
    let (status, answer) = wire.call("UpdateItem", &request).await?;
    let stored = Value::Object(wire.table.items().swap_remove(0));
    if status == StatusCode::OK {
        return Ok(Ok(stored));
    }
    assert_eq!(name(&answer)?, "ValidationException");
    assert_eq!(stored, item, "a refused update changes nothing");
    Ok(Err(answer["message"].as_str().unwrap_or_default().to_owned()))
}

/// Checks the attributes besides the key after each update.
async fn assert_updates(cases: &[(&str, Value)]) -> Result {
    for (expression, expected) in cases {
        let mut item = expected.clone();
        item["id"] = json!({"S": "a"});
        assert_eq!(update(expression).await?, Ok(item), "{expression}");
    }
    Ok(())
}

#[tokio::test]
async fn update_sets_and_adds() -> Result {
    assert_updates(&[
        (
            "SET #n = :true",
            json!({"n": {"BOOL": true}, "s": {"S": "x"}}),
        ),
        (
            "set c = s",
            json!({"n": {"N": "1"}, "s": {"S": "x"}, "c": {"S": "x"}}),
        ),
        (
            "SET #n = #n + :two,s=:half + :half",
            json!({"n": {"N": "3"}, "s": {"N": "1"}}),
        ),
        (
            "SET #n = if_not_exists(#n, :two) + :two, c = if_not_exists(c, :two) + :two, s = if_not_exists(s, :two)",
            json!({"n": {"N": "3"}, "s": {"S": "x"}, "c": {"N": "4"}}),
        ),
    ])
    .await
}

#[tokio::test]
async fn update_removes_attributes() -> Result {
    assert_updates(&[
        ("REMOVE s, missing", json!({"n": {"N": "1"}})),
        ("REMOVE #n SET s = :two", json!({"s": {"N": "2"}})),
        ("SET s = #n REMOVE n", json!({"s": {"N": "1"}})),
    ])
    .await
}

#[tokio::test]
async fn update_reads_the_item_as_it_was_before() -> Result {
    let expected = json!({"n": {"S": "x"}, "s": {"N": "1"}});
    assert_updates(&[("SET n = s, s = n", expected)]).await
}

#[tokio::test]
async fn update_is_refused_by_its_token_when_malformed() -> Result {
    for (expression, named) in [
        ("SET", "\"<EOF>\""),
        ("SET n", "\"<EOF>\""),
        ("SET n = :two,", "\"<EOF>\""),
        ("SET n = :two s = :two", "\"s\""),
        ("SET n = n - :two", "\"-\""),
        ("ADD n :two", "\"ADD\""),
        ("SET :two = n", "\":two\""),
        ("SET n = #s", "\"#s\""),
        ("SET n = :b", "\":b\""),
        ("SET n = list_append(n, :two)", "list_append"),
        ("SET n = missing", "operand is missing"),
        ("SET n = s + :two", "not a number"),
        ("SET n = :two, s = s + :two", "not a number"),
    ] {
        let refused = update(expression).await?;
        assert!(
            refused.as_ref().is_err_and(|error| error.contains(named)),
            "{expression}: {refused:?}"
        );
    }
    Ok(())
}
