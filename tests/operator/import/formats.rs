//! The forms of the entries: messages of a queue, records of a diagnosis, payloads of any shape.

use genesys_replay::destination::Arn;
use genesys_test_support::{Record, TestResult, conversation_event, root};
use serde_json::{Value, json};

use super::{Office, file, name};
use crate::support::program::run;

/// Returns a dead letter in the form of `aws sqs receive-message`.
fn received(id: &str, body: &str, attributes: &Value) -> Value {
    json!({
        "MessageId": id,
        "ReceiptHandle": "receipt",
        "MD5OfBody": "x",
        "Body": body,
        "Attributes": {"SentTimestamp": "1785000000000", "ApproximateReceiveCount": "1"},
        "MessageAttributes": attributes,
    })
}

#[tokio::test]
async fn import_of_a_queue_dump_keeps_attributes_and_identity() -> TestResult {
    let office = Office::open().await?;
    let attributes = json!({
        "TARGET_ARN": {"StringValue": "arn:aws:lambda:eu-central-1:271828182845:function:crm", "DataType": "String"},
        "ERROR_CODE": {"StringValue": "TIMEOUT", "DataType": "String"},
        "ReplayPlan": {"StringValue": "plan-1", "DataType": "String"},
        "trace": {"BinaryValue": "AAH/", "DataType": "Binary"},
    });
    let dump = json!({"Messages": [
        received("m-1", &conversation_event("e-1", "c-1"), &attributes),
        received("m-2", "{\"no\": \"id\"}", &attributes),
        received("m-3", "{\"no\": \"attributes\"}", &json!({})),
    ]});
    let file = file(&serde_json::to_string_pretty(&dump)?)?;
    let ran = office.import(&["--file", name(&file)?, "--yes"]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = ran.json()?;
    assert_eq!([&said["found"], &said["queued"], &said["refused"]], [3, 2, 1]);
    let messages = office.queued().await?;
    for message in &messages {
        assert_eq!(message.attribute("ERROR_CODE"), Some("TIMEOUT"));
        assert_eq!(message.replay_plan(), None, "an import is not a plan");
        assert_eq!(message.attributes.len(), 4, "with the binary one");
    }
    office.replay(&messages).await?;
    assert_eq!(office.world.state("e-1").await?, "COMPLETED");
    assert_eq!(office.world.state("m-2").await?, "COMPLETED", "by its first message id");
    Ok(())
}

#[tokio::test]
async fn import_of_every_saved_lambda_event_is_understood() -> TestResult {
    let office = Office::open().await?;
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("events"))? {
        let path = entry?.path();
        let saved: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let Some(records) = saved["Records"].as_array() else {
            continue;
        };
        let ran = office.import(&["--file", path.to_str().ok_or("no text")?]).await?;
        let said = ran.json()?;
        assert_eq!(said["found"], records.len(), "{path:?}");
        assert!(!ran.stderr.contains("the payload is missing"), "{path:?}: {ran:?}");
        count += 1;
    }
    assert!(count > 20, "{count}");
    Ok(())
}

