//! Malformed input, and upstreams that are down, slow or return invalid responses: no event is lost.

use genesys_replay::clock::Timestamp;
use genesys_replay::failure::Accepted;
use genesys_replay::ledger::{
    Claim, ClaimRequest, EventKey, ItemState, Lease, Ledger, LedgerError, Settlement,
};
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId, Target};
use genesys_stand_in::Fault;
use genesys_test_support::replay_harness::{invoke, with_parts};
use genesys_test_support::{Record, ReplayHarness, TestResult, aws_at, closed_port, event, sample};
use serde_json::json;

#[tokio::test]
async fn bad_records_return_and_good_ones_are_replayed() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let records = [
        Record::new("not-json", "<html>"),
        Record::new("empty", ""),
        Record::new("no-event", r#"{"hello":"world"}"#),
        Record::dead_letter("good", "e-1", "c-1"),
    ];
    assert_eq!(harness.deliver(&records).await?, ["not-json", "empty", "no-event"]);
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn mixed_sample_batch_loses_no_message() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let batch = serde_json::to_value(sample("mixed-batch.json")?)?;
    let ids: Vec<_> = batch["Records"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|record| record["messageId"].as_str().map(str::to_owned))
        .collect();
    let back = invoke(&harness.function()?, batch).await??;
    assert!(back.iter().all(|id| ids.contains(id)));
    assert!(!back.is_empty() && back.len() < ids.len(), "{back:?} of {ids:?}");
    Ok(())
}

