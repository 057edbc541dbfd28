//! Messages that SQS redrove from a target queue.

use genesys_test_support::{
    Function, HIDDEN_SECONDS, Invocation, Record, ReplayHarness, TestResult, conversation_event,
    event,
};
use serde_json::json;

use super::Rounds;

#[tokio::test]
async fn redriven_message_is_delivered_whole_and_begins_a_round() -> TestResult {
    let rounds = Rounds::start().await?;
    let target = rounds.harness.aws.create_queue(false).await?;
    let body = r#"{"order": 7, "of": "somebody else's shape"}"#;
    let moved = |message: &str| {
        let mut record = Record::new(message, body).with("Tenant", "b2b");
        record.0["attributes"]["DeadLetterQueueSourceArn"] = json!(target);
        let attributes = &mut record.0["messageAttributes"];
        attributes["Size"] = json!({ "dataType": "Number.int", "stringValue": "7" });
        attributes["Trace"] = json!({ "dataType": "Binary", "binaryValue": "AP8=" });
        record
    };
    assert!(rounds.handle(&moved("m-1")).await?);
    let received = rounds.harness.aws.receive(&target, HIDDEN_SECONDS).await?;
    let sent = received.first().ok_or("nothing arrived")?;
    assert_eq!(sent.body(), Some(body));
    let attributes = sent.message_attributes().ok_or("no attributes")?;
    let mut kept: Vec<_> = attributes
        .iter()
        .map(|(name, it)| {
            let binary = it.binary_value().map(|bytes| bytes.as_ref().to_vec());
            (name.as_str(), it.data_type(), it.string_value(), binary)
        })
        .collect();
    kept.sort();
    assert_eq!(
        kept,
        [
            ("Size", "Number.int", Some("7"), None),
            ("Tenant", "String", Some("b2b"), None),
            ("Trace", "Binary", None, Some(vec![0, 255])),
        ]
    );

    // Its consumer fails: SQS redrives it again with the same id.
    let id = sent.message_id().ok_or("no id")?;
    assert!(!rounds.handle(&moved(id)).await?, "a new round");
    let key = format!("m-1|{target}");
    let round = rounds.harness.aws.attribute(&key, "Rounds").await?;
    assert_eq!(round.as_deref(), Some("2"));
    assert!(rounds.handle(&moved("m-1")).await?, "the delay is over");
    let received = rounds.harness.aws.receive(&target, HIDDEN_SECONDS).await?;
    assert_eq!(received.len(), 1, "the second delivery");
    Ok(())
}

#[tokio::test]
async fn message_moved_from_our_own_queue_names_no_target() -> TestResult {
    let rounds = Rounds::start().await?;
    let queue = rounds.harness.aws.create_queue(false).await?;
    let mut record = Record::new("m-1", r#"{"interactionId":"c-1"}"#).in_queue(&queue, "receipt");
    record.0["attributes"]["DeadLetterQueueSourceArn"] = json!(queue);
    assert!(rounds.handle(&record).await?);
    assert_eq!(rounds.archived().await?[0].1["failure_code"], "TARGET_UNSUPPORTED");
    Ok(())
}

#[tokio::test]
async fn round_is_not_swallowed_by_a_fifo_queue() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let target = harness.aws.create_queue(true).await?;
    harness.set("REPLAY_TARGET", &target);
    harness.set("ARCHIVE_BUCKET", "");
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    let dead_letter = Record::dead_letter("m-1", "e-1", "c-1");
    let is_acknowledged = |answer: &Invocation| matches!(answer, Invocation::Response(answer) if answer["batchItemFailures"] == json!([]));
    let answer = function.invoke(event(&[dead_letter])).await?;
    assert!(is_acknowledged(&answer), "{answer:?}");
    let first = harness.aws.receive(&target, HIDDEN_SECONDS).await?;
    let first = first.first().ok_or("nothing arrived")?;
    let mut moved =
        Record::new(first.message_id().ok_or("no id")?, &conversation_event("e-1", "c-1"));
    moved.0["attributes"]["DeadLetterQueueSourceArn"] = json!(target);
    let answer = function.invoke(event(std::slice::from_ref(&moved))).await?;
    assert!(!is_acknowledged(&answer), "a new round: {answer:?}");
    // The consumer's message was redriven: its group is unblocked.
    let sqs = aws_sdk_sqs::Client::new(&harness.aws.config());
    let delete = sqs.delete_message().queue_url(harness.aws.queue_url(&target).await?);
    let receipt = first.receipt_handle().ok_or("no receipt")?;
    delete.receipt_handle(receipt).send().await?;
    let answer = function.invoke(event(&[moved])).await?;
    assert!(is_acknowledged(&answer), "{answer:?}");
    let second = harness.aws.receive(&target, HIDDEN_SECONDS).await?;
    assert_eq!(second.len(), 1, "the second round arrived within five minutes");
    Ok(())
}
