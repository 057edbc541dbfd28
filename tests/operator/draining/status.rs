//! `status`.

use std::error::Error;

use genesys_test_support::TestResult;
use serde_json::{Value, json};

use super::cloudwatch::CloudWatch;
use super::deployed::DrainedQueue;
use crate::schemas::check;
use crate::support::harness::OperatorHarness;
use crate::support::program::Ran;

async fn status(
    drained: &DrainedQueue,
    cloudwatch: &CloudWatch,
    more: &[&str],
) -> Result<Ran, Box<dyn Error>> {
    let (name, url) = cloudwatch.endpoint();
    drained.run_with(&[(name, &url)], &[&["status"], more].concat()).await
}

/// Puts messages on the queue.
async fn fill(desk: &OperatorHarness, count: usize) -> TestResult {
    for number in 0..count {
        desk.put(&desk.queue, &format!("{{\"number\":{number}}}"), &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn status_shows_depth_rate_and_end_while_messages_leave() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let parking = desk.park(&desk.queue, 203).await?;
    desk.put(&parking, "{}", &[]).await?;
    fill(&desk, 24).await?;
    let drained = DrainedQueue::of(desk, true).await?;
    let cloudwatch = CloudWatch::with_metrics(&[
        ("records", &[4.0; 15]),
        ("replayed", &[1.0; 15]),
        ("archived", &[1.0; 15]),
        ("deferred", &[2.0; 15]),
        ("circuits", &[0.0; 15]),
        ("oldest", &[7_200.0, 60.0]),
        ("oldest_parked", &[864_000.0]),
    ])
    .await?;
    let ran = status(&drained, &cloudwatch, &["--output", "json"]).await?;
    check("status", &ran)?;
    let document = ran.json()?;
    let summary = "draining: 24 dead letters, about 2 a minute, done in about 12 min";
    assert_eq!(document["summary"], summary, "{ran:?}");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(document["mapping"], json!({ "uuid": drained.mapping, "state": "Enabled" }));
    assert_eq!(document["last_change"], Value::Null);
    assert_eq!(document["queue"]["oldest_seconds"], 7_200);
    assert_eq!(document["parking_queue"]["visible"], 1);
    assert_eq!(document["handled"]["deferred"], 30);
    assert_eq!(document["circuits"]["state"], "closed");
    assert_eq!(document["done_in_seconds_by_genesys_limit"], 60);

    let ran = status(&drained, &cloudwatch, &[]).await?;
    assert_eq!(ran.stdout.lines().next(), Some(summary), "{ran:?}");
    for line in ["oldest about 2 h", "oldest about 10 d", "replayed 15", "closed: none opened"] {
        assert!(ran.stdout.contains(line), "{line}: {ran:?}");
    }
    Ok(())
}

#[tokio::test]
async fn status_ends_with_1_when_a_circuit_opened() -> TestResult {
    let desk = OperatorHarness::open().await?;
    fill(&desk, 1).await?;
    let drained = DrainedQueue::of(desk, true).await?;
    let metrics: [(&str, &[f64]); 3] =
        [("records", &[4.0, 4.0]), ("not_attempted", &[4.0, 4.0]), ("circuits", &[0.0, 2.0])];
    let cloudwatch = CloudWatch::with_metrics(&metrics).await?;
    let ran = status(&drained, &cloudwatch, &[]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let summary = "not draining: circuits opened 2 times in the last 15 min; 1 dead letter waiting";
    assert_eq!(ran.stdout.lines().next(), Some(summary));
    assert!(ran.stdout.contains("the log line \"circuit opened\" names the upstream"));
    Ok(())
}

#[tokio::test]
async fn status_shows_unknown_and_names_the_call_when_denied() -> TestResult {
    let drained = DrainedQueue::of(OperatorHarness::open().await?, true).await?;
    let cloudwatch = CloudWatch::denied().await?;
    let ran = status(&drained, &cloudwatch, &[]).await?;
    assert_eq!((ran.code, ran.stdout.lines().next()), (Some(0), Some("empty")), "{ran:?}");
    let warning = "warning: unknown: reading the metrics (cloudwatch:GetMetricData): \
                   AWS denies the permission (AccessDeniedException)";
    assert!(ran.stderr.contains(warning), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().filter(|line| line.ends_with("unknown")).collect();
    assert_eq!(lines.len(), 3, "age, records and circuits: {ran:?}");
    Ok(())
}

#[tokio::test]
async fn status_works_when_the_parking_queue_is_gone() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let parking = desk.park(&desk.queue, 203).await?;
    let sqs = aws_sdk_sqs::Client::new(&desk.world.aws.config());
    sqs.delete_queue().queue_url(desk.world.aws.queue_url(&parking).await?).send().await?;
    let drained = DrainedQueue::of(desk, true).await?;
    let cloudwatch = CloudWatch::with_metrics(&[]).await?;
    let ran = status(&drained, &cloudwatch, &["--output", "json"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = ran.json()?;
    assert_eq!(document["parking_queue"], Value::Null);
    let unknown = document["unknown"].as_array().map_or(0, Vec::len);
    assert_eq!(unknown, 1, "{document}");
    assert_eq!(document["circuits"]["state"], "unknown", "no data");
    Ok(())
}

#[tokio::test]
async fn status_needs_a_function_that_drains_a_queue() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let ran = desk.run(&["status"]).await?;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("hint: name the function: --function"), "{ran:?}");

    let drained = DrainedQueue::of(desk, true).await?;
    let other = drained.desk.world.aws.create_queue(false).await?;
    drained.map(&other, true).await?;
    let ran = drained.run(&["status"]).await?;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("drains several queues"), "{ran:?}");
    for queue in [&other, &drained.desk.queue] {
        assert!(ran.stderr.contains(queue.as_str()), "{ran:?}");
    }
    let cloudwatch = CloudWatch::with_metrics(&[]).await?;
    let named = status(&drained, &cloudwatch, &["--queue", &other, "--output", "json"]).await?;
    assert_eq!(named.json()?["queue"]["arn"], other);
    Ok(())
}
