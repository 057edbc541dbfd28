//! How long the function keeps messages away, on queues of the local AWS; the port's contract is in
//! `conformance.rs`.

use std::time::Duration;

use genesys_stand_in::Fault;

use crate::support::world::{invoke, invoke_within};
use crate::support::{Record, TestResult, World, event};

/// A queue with `count` dead letters in it, and the records Lambda would make of them, received for
/// one second only: without a change they are back soon.
async fn queued(
    world: &World,
    count: usize,
) -> Result<(String, Vec<Record>), Box<dyn std::error::Error>> {
    let queue = world.aws.create_queue(false).await?;
    let sqs = aws_sdk_sqs::Client::new(&world.aws.config());
    let url = world.aws.queue_url(&queue).await?;
    for number in 0..count {
        let record = Record::dead_letter("m", &format!("e-{number}"), "c-1");
        let body = record.0["body"].as_str().unwrap_or_default();
        sqs.send_message()
            .queue_url(&url)
            .message_body(body)
            .send()
            .await?;
    }
    let mut records = Vec::new();
    while records.len() < count {
        for message in world.aws.receive(&queue, 30).await? {
            let (id, receipt) = (
                message.message_id.unwrap_or_default(),
                message.receipt_handle.unwrap_or_default(),
            );
            records.push(
                Record::new(&id, &message.body.unwrap_or_default()).in_queue(&queue, &receipt),
            );
        }
    }
    Ok((queue, records))
}

#[tokio::test]
async fn a_deferred_message_stays_away_for_as_long_as_the_upstream_asks() -> TestResult {
    let world = World::start().await?;
    let (queue, records) = queued(&world, 10).await?;
    world.genesys.fault(
        Fault::on("POST", "/targets/")
            .status(429)
            .header("Retry-After", "300"),
    );
    let answer = invoke(&world.function()?, event(&records)).await??;
    assert_eq!(answer.len(), 10);
    let waits = waits(&world, &queue, &records).await?;
    assert!(
        waits.iter().all(|wait| (290..=300).contains(wait)),
        "{waits:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_message_that_was_not_begun_is_back_soon() -> TestResult {
    let world = World::start().await?;
    let (queue, records) = queued(&world, 1).await?;
    invoke_within(
        &world.function()?,
        event(&records),
        Duration::from_millis(900),
    )
    .await??;
    let waits = waits(&world, &queue, &records).await?;
    assert!(waits.iter().all(|wait| (0..=5).contains(wait)), "{waits:?}");
    Ok(())
}

#[tokio::test]
async fn a_message_that_cannot_be_postponed_comes_back_all_the_same() -> TestResult {
    let world = World::start().await?;
    world.genesys.fault(
        Fault::on("POST", "/targets/")
            .status(429)
            .header("Retry-After", "300"),
    );
    let (queue, _) = queued(&world, 0).await?;
    let records = [
        Record::dead_letter("m-1", "e-1", "c-1").in_queue("not an arn", "receipt"),
        Record::dead_letter("m-2", "e-2", "c-1").in_queue(&format!("{queue}-gone"), "receipt"),
        Record::dead_letter("m-3", "e-3", "c-1").in_queue(&queue, "no such receipt"),
    ];
    assert_eq!(world.deliver(&records).await?, ["m-1", "m-2", "m-3"]);
    Ok(())
}

/// How long each message stays away, in seconds.
async fn waits(
    world: &World,
    queue: &str,
    records: &[Record],
) -> Result<Vec<i64>, Box<dyn std::error::Error>> {
    let waits = world.aws.waits(queue).await?;
    assert_eq!(waits.len(), records.len());
    Ok(waits)
}
