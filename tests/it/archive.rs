//! The archive in a bucket of the local AWS.

use genesys_stand_in::Fault;
use genesys_test_support::{Record, ReplayHarness, TestResult};
use serde_json::Value;

async fn harness_with_archive() -> Result<(ReplayHarness, String), Box<dyn std::error::Error>> {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    Ok((harness, bucket))
}

fn only(objects: Vec<(String, Value)>) -> Result<(String, Value), String> {
    let [object]: [_; 1] =
        objects.try_into().map_err(|objects: Vec<_>| format!("{} objects", objects.len()))?;
    Ok(object)
}

#[tokio::test]
async fn refused_event_is_archived_whole_and_acknowledged() -> TestResult {
    let (harness, bucket) = harness_with_archive().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(422));
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    let body = record.0["body"].clone();

    assert!(harness.deliver(std::slice::from_ref(&record)).await?.is_empty());

    let (key, object) = only(harness.aws.objects(&bucket).await?)?;
    let folder = "dlq/archives/v2.detail.events.conversation._id_.customer.end/TARGET_REFUSED/e-1-";
    assert!(key.starts_with(folder) && key.ends_with("Z.json"), "{key}");
    assert_eq!(object["body"], body, "verbatim");
    for (member, value) in [
        ("event_id", "e-1"),
        ("event_type", "v2.detail.events.conversation.{id}.customer.end"),
        ("message_id", "m-1"),
        ("interaction_id", "c-1"),
        ("category", "ENDPOINT_UNREACHABLE"),
        ("failure_code", "TARGET_REFUSED"),
        ("failure_reason", "the target answered 422 Unprocessable Entity"),
        ("error_code", "TIMEOUT"),
        ("error_message", "no answer in time"),
        ("rule_arn", "arn:aws:events:eu-central-1:271828182845:rule/crm"),
    ] {
        assert_eq!(object[member], value, "{member}");
    }
    assert_eq!((&object["attempts"], &object["receive_count"]), (&1.into(), &1.into()));
    assert_eq!(object["attributes"]["ERROR_CODE"], "TIMEOUT");
    assert!(object["first_seen_at"].is_string() && object["archived_at"].is_string());
    assert_eq!(object["written_by"], genesys_replay_version::PROGRAM);
    assert_eq!(harness.marks(), ["1 retrying", "1 replay_failed"]);
    let status = harness.aws.attribute(&harness.key("e-1"), "Status").await?;
    assert_eq!(status.as_deref(), Some("ARCHIVED"));

    // The function of this test has a fixed target.
    let named = object["attributes"]["TARGET_ARN"].as_str().ok_or("no target")?;
    assert_ne!(object["target"], named);
    assert_eq!(object["original_target"], named);
    for (name, value) in
        [("OriginalTarget", Some(named)), ("EventType", object["event_type"].as_str())]
    {
        let stored = harness.aws.attribute(&harness.key("e-1"), name).await?;
        assert_eq!(stored.as_deref(), value, "{name}");
    }

    harness.genesys.clear_calls();
    assert!(harness.deliver(&[record.received(2)]).await?.is_empty());
    assert!(harness.genesys.calls().is_empty(), "an archived event is finished");
    Ok(())
}

#[tokio::test]
async fn exhausted_event_is_archived() -> TestResult {
    let (harness, bucket) = harness_with_archive().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(503));
    let record = Record::dead_letter("m-1", "e-1", "c-1").received(200);
    assert!(harness.deliver(&[record]).await?.is_empty());
    let (_, object) = only(harness.aws.objects(&bucket).await?)?;
    assert_eq!(object["failure_code"], "EXHAUSTED");
    assert_eq!(object["attempts"], 3);
    assert_eq!(harness.marks().last().map(String::as_str), Some("3 exhausted_retries"));
    Ok(())
}