#[tokio::test]
async fn import_of_a_diagnosis_replays_its_events_once() -> TestResult {
    let office = Office::open().await?;
    for record in [Record::dead_letter("m-1", "e-1", "c-1"), Record::new("m-2", "not an event")] {
        office.put(&record).await?;
    }
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("eventbridge_diagnostics.json");
    let out = out.to_str().ok_or("no text")?;
    let endpoint = office.world.aws.endpoint();
    let diagnose =
        ["diagnose", "--endpoint-url", &endpoint, "--queue", &office.queue, "--out", out];
    let ran = run(&office.variables(), &diagnose).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let ran = office.import(&["--file", out, "--yes"]).await?;
    assert_eq!(ran.json()?["queued"], 1, "{ran:?}");
    assert!(
        ran.stderr
            .contains("event 2: the message is not an event that can be replayed: NOT_AN_EVENT"),
        "{ran:?}"
    );
    let messages = office.queued().await?;
    assert_eq!(messages.len(), 3, "the diagnosis removed none");
    let events: Vec<_> = messages.into_iter().filter(|it| it.body != "not an event").collect();
    office.replay(&events).await?;
    assert_eq!(office.world.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn imported_payload_of_any_shape_is_delivered_and_archived() -> TestResult {
    let mut office = Office::open().await?;
    let bucket = office.world.aws.create_bucket().await?;
    office.world.set("ARCHIVE_BUCKET", &bucket);
    office.world.genesys.fault(
        genesys_stand_in::Fault::on("POST", "/targets/").body_contains("refused").status(422),
    );
    let event = |id: &str, payload: Value| {
        json!({"id": id, "event_type": "order.created", "failure_code": "NETWORK_TIMEOUT",
            "failure_reason": "no answer", "stack_trace": "at crm.Client.send", "payload": payload})
        .to_string()
    };
    let lines = [
        event("order-7", json!({"orderId": 7})),
        event("order-8", json!({"orderId": "refused"})),
        event("list", json!([1, 2])),
    ];
    let file = file(&lines.join("\n"))?;
    let ran = office.import(&["--file", name(&file)?, "--yes"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.json()?["queued"], 3);
    office.replay(&office.queued().await?).await?;
    for (id, status) in
        [("order-7", "COMPLETED"), ("order-8", "ARCHIVED TARGET_REFUSED"), ("list", "COMPLETED")]
    {
        assert_eq!(office.world.state(id).await?, status, "{id}");
    }
    let objects = office.world.aws.objects(&bucket).await?;
    let (key, object) = objects.first().ok_or("nothing archived")?;
    assert!(key.starts_with("dlq/archives/order.created/TARGET_REFUSED/order-8-"), "{key}");
    assert_eq!(object["event_type"], "order.created");
    assert_eq!(object["stack_trace"], "at crm.Client.send");
    assert_eq!(object["category"], "ENDPOINT_UNREACHABLE");
    Ok(())
}

#[tokio::test]
async fn import_leaves_out_events_of_an_earlier_import() -> TestResult {
    let office = Office::open().await?;
    let event = |id: &str| format!("{{\"id\":\"{id}\",\"payload\":{{\"interactionId\":\"c\"}}}}\n");
    let refused = "{\"id\":\"e-3\",\"payload\":null}\n";
    let source = file(&(event("e-1") + &event("e-2") + refused))?;
    let cursors = tempfile::tempdir()?;
    let cursors = cursors.path().to_str().ok_or("no text")?;
    let import = ["--file", name(&source)?, "--cursor-dir", cursors];
    let counts = |said: Value| ["queued", "imported_before", "refused"].map(|it| said[it].clone());
    let yes = [&import[..], &["--yes"]].concat();

    assert_eq!(counts(office.import(&import).await?.json()?), [0, 0, 1], "a dry run");
    assert_eq!(counts(office.import(&yes).await?.json()?), [2, 0, 1]);
    // The source grows, and its refused event is repaired.
    std::fs::write(source.path(), event("e-1") + &event("e-2") + &event("e-3") + &event("e-4"))?;
    assert_eq!(office.import(&import).await?.json()?["fit"], 2);
    assert_eq!(counts(office.import(&yes).await?.json()?), [2, 2, 0]);
    let again = [&yes[..], &["--again"]].concat();
    assert_eq!(counts(office.import(&again).await?.json()?), [4, 0, 0]);
    // A repaired payload in place of an imported one is imported. Two payloads of one event are not.
    let other = |id: &str| event(id).replace("\"c\"", "\"d\"");
    let same = event("e-5").replace(":\"c\"", ": \"c\"");
    let all = [event("e-1"), other("e-1"), other("e-2"), event("e-5"), same, other("e-5")];
    std::fs::write(source.path(), all.concat())?;
    for expected in [[2, 1, 2], [0, 3, 2]] {
        let ran = office.import(&yes).await?;
        let said = ran.json()?;
        assert_eq!(counts(said.clone()), expected, "{ran:?}");
        assert_eq!(said["duplicates"], 1, "{ran:?}");
        assert!(ran.stderr.contains("line 6: an event with the same id"), "{ran:?}");
    }
    std::fs::write(source.path(), event("e-1") + &event("e-2") + &event("e-3") + &event("e-4"))?;
    // Another target is another import.
    let arn = format!("{}-2", Arn::parse_trusted(&office.queue).ok_or("no ARN")?.as_str());
    let elsewhere = [&yes[..], &["--target-arn", &arn]].concat();
    assert_eq!(counts(office.import(&elsewhere).await?.json()?), [4, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn import_since_a_time_leaves_out_older_failures() -> TestResult {
    let office = Office::open().await?;
    let event = |id: &str, more: &str| {
        format!("{{\"id\":\"{id}\"{more},\"payload\":{{\"interactionId\":\"c\"}}}}\n")
    };
    let source = file(
        &[
            event("old", ",\"failed_at\":\"2026-07-01T00:00:00Z\""),
            event("new", ",\"failed_at\":\"2026-07-03T00:00:00Z\""),
            event("again", ",\"failed_at\":\"2026-07-01 00:00:00\""),
            event("again", ",\"failed_at\":\"2026-07-03 00:00:00\""),
            event("undated", ""),
        ]
        .concat(),
    )?;
    let import = ["--file", name(&source)?, "--since", "2026-07-02T00:00:00Z"];
    let ran = office.import(&import).await?;
    let said = ran.json()?;
    assert_eq!([&said["fit"], &said["older"], &said["without_time"]], [3, 2, 1]);
    assert!(ran.stderr.contains("1 of the events have no time that can be read"), "{ran:?}");
    Ok(())
}
