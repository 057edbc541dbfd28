//! The drain of a queue, with messages that are held, extended and released.

use std::time::Duration;

use genesys_replay_cli::queue::drain::{DrainEnd, QueueDrain};
use genesys_replay_cli::queue::held::Released;
use genesys_test_support::TestResult;

use super::diagnose::lazy_queue::{LazyQueue, dead_letter};

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn drain_ends_after_three_empty_receives_when_all_messages_are_held() -> TestResult {
    let queue = LazyQueue::new(25, dead_letter);
    let drain = QueueDrain::new(&queue);
    let mut received = Vec::new();
    while drain.end().is_none() {
        received.push(drain.receive(TIMEOUT).await?.new.len());
    }
    assert_eq!(received, [10, 10, 5, 0, 0, 0]);
    assert_eq!(drain.end(), Some(DrainEnd::Empty));
    let released = drain.held().release(&queue, |_| {}).await;
    assert_eq!((released.visible, released.hidden), (25, 0));
    assert_eq!((queue.shown(), queue.deleted()), (25, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn drain_ends_when_only_repeated_messages_are_received() -> TestResult {
    let queue = LazyQueue::new(5, dead_letter);
    let drain = QueueDrain::new(&queue);
    let mut received = Vec::new();
    while drain.end().is_none() {
        received.push(drain.receive(TIMEOUT).await?.new.len());
        tokio::time::sleep(TIMEOUT).await;
    }
    assert_eq!(received, [5, 0, 0, 0]);
    assert_eq!(drain.end(), Some(DrainEnd::Repeating));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn receipt_of_a_repeated_message_replaces_the_earlier_receipt() -> TestResult {
    let queue = LazyQueue::new(1, dead_letter);
    let drain = QueueDrain::new(&queue);
    drain.receive(TIMEOUT).await?;
    tokio::time::sleep(TIMEOUT).await;
    drain.receive(TIMEOUT).await?;
    let released = drain.held().release(&queue, |_| {}).await;
    assert_eq!((released.visible, released.hidden), (1, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn visibility_timeout_is_extended_when_its_end_is_near() -> TestResult {
    let queue = LazyQueue::new(1, dead_letter);
    let drain = QueueDrain::new(&queue);
    drain.receive(TIMEOUT).await?;
    for seconds in [20, 20, 15, 40] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        assert_eq!(drain.held().extend(&queue, TIMEOUT / 2, TIMEOUT).await, 0);
    }
    assert_eq!(queue.lapsed(), 0);
    tokio::time::sleep(TIMEOUT).await;
    assert_eq!(drain.held().extend(&queue, TIMEOUT / 2, TIMEOUT).await, 1, "it is visible already");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn release_stops_when_the_queue_does_not_answer() -> TestResult {
    let mut queue = LazyQueue::new(400, dead_letter);
    queue.only_receives = true;
    let drain = QueueDrain::new(&queue);
    while drain.end().is_none() {
        drain.receive(TIMEOUT * 60).await?;
    }
    let begun = tokio::time::Instant::now();
    let released = drain.held().release(&queue, |_| {}).await;
    assert_eq!(released, Released { visible: 0, hidden: 400 });
    assert!(begun.elapsed() < Duration::from_secs(120));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn visibility_timeout_ends_within_twelve_hours_of_the_receipt() -> TestResult {
    let queue = LazyQueue::new(1, dead_letter);
    let drain = QueueDrain::new(&queue);
    let timeout = Duration::from_hours(11);
    drain.receive(timeout).await?;
    tokio::time::sleep(Duration::from_mins(11 * 60 - 1)).await;
    assert_eq!(drain.held().extend(&queue, TIMEOUT, timeout).await, 0);
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert_eq!(queue.lapsed(), 1, "SQS refuses a longer timeout");
    Ok(())
}
