//! Every kind of fault.

use std::time::Duration;

use genesys_stand_in::{Call, Fault, StandIn, eventually};
use reqwest::StatusCode;
use tokio::time::{Instant, advance, pause};

use crate::client::{Client, Result, raw_post};

const ATTRIBUTES: &str = "/api/v2/conversations/abc/participants/abc-agent/attributes";
const PATCH: &str = r#"{"attributes":{"replay":"retrying"}}"#;

fn only(calls: &[Call]) -> Result<&Call> {
    match calls {
        [call] => Ok(call),
        _ => Err(format!("not one call: {calls:?}").into()),
    }
}

#[tokio::test]
async fn status_fault_replaces_the_response_a_number_of_times() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    stand_in.fault(Fault::on("PATCH", "/conversations/").status(503).times(2));

    let mut statuses = Vec::new();
    for _ in 0..3 {
        let reply = client.patch(ATTRIBUTES, PATCH).await?;
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!(reply.json()?["code"], "service.unavailable");
            assert_eq!(reply.header("inin-ratelimit-allowed"), Some("300"));
            assert_eq!(stand_in.attributes("abc", "abc-agent").len(), 0);
        }
        statuses.push(reply.status.as_u16());
    }

    assert_eq!(statuses, [503, 503, 200]);
    let acted: Vec<_> = stand_in.calls_to("PATCH", "").iter().map(|call| call.acted).collect();
    assert_eq!(acted, [false, false, true]);
    Ok(())
}

#[tokio::test]
async fn first_matching_rule_with_uses_left_applies() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    stand_in.fault(Fault::on("POST", "/targets/a").body_contains("x").status(418));
    stand_in.fault(Fault::on("POST", "/targets/").status(500).times(1));
    stand_in.fault(Fault::on("POST", "/targets/").status(502));

    let mut statuses = Vec::new();
    for (path, body) in
        [("/targets/a", "x"), ("/targets/a", "y"), ("/targets/a", "y"), ("/targets/b", "x")]
    {
        statuses.push(client.post(path, body).await?.status.as_u16());
    }
    assert_eq!(statuses, [418, 500, 502, 502]);

    stand_in.clear_faults();
    assert_eq!(client.post("/targets/a", "x").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn rate_limit_fault_repeats_its_header_in_the_body() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    stand_in.fault(Fault::on("GET", "/api/").status(429).header("Retry-After", "5"));

    let reply = client.get("/api/v2/conversations/abc").await?;

    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), Some("5"));
    assert!(reply.body.contains("[5] seconds"), "{}", reply.body);
    Ok(())
}

#[tokio::test]
async fn fault_body_defaults_to_the_error_of_the_service() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    stand_in.fault(Fault::on("POST", "/oauth/token").status(400).times(1));
    stand_in.fault(Fault::on("POST", "/targets/").status(502).times(1));
    stand_in.fault(Fault::on("POST", "/targets/").status(502).body("<html>"));

    let login = client.ask_for_token("demo-client", "demo-secret").await?;
    assert_eq!(login.json()?["error"], "invalid_request");
    assert_eq!(client.post("/targets/a", "").await?.body, "Bad Gateway");
    assert_eq!(client.post("/targets/a", "").await?.body, "<html>");
    Ok(())
}

#[tokio::test]
async fn status_fault_hides_the_effect_when_acting() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    stand_in.fault(Fault::on("PATCH", "/conversations/").status(504).act());

    let reply = client.patch(ATTRIBUTES, PATCH).await?;

    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(stand_in.attributes("abc", "abc-agent")["replay"], "retrying");
    let calls = stand_in.calls_to("PATCH", "");
    assert_eq!((only(&calls)?.status, only(&calls)?.acted), (Some(504), true));
    Ok(())
}

#[tokio::test]
async fn hanging_fault_never_responds() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    stand_in.fault(Fault::on("PATCH", "/conversations/").hang().act().times(1));

    let hanging = client.clone();
    let request = tokio::spawn(async move { hanging.patch(ATTRIBUTES, PATCH).await.is_ok() });
    eventually("the request is carried out", async || {
        let calls = stand_in.calls_to("PATCH", "");
        Ok(calls.iter().any(|call| call.acted).then_some(()))
    })
    .await?;
    // A second request gives a wrong response time to arrive.
    client.get("/api/v2/conversations/abc").await?;

    assert!(!request.is_finished());
    request.abort();
    let calls = stand_in.calls_to("PATCH", "");
    assert_eq!(only(&calls)?.status, None);
    assert_eq!(stand_in.attributes("abc", "abc-agent")["replay"], "retrying");
    Ok(())
}

