//! Messages of other senders than rules, from the queue to their end, on the local AWS.

use aws_sdk_sqs::primitives::Blob;
use genesys_test_support::{Record, ReplayHarness, TestResult, sample};
use serde_json::{Value, json};

fn record(name: &str) -> Result<Record, Box<dyn std::error::Error>> {
    let batch = serde_json::to_value(sample(name)?)?;
    Ok(Record(batch["Records"][0].clone()))
}

/// Returns the dead letter of a schedule that sends a message to a queue.
fn scheduled(queue_url: &str, more: &Value) -> Record {
    let mut call = json!({"QueueUrl": queue_url, "MessageBody": "{\"job\": 1}"});
    for (name, value) in more.as_object().into_iter().flatten() {
        call[name] = value.clone();
    }
    Record::new("m-1", &call.to_string())
        .with("TARGET_ARN", "arn:aws:scheduler:::aws-sdk:sqs:sendMessage")
        .with("SCHEDULE_ARN", "arn:aws:scheduler:us-east-1:000000000000:schedule/default/s")
        .with("EXECUTION_ID", "x-1")
}

#[tokio::test]
async fn scheduled_message_is_sent_to_its_queue_as_the_call_says() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("REPLAY_TARGET", "original");
    let queue = harness.aws.create_queue(true).await?;
    let attributes = json!({
        "MessageGroupId": "group-7",
        "MessageAttributes": {
            "kind": {"DataType": "Number", "StringValue": "7"},
            "trace": {"DataType": "Binary", "BinaryValue": "AAH/"},
        },
    });
    let url = harness.aws.queue_url(&queue).await?;
    let record = scheduled(&url, &attributes);
    let region = queue.split(':').nth(3).ok_or("no region")?;
    let schedule = format!("arn:aws:scheduler:{region}:000000000000:schedule/default/s");
    assert!(harness.deliver(&[record.with("SCHEDULE_ARN", &schedule)]).await?.is_empty());

    let messages = harness.aws.receive(&queue, 0).await?;
    let message = messages.first().ok_or("nothing arrived")?;
    assert_eq!(message.body.as_deref(), Some("{\"job\": 1}"));
    let system = message.attributes.as_ref().ok_or("no attributes")?;
    let group = aws_sdk_sqs::types::MessageSystemAttributeName::MessageGroupId;
    assert_eq!(system.get(&group).map(String::as_str), Some("group-7"));
    let attributes = message.message_attributes.as_ref().ok_or("no message attributes")?;
    let kind = attributes.get("kind").ok_or("no kind")?;
    assert_eq!((kind.data_type.as_str(), kind.string_value.as_deref()), ("Number", Some("7")));
    let trace = attributes.get("trace").ok_or("no trace")?;
    assert_eq!(trace.binary_value.as_ref().map(Blob::as_ref), Some(&[0, 1, 255][..]));
    assert_eq!(attributes.len(), 2, "not those of the dead letter");
    let status = harness.aws.attribute(&format!("x-1|{queue}"), "Status").await?;
    assert_eq!(status.as_deref(), Some("COMPLETED"));
    Ok(())
}

#[tokio::test]
async fn scheduled_payload_goes_to_a_fixed_target_without_its_call() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let record = scheduled("https://sqs.eu-central-1.amazonaws.com/271828182845/jobs", &json!({}));
    assert!(harness.deliver(&[record]).await?.is_empty());
    let calls = harness.genesys.calls_to("POST", "/targets/");
    assert_eq!(calls.iter().map(|call| call.body.as_str()).collect::<Vec<_>>(), ["{\"job\": 1}"]);
    Ok(())
}

#[tokio::test]
async fn target_of_a_schedule_must_be_allowed() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("REPLAY_TARGET", "original");
    harness.set("ALLOWED_TARGETS", "arn:aws:sqs:*:*:other");
    let record = scheduled("https://sqs.eu-central-1.amazonaws.com/271828182845/jobs", &json!({}));
    assert_eq!(harness.deliver(&[record]).await?, ["m-1"]);
    let key = "x-1|arn:aws:sqs:eu-central-1:271828182845:jobs";
    let code = harness.aws.attribute(key, "FailureCode").await?;
    assert_eq!(code.as_deref(), Some("TARGET_NOT_ALLOWED"));
    Ok(())
}

#[tokio::test]
async fn message_without_its_payload_is_archived_without_a_call() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    let samples = ["scheduler-dlq-truncated.json", "offloaded-payload.json"];
    let records = samples.map(record).into_iter().collect::<Result<Vec<_>, _>>()?;
    assert!(harness.deliver(&records).await?.is_empty());
    assert!(harness.genesys.calls().is_empty());
    let objects = harness.aws.objects(&bucket).await?;
    let member = |code: &str, name: &str| {
        let object = objects.iter().find(|(_, object)| object["failure_code"] == code);
        object.map(|(_, object)| object[name].clone()).unwrap_or_default()
    };
    for (code, record) in ["PAYLOAD_TRUNCATED", "PAYLOAD_OFFLOADED"].into_iter().zip(&records) {
        assert_eq!(member(code, "body"), record.0["body"], "{code}");
    }
    let reason = member("PAYLOAD_OFFLOADED", "failure_reason").to_string();
    assert!(reason.contains("s3://crm-large-payloads/6f1a2f0c-"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn attributes_are_archived_with_their_types() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    harness.genesys.fault(genesys_stand_in::Fault::on("POST", "/targets/").status(422));
    let mut record = record("binary-attribute.json")?;
    record.0["messageAttributes"]["hops"] = json!({"stringValue": "3", "dataType": "Number.int"});
    assert!(harness.deliver(&[record]).await?.is_empty());
    let objects = harness.aws.objects(&bucket).await?;
    let (_, object) = objects.first().ok_or("nothing archived")?;
    let trace = json!({"data_type": "Binary", "binary_value": "AAEC/f7/"});
    assert_eq!(object["attributes"]["trace_context"], trace);
    assert_eq!(object["attributes"]["hops"], "3");
    assert_eq!(object["attribute_types"], json!({"hops": "Number.int"}));
    Ok(())
}

#[tokio::test]
async fn part_of_an_event_and_flat_event_are_marked() -> TestResult {
    let builder = genesys_stand_in::StandIn::builder();
    let harness = ReplayHarness::with_genesys(builder).await?;
    for name in ["input-path-detail.json", "tutorial-event.json"] {
        harness.genesys.clear_calls();
        assert!(harness.deliver(&[record(name)?]).await?.is_empty(), "{name}");
        assert_eq!(harness.marks(), ["1 retrying", "1 replay_successful"], "{name}");
        assert_eq!(harness.deliveries(), 1, "{name}");
    }
    Ok(())
}