#[tokio::test]
async fn malformed_messages_are_archived_without_a_call() -> TestResult {
    let (harness, bucket) = harness_with_archive().await?;
    let records = [
        Record::new("m-1", "<html>"),
        Record::new("m-2", "").with("ERROR_CODE", "INVALID_JSON"),
        Record::new("m-3", r#"{"eventType":"dead-letter"}"#),
    ];
    assert!(harness.deliver(&records).await?.is_empty());
    assert!(harness.deliver(&records).await?.is_empty(), "again, with the same end");
    assert!(harness.genesys.calls().is_empty());
    let objects = harness.aws.objects(&bucket).await?;
    let found: Vec<_> = objects
        .iter()
        .map(|(_, object)| (object["event_id"].as_str(), object["failure_code"].as_str()))
        .collect();
    assert_eq!(found.len(), 3, "{found:?}");
    for expected in [
        (Some("m-1"), Some("NOT_AN_EVENT")),
        (Some("m-2"), Some("PAYLOAD_MALFORMED")),
        (Some("m-3"), Some("NO_PAYLOAD")),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn archived_object_is_unchanged_by_a_second_write() -> TestResult {
    let (harness, bucket) = harness_with_archive().await?;
    let record = Record::new("m-1", "<html>");
    harness.deliver(std::slice::from_ref(&record)).await?;
    let first = only(harness.aws.objects(&bucket).await?)?;
    harness.deliver(&[record.received(2)]).await?;
    assert_eq!(only(harness.aws.objects(&bucket).await?)?, first);
    Ok(())
}

#[tokio::test]
async fn events_of_two_targets_are_archived_under_different_keys() -> TestResult {
    let (mut harness, bucket) = harness_with_archive().await?;
    // Malformed events have the time of their message, which is the same here.
    for target in ["crm", "billing"] {
        let url = format!("{}/targets/{target}", harness.genesys.url());
        harness.set("REPLAY_TARGET", &url);
        let record =
            Record::dead_letter("m-1", "e-1", "c-1").with("ERROR_CODE", "INVALID_PARAMETER");
        harness.deliver(&[record]).await?;
    }
    let objects = harness.aws.objects(&bucket).await?;
    let targets: Vec<_> =
        objects.iter().filter_map(|(_, object)| object["target"].as_str()).collect();
    assert_eq!(targets.len(), 2, "{targets:?}");
    assert!(
        targets.iter().any(|it| it.ends_with("crm"))
            && targets.iter().any(|it| it.ends_with("billing"))
    );
    Ok(())
}

#[tokio::test]
async fn message_returns_to_the_queue_when_the_archive_is_down() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("ARCHIVE_BUCKET", "no-such-bucket");
    harness.genesys.fault(Fault::on("POST", "/targets/").status(422));
    let record = Record::dead_letter("m-1", "e-1", "c-1").received(12);
    let records = [record, Record::new("m-2", "<html>").received(12)];
    assert_eq!(harness.deliver(&records).await?, ["m-1", "m-2"]);
    assert_eq!(harness.state("e-1").await?, "DEFERRED ARCHIVE_UNAVAILABLE");
    Ok(())
}

#[tokio::test]
async fn archived_event_is_delivered_on_operator_replay() -> TestResult {
    let (harness, bucket) = harness_with_archive().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(422).times(1));
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    harness.deliver(std::slice::from_ref(&record)).await?;
    assert_eq!(harness.deliveries(), 1);

    let again = Record::dead_letter("m-2", "e-1", "c-1").with("ReplayPlan", "plan-7");
    assert!(harness.deliver(&[again]).await?.is_empty());
    assert_eq!(harness.deliveries(), 2);
    assert_eq!(harness.marks().last().map(String::as_str), Some("2 replay_successful"));
    let status = harness.aws.attribute(&harness.key("e-1"), "Status").await?;
    assert_eq!(status.as_deref(), Some("COMPLETED"));
    assert_eq!(harness.aws.objects(&bucket).await?.len(), 1, "the archive keeps its objects");

    let twice = Record::dead_letter("m-3", "e-1", "c-1").with("ReplayPlan", "plan-8");
    assert!(harness.deliver(&[twice]).await?.is_empty());
    assert_eq!(harness.deliveries(), 2, "a completed event is never delivered again");
    Ok(())
}

#[tokio::test]
async fn rejected_event_is_archived_when_an_archive_is_configured() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(422));
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert_eq!(harness.deliver(std::slice::from_ref(&record)).await?, ["m-1"]);
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    assert!(harness.deliver(&[record.received(2)]).await?.is_empty());
    assert_eq!(harness.aws.objects(&bucket).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn own_echo_is_archived_without_a_mark_or_delivery() -> TestResult {
    let echo = |message_id: &str, event_id: &str| {
        let body = format!(
            r#"{{"id":"{event_id}","detail-type":"v2.detail.events.conversation.{{id}}.attributes","source":"aws.partner/genesys.com/x",
            "detail":{{"topicName":"v2.detail.events.conversation.c-1.attributes","eventBody":{{"conversationId":"c-1","attributes":{{"system.retryAttempt":"1","system.retryStatus":"retrying"}}}}}}}}"#
        );
        Record::new(message_id, &body)
    };
    let (mut harness, bucket) = harness_with_archive().await?;
    assert!(harness.deliver(&[echo("m-1", "e-1")]).await?.is_empty());
    let (_, object) = only(harness.aws.objects(&bucket).await?)?;
    assert_eq!(object["failure_code"], "OWN_ECHO");

    harness.set("ARCHIVE_BUCKET", "");
    assert!(harness.deliver(&[echo("m-2", "e-2")]).await?.is_empty());
    for event_id in ["e-1", "e-2"] {
        let key = harness.key(event_id);
        assert_eq!(harness.aws.attribute(&key, "Status").await?.as_deref(), Some("ARCHIVED"));
        assert_eq!(harness.aws.attribute(&key, "FailureCode").await?.as_deref(), Some("OWN_ECHO"));
    }
    assert!(harness.genesys.calls().is_empty(), "neither mark nor delivery");
    Ok(())
}