#[tokio::test]
async fn empty_batch_has_an_empty_response() -> TestResult {
    let harness = ReplayHarness::start().await?;
    assert!(harness.deliver(&[]).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn record_without_id_stops_the_batch_untouched() -> TestResult {
    let harness = ReplayHarness::start().await?;
    for id in [json!(null), json!("")] {
        let mut nameless = Record::dead_letter("x", "e-2", "c-2");
        nameless.0["messageId"] = id;
        let records = [Record::dead_letter("m-1", "e-1", "c-1"), nameless];
        let error = invoke(&harness.function()?, event(&records)).await?.err().ok_or("answered")?;
        assert!(error.to_string().contains("record 1 of 2 has no messageId"), "{error}");
    }
    let mut nameless = Record::dead_letter("x", "e-2", "c-2");
    nameless.0.as_object_mut().and_then(|record| record.remove("messageId")).ok_or("no id")?;
    assert!(invoke(&harness.function()?, event(&[nameless])).await?.is_err());
    assert!(harness.genesys.calls().is_empty());
    assert!(harness.aws.item(&harness.key("e-1")).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn response_names_a_message_once_when_it_came_twice() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let record = Record::new("m-1", "not json");
    assert_eq!(harness.deliver(&[record.clone(), record]).await?, ["m-1"]);
    Ok(())
}

#[tokio::test]
async fn record_with_only_an_id_returns_to_the_queue() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let bare = json!({ "Records": [{ "messageId": "m-1", "unknown": { "field": [1] } }] });
    assert_eq!(invoke(&harness.function()?, bare).await??, ["m-1"]);
    Ok(())
}

#[tokio::test]
async fn body_of_one_mebibyte_is_replayed_whole() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let small = Record::dead_letter("m-1", "e-1", "c-1");
    let body = small.0["body"].as_str().unwrap_or_default();
    let filler = "x".repeat(1024 * 1024 - body.len() - r#","x":"""#.len());
    let body =
        body.replace(r#""replay-name":"kept""#, &format!(r#""replay-name":"kept","x":"{filler}""#));
    assert_eq!(body.len(), 1024 * 1024);
    assert!(harness.deliver(&[Record::new("m-1", &body)]).await?.is_empty());
    let sent = harness.genesys.calls_to("POST", "/targets/");
    assert!(sent.first().is_some_and(|call| call.body == body));
    Ok(())
}

#[tokio::test]
async fn ledger_outage_prevents_every_upstream_call() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let (_socket, closed) = closed_port()?;
    let settings = harness.settings();
    let settings =
        genesys_replay_settings::Settings::from_lookup(|name| settings.get(name).cloned())?;
    let function = genesys_replay_lambda::app::build(settings, &aws_at(&closed))?;
    let records =
        [Record::dead_letter("m-1", "e-1", "c-1"), Record::dead_letter("m-2", "e-2", "c-1")];
    assert_eq!(invoke(&function, event(&records)).await??, ["m-1", "m-2"]);
    assert!(harness.genesys.calls().is_empty());
    Ok(())
}

#[tokio::test]
async fn event_is_not_lost_on_any_genesys_response() -> TestResult {
    let harness = ReplayHarness::start().await?;
    for (number, fault) in [
        Fault::on("GET", "/conversations/").status(200).body("<html>login</html>"),
        Fault::on("GET", "/conversations/").status(200).body(""),
        Fault::on("GET", "/conversations/").truncate(),
        Fault::on("GET", "/conversations/").close(),
        Fault::on("GET", "/conversations/").status(503).body("<html>"),
        Fault::on("PATCH", "/attributes").status(502),
        Fault::on("PATCH", "/attributes").close(),
        Fault::on("PATCH", "/attributes").status(403),
        Fault::on("POST", "/oauth/token").status(200).body("<html>"),
        Fault::on("POST", "/oauth/token").close(),
    ]
    .into_iter()
    .enumerate()
    {
        harness.genesys.revoke_tokens();
        harness.genesys.fault(fault.clone());
        let (message_id, event_id) = (format!("m-{number}"), format!("e-{number}"));
        let record = Record::dead_letter(&message_id, &event_id, "c-1");
        assert_eq!(harness.deliver(&[record]).await?, [message_id], "{fault:?}");
        assert_eq!(harness.deliveries(), 0, "{fault:?}");
        let status = harness.aws.attribute(&harness.key(&event_id), "Status").await?;
        assert_eq!(status.as_deref(), Some("DEFERRED"), "{fault:?}");
        harness.genesys.clear_faults();
    }
    Ok(())
}

#[tokio::test]
async fn event_is_not_lost_on_any_target_response() -> TestResult {
    let harness = ReplayHarness::start().await?;
    for (number, fault) in [
        Fault::on("POST", "/targets/").status(500).body("<html>"),
        Fault::on("POST", "/targets/").close(),
        Fault::on("POST", "/targets/").close().act(),
        Fault::on("POST", "/targets/").status(401),
        Fault::on("POST", "/targets/").status(302).header("Location", "http://127.0.0.1:1/"),
    ]
    .into_iter()
    .enumerate()
    {
        harness.genesys.fault(fault.clone());
        let (message_id, event_id) = (format!("m-{number}"), format!("e-{number}"));
        let record = Record::dead_letter(&message_id, &event_id, "c-1");
        assert_eq!(harness.deliver(&[record]).await?, [message_id], "{fault:?}");
        harness.genesys.clear_faults();
    }
    Ok(())
}

#[tokio::test]
async fn idempotency_key_is_the_same_after_a_lost_answer() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").close().act().times(1));
    assert!(harness.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?.is_empty());
    let keys: Vec<_> = harness
        .genesys
        .calls_to("POST", "/targets/")
        .iter()
        .filter_map(|call| call.headers.get("idempotency-key").cloned())
        .collect();
    let key = harness.idempotency_key("e-1");
    assert_eq!(keys, [key.clone(), key]);
    Ok(())
}

/// A target that panics.
struct Panics;

impl Target for Panics {
    async fn deliver(&self, delivery: &Delivery<'_>) -> Result<Option<DeliveryId>, DeliveryError> {
        assert!(!delivery.payload.contains("boom"), "a fault in this program");
        Ok(None)
    }
}

#[tokio::test]
async fn panic_fails_its_own_record_only() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let function = harness.function()?;
    let function = with_parts(function, |ledger| ledger, |_| Panics);
    let records = [
        Record::dead_letter("m-1", "e-1", "c-1"),
        Record::dead_letter("m-2", "e-2", "boom"),
        Record::dead_letter("m-3", "e-3", "c-1"),
    ];
    assert_eq!(invoke(&function, event(&records)).await??, ["m-2"]);
    // The function continues.
    assert!(
        invoke(&function, event(&[Record::dead_letter("m-4", "e-4", "c-1")])).await??.is_empty()
    );
    Ok(())
}

