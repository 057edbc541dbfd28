//! The source of a plan's messages: every message of the queue is received once, whatever the number of waves.

use std::collections::VecDeque;
use std::time::Duration;

use genesys_replay::digest::hexadecimal;
use genesys_replay::message::{Message, MessageId, resent};
use genesys_replay_cli::operator::Silent;
use genesys_replay_cli::operator::apply::{DeadLetterSource, FetchError, Fetched, QueueSource};
use genesys_replay_cli::operator::plan::{
    Location, Plan, PlanContent, PlanItem, PlanKind, PlanSource, Predicted, Selection,
};
use genesys_replay_cli::operator::queue_reading::{QueueReading, ReadInterrupted, WholeReadError};
use genesys_test_support::TestResult;
use tokio_util::sync::CancellationToken;

use super::diagnose::lazy_queue::LazyQueue;

const BODY: &str = r#"{"interactionId":"c-1"}"#;

/// Returns the message with this number.
fn waiting(number: usize) -> Message {
    let id = MessageId::new(format!("m-{number}")).unwrap_or_else(|| unreachable!());
    Message::new(id, BODY.to_owned())
}

/// Returns a plan of the messages with these numbers.
pub(super) fn plan(numbers: impl Iterator<Item = usize>) -> Plan {
    let item = |number| PlanItem {
        key: format!("m-{number}|none"),
        event_type: "unknown".to_owned(),
        interaction_id: None,
        target: "none".to_owned(),
        original_target: None,
        category: "UNKNOWN".to_owned(),
        failure_code: None,
        place: Location::Message { message_id: format!("m-{number}") },
        body_sha256: hexadecimal(BODY),
        ledger: None,
        predicted: Predicted { attempt: 1, marks_interaction: false },
        edit: None,
        redirected_from: None,
    };
    Plan::of(PlanContent {
        created_at: "2026-07-25T17:20:00Z".to_owned(),
        created_by: "marta".to_owned(),
        written_by: None,
        reason: "because".to_owned(),
        kind: PlanKind::Replay,
        edit_of: None,
        source: PlanSource::Queue { queue_arn: "q".to_owned() },
        queue_arn: "q".to_owned(),
        selection: Selection::default(),
        items: numbers.map(item).collect(),
        left_out: Vec::new(),
    })
}

/// Returns the receive counts of the fetched messages.
fn receives(fetched: &[Fetched]) -> Vec<u32> {
    let messages = fetched.iter().filter_map(|(_, it)| it.as_ref().ok());
    messages.map(|message| message.receive_count).collect()
}

#[tokio::test(start_paused = true)]
async fn queue_source_receives_each_message_once_in_all_waves() -> TestResult {
    let queue = LazyQueue::new(300, waiting).redriven(10, 0);
    let (plan, stop) = (plan((0..300).step_by(10)), CancellationToken::new());
    let items = &plan.content.items;
    let reading = QueueReading::open(&queue, false, &Silent).await?;
    let mut source = QueueSource::new(&reading, &plan, &stop, &Silent);
    let mut todo: VecDeque<usize> = (0..items.len()).collect();
    let waves = async {
        source.prepare().await?;
        assert_eq!(queue.shown(), 270, "the function goes on with the other messages");
        while !todo.is_empty() {
            let fetched = source.fetch(items, &mut todo, 1).await?;
            assert_eq!(receives(&fetched), [1]);
            assert!(source.on_sent(&items[fetched[0].0]).await.is_some_and(|it| it.is_ok()));
            // The wave is followed for longer than any visibility timeout of a short run.
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        source.release_unsent().await;
        TestResult::Ok(())
    };
    reading.keep(waves).await?;
    assert_eq!((queue.received_times(1), queue.lapsed(), queue.deleted()), (300, 0, 30));
    let cost = reading.cost();
    assert_eq!((cost.received, cost.repeated, cost.highest), (300, 0, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn queue_source_reads_a_large_plan_in_several_passes() -> TestResult {
    let (plan, stop) = (plan((0..1_000).filter(|it| it % 4 > 0)), CancellationToken::new());
    let id = plan.id.clone();
    // An eighth of the messages are copies that the plan has sent already.
    let queue = LazyQueue::new(1_000, move |number| {
        let mut message = waiting(number);
        if number % 8 == 0 {
            message.attributes.insert(resent::PLAN.to_owned(), id.clone());
        }
        message
    });
    let items = &plan.content.items;
    let reading = QueueReading::open(&queue, false, &Silent).await?;
    let source = QueueSource::new(&reading, &plan, &stop, &Silent);
    let mut source = source.with_max_waiting_bytes(100 * BODY.len());
    let mut todo: VecDeque<usize> = (0..items.len()).collect();
    source.prepare().await?;
    let handed_out = usize::try_from(queue.handed_out())?;
    assert!((100..400).contains(&handed_out), "{handed_out}");
    let held = 1_000 - queue.shown();
    assert!((handed_out * 3 / 4..handed_out).contains(&held), "only copies are released: {held}");
    let mut found = 0;
    while !todo.is_empty() {
        let fetched = source.fetch(items, &mut todo, 10).await?;
        assert!(fetched.iter().all(|(_, message)| message.is_ok()), "{fetched:?}");
        found += fetched.len();
    }
    assert_eq!(found, 750);
    source.release_unsent().await;
    assert_eq!(queue.shown(), 1_000);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn queue_source_reports_messages_that_left_the_queue() -> TestResult {
    let queue = LazyQueue::new(3, waiting);
    let (plan, stop) = (plan(1..5), CancellationToken::new());
    let items = &plan.content.items;
    let reading = QueueReading::open(&queue, false, &Silent).await?;
    let mut source = QueueSource::new(&reading, &plan, &stop, &Silent);
    let mut todo: VecDeque<usize> = (0..4).collect();
    let fetched = source.fetch(items, &mut todo, 10).await?;
    let gone = fetched.iter().filter(|(_, it)| matches!(it, Err(FetchError::Gone)));
    assert_eq!((fetched.len(), gone.count(), todo.len()), (4, 2, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn queue_source_ignores_the_last_receive_of_planned_messages() -> TestResult {
    let stop = CancellationToken::new();
    for (planned, is_refused) in [(0..5, false), (0..4, true)] {
        let queue = LazyQueue::new(5, waiting).redriven(10, 9);
        let plan = plan(planned);
        let reading = QueueReading::open(&queue, false, &Silent).await?;
        let refused = QueueSource::new(&reading, &plan, &stop, &Silent).prepare().await;
        assert_eq!(refused.is_err(), is_refused, "{refused:?}");
        assert_eq!(queue.shown() == 5, is_refused, "a refusal releases all messages");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn interrupted_queue_source_releases_all_messages() -> TestResult {
    let queue = LazyQueue::new(5_000, waiting);
    let (plan, stop) = (plan(0..5_000), CancellationToken::new());
    let reading = QueueReading::open(&queue, false, &Silent).await?;
    let mut source = QueueSource::new(&reading, &plan, &stop, &Silent);
    let interrupt = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(source.prepare(), interrupt);
    let released = queue.handed_out();
    assert!((1..5_000).contains(&released), "{released}");
    assert!(
        matches!(ended, Err(WholeReadError::Interrupted(ReadInterrupted { released: it })) if it == released),
        "{ended:?}"
    );
    assert_eq!(queue.shown(), 5_000);
    let mut todo = VecDeque::from([0]);
    let fetched = source.fetch(&plan.content.items, &mut todo, 1).await?;
    assert!(fetched.is_empty() && todo.len() == 1, "nothing more is received");
    Ok(())
}