#[tokio::test]
async fn close_fault_sends_no_byte() -> Result {
    let stand_in = StandIn::builder().start().await?;
    stand_in.fault(Fault::on("POST", "/targets/").close().times(1));
    stand_in.fault(Fault::on("POST", "/targets/").close().act());

    for acted in [false, true] {
        stand_in.clear_calls();
        assert_eq!(raw_post(&stand_in.url(), "/targets/a", "hello").await?, "");
        let calls = stand_in.calls();
        assert_eq!((only(&calls)?.status, only(&calls)?.acted), (None, acted));
    }
    let failed = Client::anonymous(&stand_in.url())?.post("/targets/a", "").await;
    assert!(failed.is_err());
    Ok(())
}

#[tokio::test]
async fn truncated_fault_sends_less_than_its_content_length() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::logged_in(&stand_in).await?;
    stand_in.fault(Fault::on("POST", "/targets/a").status(500).body("12345678").truncate());
    stand_in.fault(Fault::on("POST", "/targets/b").truncate());
    stand_in.fault(Fault::on("PATCH", "/conversations/").truncate());

    let answer = raw_post(&stand_in.url(), "/targets/a", "").await?;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("content-length: 8\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n1234"), "{answer}");

    let answer = raw_post(&stand_in.url(), "/targets/b", "").await?;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{"), "{answer}");

    // The normal response of this request is empty.
    assert!(client.patch(ATTRIBUTES, PATCH).await.is_err());
    assert_eq!(stand_in.attributes("abc", "abc-agent")["replay"], "retrying");
    let acted: Vec<_> = stand_in.calls().iter().map(|call| (call.status, call.acted)).collect();
    let expected = [(Some(200), true), (Some(500), false), (Some(200), true), (Some(200), true)];
    assert_eq!(acted, expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn delayed_response_is_late_and_complete() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::anonymous(&stand_in.url())?;
    let delay = Duration::from_secs(20);
    stand_in.fault(Fault::on("POST", "/targets/").delay(delay).times(1));

    let start = Instant::now();
    let late = client.post("/targets/a", "").await?;
    assert_eq!(late.status, StatusCode::OK);
    assert!(start.elapsed() >= delay);

    let start = Instant::now();
    client.post("/targets/a", "").await?;
    assert!(start.elapsed() < delay);
    assert!(stand_in.calls()[1].at_ms >= 20_000);
    Ok(())
}

#[tokio::test]
async fn request_aborted_during_its_delay_has_an_effect_when_acting() -> Result {
    let stand_in = StandIn::builder().start().await?;
    let client = Client::anonymous(&stand_in.url())?;
    let delay = Duration::from_hours(1);
    stand_in.fault(Fault::on("POST", "/targets/a").delay(delay));
    stand_in.fault(Fault::on("POST", "/targets/b").delay(delay).act());

    for path in ["/targets/a", "/targets/b"] {
        let impatient = client.clone();
        let request = tokio::spawn(async move { impatient.post(path, "").await.is_ok() });
        eventually("the request arrives", async || {
            let calls = stand_in.calls_to("POST", path);
            Ok((!calls.is_empty()).then_some(()))
        })
        .await?;
        request.abort();
    }
    // The stand-in detects the closed connections before it responds on another one.
    client.get("/_stand-in/health").await?;
    pause();
    advance(delay).await;
    client.get("/_stand-in/health").await?;

    let calls = stand_in.calls();
    let fates: Vec<_> = calls.iter().map(|call| (call.status, call.acted)).collect();
    assert_eq!(fates, [(None, false), (None, true)]);
    Ok(())
}

#[tokio::test]
#[should_panic(expected = "outside 200–599")]
async fn rule_with_an_invalid_status_panics() {
    if let Ok(stand_in) = StandIn::builder().start().await {
        stand_in.fault(Fault::on("GET", "/").status(99));
    }
}
