//! The query to Genesys Cloud's analytics on the wire.

use genesys_stand_in::Fault;
use genesys_test_support::{Record, TestResult};
use serde_json::{Value, json};

use super::run::OperatorHarness;

const PATH: &str = "/api/v2/analytics/conversations/details/query";

fn page(ids: &[&str], total: u64) -> String {
    let conversations = ids.iter().map(|id| {
        json!({
            "conversationId": id,
            "conversationStart": "2026-07-25T17:00:00.000Z",
            "conversationEnd": "2026-07-25T17:19:00.000Z",
            "participants": [
                { "purpose": "customer", "participantName": "Marta Muster", "sessions": [
                    { "mediaType": "voice", "ani": "tel:+4930123456" }] },
                { "purpose": "agent", "sessions": [{ "mediaType": "voice" }] },
            ],
        })
    });
    json!({ "conversations": conversations.collect::<Vec<_>>(), "totalHits": total }).to_string()
}

#[tokio::test]
async fn correlate_pages_analytics_requests_after_the_rate_limit() -> TestResult {
    let desk = OperatorHarness::new().await?;
    for number in 0..3 {
        let id = format!("{number}");
        desk.put(&Record::dead_letter("m", &format!("e-{id}"), &format!("c-{id}"))).await?;
    }
    let fault = || Fault::on("POST", PATH).times(1);
    let limited = fault().status(429).header("Retry-After", "1");
    desk.genesys.fault(limited);
    desk.genesys.fault(fault().status(200).body(&page(&["c-0"], 2)));
    desk.genesys.fault(fault().status(200).body(&page(&["c-2"], 2)));
    let done = desk.diagnose(&["--correlate"]).await?;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(
        done.stdout.contains("Interactions that analytics did not return: 1."),
        "{}",
        done.stdout
    );
    let records = desk.records()?;
    let records = records["records"].as_array().ok_or("no list")?;
    for (id, is_known) in [("c-0", true), ("c-1", false), ("c-2", true)] {
        let record = records.iter().find(|it| it["interactionId"] == id).ok_or("lost")?;
        let expected = is_known.then(|| {
            json!({
                "conversationId": id,
                "conversationStart": "2026-07-25T17:00:00.000Z",
                "conversationEnd": "2026-07-25T17:19:00.000Z",
                "mediaTypes": ["voice"],
                "participants": { "agent": 1, "customer": 1 },
            })
        });
        assert_eq!(record["interactionInfo"], expected.unwrap_or(Value::Null), "{id}");
    }
    let calls = desk.genesys.calls_to("POST", PATH);
    let bodies: Vec<Value> =
        calls.iter().map(|call| serde_json::from_str(&call.body)).collect::<Result<_, _>>()?;
    let pages: Vec<&Value> = bodies.iter().map(|it| &it["paging"]["pageNumber"]).collect();
    assert_eq!(pages, [1, 1, 2]);
    let first = &bodies[0];
    let predicate = |id: &str| json!({ "type": "dimension", "dimension": "conversationId", "operator": "matches", "value": id });
    assert_eq!(
        first["conversationFilters"],
        json!([{ "type": "or", "predicates": [predicate("c-0"), predicate("c-1"), predicate("c-2")] }])
    );
    assert_eq!(first["order"], "asc");
    assert_eq!(first["orderBy"], "conversationStart");
    assert_eq!(first["paging"]["pageSize"], 100);
    let interval = first["interval"].as_str().ok_or("no interval")?;
    let (from, until) = interval.split_once('/').ok_or("no interval")?;
    assert!(from < until, "{interval}");
    Ok(())
}

#[tokio::test]
async fn correlate_warns_and_writes_records_when_analytics_refuses() -> TestResult {
    let desk = OperatorHarness::new().await?;
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    desk.genesys.fault(Fault::on("POST", PATH).status(403));
    let done = desk.diagnose(&["--correlate"]).await?;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("explain GENESYS_CREDENTIALS"), "{}", done.stderr);
    assert_eq!(desk.records()?["records"][0]["interactionInfo"], Value::Null);
    Ok(())
}