/// A ledger that fails after the claim of an event.
struct FailsAfterClaim<L> {
    inner: L,
    also_settle: bool,
}

fn outage() -> LedgerError {
    LedgerError::Unavailable("throttled".into())
}

impl<L: Ledger> Ledger for FailsAfterClaim<L> {
    async fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        self.inner.claim(request).await
    }
    async fn next_attempt(&self, _: &Lease) -> Result<Lease, LedgerError> {
        Err(outage())
    }
    async fn checkpoint(&self, _: &Lease) -> Result<Lease, LedgerError> {
        Err(outage())
    }
    async fn begin_round(
        &self,
        _: &ClaimRequest<'_>,
        _: &Accepted,
        _: Timestamp,
    ) -> Result<(), LedgerError> {
        Err(outage())
    }
    async fn look_up(&self, key: &EventKey) -> Result<Option<ItemState>, LedgerError> {
        self.inner.look_up(key).await
    }
    async fn index_delivery(&self, _: &str, _: &EventKey, _: Timestamp) -> Result<(), LedgerError> {
        Err(outage())
    }
    async fn find_delivery(&self, delivery_id: &str) -> Result<Option<EventKey>, LedgerError> {
        self.inner.find_delivery(delivery_id).await
    }
    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        if self.also_settle {
            return Err(outage());
        }
        self.inner.settle(lease, settlement, now).await
    }
}

#[tokio::test]
async fn delivered_event_is_not_returned_when_the_ledger_fails() -> TestResult {
    for also_settle in [false, true] {
        let harness = ReplayHarness::start().await?;
        let function = harness.function()?;
        let function =
            with_parts(function, |inner| FailsAfterClaim { inner, also_settle }, |target| target);
        let records = [Record::dead_letter("m-1", "e-1", "c-1")];
        assert!(
            invoke(&function, event(&records)).await??.is_empty(),
            "it would be delivered twice"
        );
        assert_eq!(harness.deliveries(), 1);
        let status = harness.aws.attribute(&harness.key("e-1"), "Status").await?;
        let expected = if also_settle { "IN_PROGRESS" } else { "COMPLETED" };
        assert_eq!(status.as_deref(), Some(expected));
    }
    Ok(())
}

#[tokio::test]
async fn attempt_is_not_made_when_it_cannot_be_counted() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(503).times(1));
    let function = harness.function()?;
    let function = with_parts(
        function,
        |inner| FailsAfterClaim { inner, also_settle: false },
        |target| target,
    );
    let records = [Record::dead_letter("m-1", "e-1", "c-1")];
    assert_eq!(invoke(&function, event(&records)).await??, ["m-1"]);
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn malformed_event_is_delivered_on_operator_replay() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let record = Record::dead_letter("m-1", "e-1", "c-1")
        .with("ERROR_CODE", "INVALID_PARAMETER")
        .with("ReplayPlan", "repaired");
    assert!(harness.deliver(&[record]).await?.is_empty());
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn own_queue_is_not_a_target() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let queue = harness.aws.create_queue(false).await?;
    harness.set("REPLAY_TARGET", &queue);
    let record = Record::dead_letter("m-1", "e-1", "c-1").in_queue(&queue, "receipt");
    assert_eq!(harness.deliver(&[record]).await?, ["m-1"]);
    assert!(harness.aws.receive(&queue, 0).await?.is_empty());
    let key = format!("e-1|{queue}");
    let code = harness.aws.attribute(&key, "FailureCode").await?;
    assert_eq!(code.as_deref(), Some("TARGET_NOT_ALLOWED"));
    Ok(())
}
