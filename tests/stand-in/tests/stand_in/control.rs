//! The control API of the demo and the benchmark.

use std::time::Duration;

use genesys_stand_in::{Call, Fault, StandIn};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use crate::client::{Client, Result};

#[tokio::test]
async fn calls_are_listed_and_cleared() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    client.post("/targets/a", "hello").await?;

    let listed = client.get("/_stand-in/calls").await?.json()?;

    assert_eq!(serde_json::from_value::<Vec<Call>>(listed.clone())?, stand_in.calls());
    assert_eq!(listed[0]["path"], "/oauth/token");
    let expected = json!({
        "seq": 2, "at_ms": listed[1]["at_ms"], "method": "POST", "path": "/targets/a", "status": 200, "acted": true,
        "headers": listed[1]["headers"], "body": "hello",
    });
    assert_eq!(listed[1], expected);
    assert_eq!(listed[1]["headers"]["authorization"], "Bearer ***");

    assert_eq!(client.delete("/_stand-in/calls").await?.status, StatusCode::OK);
    assert_eq!(client.get("/_stand-in/calls").await?.body, "[]");
    client.post("/targets/a", "").await?;
    assert_eq!(client.get("/_stand-in/calls").await?.json()?[0]["seq"], 3);
    Ok(())
}

#[tokio::test]
async fn faults_are_added_one_or_many_and_removed() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::anonymous(&stand_in.url())?;
    let one = r#"{"path_contains":"/targets/","times":1,"status":429,"headers":{"Retry-After":"5"},"body":"slow"}"#;
    let many = r#"[{"method":"put","times":1,"status":500},{"body_contains":"x","status":503,"act":true}]"#;
    client.post("/_stand-in/faults", one).await?;
    client.post("/_stand-in/faults", many).await?;

    let reply = client.put("/targets/a", "x").await?;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (429, "slow"));
    assert_eq!(reply.header("retry-after"), Some("5"));
    assert_eq!(client.put("/targets/a", "x").await?.status.as_u16(), 500);
    assert_eq!(client.put("/targets/a", "x").await?.status.as_u16(), 503);

    client.delete("/_stand-in/faults").await?;
    assert_eq!(client.put("/targets/a", "x").await?.status, StatusCode::OK);
    let acted: Vec<_> = stand_in.calls().iter().map(|call| call.acted).collect();
    assert_eq!(acted, [false, false, true, true]);
    Ok(())
}

#[tokio::test]
async fn invalid_rule_is_refused_with_its_whole_list() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::anonymous(&stand_in.url())?;

    for rules in [
        "not json",
        r#"{"path":"/targets/"}"#,
        r#"[{"status":500},{"status":99}]"#,
        r#"{"body":"no status"}"#,
        r#"{"hang":true,"close":true}"#,
        r#"{"status":500,"headers":{"a b":"c"}}"#,
    ] {
        let reply = client.post("/_stand-in/faults", rules).await?;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{rules}");
        assert!(reply.json()?["error"].is_string());
    }
    assert_eq!(client.post("/targets/a", "").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn participants_are_put_and_tokens_revoked() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    let participants = r#"[{"id":"p1","purpose":"customer"}]"#;

    client.put("/_stand-in/conversations/abc", participants).await?;
    let path = "/api/v2/conversations/abc/participants/p1/attributes";
    let patched = client.patch(path, r#"{"attributes":{"a":"b"}}"#).await?;
    assert_eq!(patched.status, StatusCode::OK);
    assert_eq!(stand_in.attributes("abc", "p1")["a"], "b");

    client.post("/_stand-in/tokens/revoke", "").await?;
    let refused = client.get("/api/v2/conversations/abc").await?;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn latency_is_set_per_service() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    let latency = r#"{"genesys_ms":2000,"target_ms":30000}"#;
    assert_eq!(client.put("/_stand-in/latency", latency).await?.status, StatusCode::OK);

    let start = Instant::now();
    client.get("/api/v2/conversations/abc").await?;
    let genesys = start.elapsed();
    let start = Instant::now();
    client.post("/targets/a", "").await?;
    let target = start.elapsed();

    assert!(genesys >= Duration::from_secs(2), "{genesys:?}");
    assert!(genesys < Duration::from_secs(30), "{genesys:?}");
    assert!(target >= Duration::from_secs(30), "{target:?}");
    let typo = client.put("/_stand-in/latency", r#"{"genesis_ms":1}"#).await?;
    assert_eq!(typo.status, StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn latency_is_set_by_the_test_api() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let [genesys, target, token] = [2, 30, 500].map(Duration::from_secs);
    stand_in.set_latency(genesys, target, token);

    let start = Instant::now();
    let client = Client::logged_in(&stand_in).await?;
    let logged_in = start.elapsed();
    client.get("/api/v2/conversations/abc").await?;
    let got = start.elapsed();
    client.post("/targets/a", "").await?;

    assert!(logged_in >= token, "{logged_in:?}");
    assert!(got >= token + genesys, "{got:?}");
    assert!(start.elapsed() >= token + genesys + target);
    Ok(())
}

#[tokio::test]
async fn control_is_neither_recorded_nor_faulty() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::anonymous(&stand_in.url())?;
    stand_in.fault(Fault::on("GET", "/").status(500));

    assert_eq!(client.get("/_stand-in/health").await?.status, StatusCode::OK);
    assert_eq!(client.get("/_stand-in/nothing").await?.status, StatusCode::NOT_FOUND);
    assert_eq!(stand_in.calls(), []);
    Ok(())
}

#[tokio::test]
async fn stand_in_stops_when_dropped() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::anonymous(&stand_in.url())?;
    client.get("/_stand-in/health").await?;

    drop(stand_in);

    assert!(client.get("/_stand-in/health").await.is_err());
    Ok(())
}
