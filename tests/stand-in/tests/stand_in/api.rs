//! The two forms of the API, and the delivery target.

use std::collections::BTreeMap;

use genesys_stand_in::StandIn;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::client::{Client, Result};

#[tokio::test]
async fn conversations_exist_with_an_agent_and_a_customer() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;

    let reply = client.get("/api/v2/conversations/abc").await?;

    assert_eq!(reply.status, StatusCode::OK);
    let conversation = reply.json()?;
    assert_eq!(conversation["id"], "abc");
    assert!(conversation["startTime"].is_string());
    let expected = json!([
        {"id": "abc-agent", "purpose": "agent", "attributes": {}},
        {"id": "abc-customer", "purpose": "customer", "attributes": {}},
    ]);
    assert_eq!(conversation["participants"], expected);
    Ok(())
}

#[tokio::test]
async fn participants_are_configurable() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;

    stand_in.put_participants("a b", &[("p1", "acd")]);

    let conversation = client.get("/api/v2/conversations/a%20b").await?.json()?;
    let expected = json!([{"id": "p1", "purpose": "acd", "attributes": {}}]);
    assert_eq!(conversation["participants"], expected);
    Ok(())
}

#[tokio::test]
async fn participant_attributes_are_stored_with_an_empty_response() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    let path = "/api/v2/conversations/abc/participants/abc-customer/attributes";

    let reply = client.patch(path, r#"{"attributes":{"a":"1","b":"2"}}"#).await?;
    client.patch(path, r#"{"attributes":{"b":"3"}}"#).await?;

    assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, ""));
    let expected = BTreeMap::from(
        [("a", "1"), ("b", "3")].map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    assert_eq!(stand_in.attributes("abc", "abc-customer"), expected);
    assert_eq!(stand_in.attributes("abc", "abc-agent"), BTreeMap::new());
    let conversation = client.get("/api/v2/conversations/abc").await?.json()?;
    assert_eq!(conversation["participants"][1]["attributes"], json!({"a": "1", "b": "3"}));
    Ok(())
}

#[tokio::test]
async fn participant_attributes_are_flat_strings() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    let path = "/api/v2/conversations/abc/participants/abc-agent/attributes";

    for body in [
        r#"{"attributes":{"a":{"b":"c"}}}"#,
        r#"{"attributes":{"a":1}}"#,
        r#"{"a":"b"}"#,
        "not json",
    ] {
        let reply = client.patch(path, body).await?;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(reply.json()?["code"], "bad.request");
    }
    assert_eq!(stand_in.attributes("abc", "abc-agent"), BTreeMap::new());
    assert!(stand_in.calls_to("PATCH", "/attributes").iter().all(|call| !call.acted));
    Ok(())
}

#[tokio::test]
async fn errors_are_returned_for_unknown_participants_and_paths() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    let body = r#"{"attributes":{}}"#;
    let stranger = "/api/v2/conversations/abc/participants/stranger/attributes";

    for (method, path, status) in [
        (Method::PATCH, stranger, StatusCode::NOT_FOUND),
        (Method::GET, "/api/v2/users/me", StatusCode::NOT_FOUND),
        (Method::DELETE, "/api/v2/conversations/abc", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, stranger, StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let reply = client.send(method, path, body).await?;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.json()?["status"], status.as_u16());
    }
    Ok(())
}

#[tokio::test]
async fn interactions_are_merged_and_returned() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    let path = "/api/v2/interactions/abc";

    let fresh = client.get(path).await?.json()?;
    let change =
        r#"{"attributes":{"system":{"retryStatus":"retrying"},"note":"x"},"participants":null}"#;
    let patched = client.patch(path, change).await?.json()?;

    assert_eq!(fresh["attributes"], json!({"system": {"retryAttempt": 0, "retryStatus": "none"}}));
    let expected = json!({"system": {"retryAttempt": 0, "retryStatus": "retrying"}, "note": "x"});
    assert_eq!(patched["attributes"], expected);
    assert_eq!(patched["id"], "abc");
    assert_eq!(patched.get("participants"), None);
    assert_eq!(client.get(path).await?.json()?, patched);
    assert_eq!(client.patch(path, "[]").await?.status, StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test]
async fn target_accepts_any_method_and_records_the_request() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    stand_in.clear_calls();

    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let reply = client.send(method, "/targets/orders?x=1", "hello").await?;
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, "{}"));
    }

    let calls = stand_in.calls();
    let methods: Vec<_> = calls.iter().map(|call| call.method.as_str()).collect();
    assert_eq!(methods, ["POST", "PUT", "DELETE"]);
    let call = &calls[0];
    assert_eq!((call.path.as_str(), call.body.as_str()), ("/targets/orders?x=1", "hello"));
    assert_eq!((call.status, call.acted), (Some(200), true));
    assert_eq!(call.headers["authorization"], "Bearer ***");
    assert_eq!(call.headers["content-length"], "5");
    assert_eq!(stand_in.calls_to("PUT", "/orders").len(), 1);
    Ok(())
}

#[tokio::test]
async fn recorded_calls_hold_no_secrets() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;

    client.post_form("Basic ZGVtbw==", "client_id=demo&client_secret=demo-secret").await?;

    let record = serde_json::to_string(&stand_in.calls())?;
    assert!(!record.contains("demo-secret"), "{record}");
    assert!(!record.contains("ZGVtb"), "{record}");
    assert_eq!(stand_in.calls()[1].body, "client_id=demo&client_secret=***");
    Ok(())
}