#[tokio::test]
async fn duplicate_of_an_archived_message_is_acknowledged() -> TestResult {
    let (harness, bucket) = harness_with_archive().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(422));
    let duplicates =
        [Record::dead_letter("m-1", "e-1", "c-1"), Record::dead_letter("m-2", "e-1", "c-1")];
    assert!(harness.deliver(&duplicates).await?.is_empty());
    assert_eq!(harness.aws.objects(&bucket).await?.len(), 1);
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn operator_replay_is_not_a_duplicate_of_a_dead_letter() -> TestResult {
    let (harness, _) = harness_with_archive().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(422).times(1));
    harness.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?;
    let batch = [
        Record::dead_letter("m-2", "e-1", "c-1"),
        Record::dead_letter("m-3", "e-1", "c-1").with("ReplayPlan", "plan-7"),
    ];
    assert!(harness.deliver(&batch).await?.is_empty());
    assert_eq!(harness.deliveries(), 2, "sent again on purpose");
    assert_eq!(harness.state("e-1").await?, "COMPLETED");
    Ok(())
}

#[tokio::test]
async fn malformed_duplicate_is_archived_and_the_other_is_delivered() -> TestResult {
    let (harness, bucket) = harness_with_archive().await?;
    let batch = [
        Record::dead_letter("m-1", "e-1", "c-1").with("ERROR_CODE", "INVALID_PARAMETER"),
        Record::dead_letter("m-2", "e-1", "c-1"),
    ];
    assert!(harness.deliver(&batch).await?.is_empty());
    assert_eq!(harness.deliveries(), 1);
    assert_eq!(harness.aws.objects(&bucket).await?.len(), 1);
    Ok(())
}
