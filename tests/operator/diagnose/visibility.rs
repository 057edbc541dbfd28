//! Every message is examined once and is visible again afterwards, after any end of the diagnosis.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genesys_replay_cli::operator::Silent;
use genesys_replay_cli::operator::diagnose::{
    Diagnose, DiagnosisEnd, MAX_MESSAGES_IN_MEMORY, MessageFinding, Sink,
};
use genesys_test_support::TestResult;

use super::lazy_queue::{LazyQueue, Mishap, dead_letter};
use super::{At, Items, NOW, Nobody, look, look_at, look_with};

#[tokio::test(start_paused = true)]
async fn diagnose_reads_each_message_once_and_releases_it() -> TestResult {
    let shelf = LazyQueue::new(237, dead_letter);
    let looked = look_at(&shelf, look()).await;
    let diagnosis = looked.well()?;
    assert_eq!((diagnosis.total, diagnosis.end), (237, DiagnosisEnd::Drained));
    assert_eq!(diagnosis.released.visible, 237);
    let mut ids: Vec<&str> =
        looked.findings.iter().filter_map(|it| it["messageId"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 237);
    assert_eq!((shelf.shown(), shelf.deleted(), shelf.lapsed()), (237, 0, 0));
    assert_eq!(shelf.received_times(1), 237, "one receive each");
    assert_eq!(looked.said, "");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_receives_a_few_times_from_an_empty_queue() -> TestResult {
    let shelf = LazyQueue::new(0, dead_letter);
    let looked = look_at(&shelf, look()).await;
    assert_eq!(looked.well()?.total, 0);
    assert!((3..=16).contains(&shelf.calls()), "{}", shelf.calls());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_keeps_messages_hidden_until_it_ends() -> TestResult {
    let mut shelf = LazyQueue::new(4_000, dead_letter);
    // 400 receives, 8 at a time: half an hour.
    shelf.latency = Duration::from_secs(40);
    let looked = look_at(&shelf, look()).await;
    assert_eq!(looked.well()?.total, 4_000);
    assert_eq!(shelf.lapsed(), 0, "no message came back before the end");
    assert_eq!(shelf.received_times(1), 4_000);
    assert_eq!(shelf.shown(), 4_000);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_releases_all_messages_when_the_queue_fails() -> TestResult {
    let mut shelf = LazyQueue::new(500, dead_letter);
    shelf.mishap = Some(Mishap::Denied(20));
    let looked = look_at(&shelf, look()).await;
    let error = looked.diagnosis.err().ok_or("the diagnosis succeeded")?.to_string();
    assert_eq!(error, "receiving: AWS denies the permission");
    assert!(shelf.handed_out() > 100);
    assert_eq!((shelf.shown(), shelf.deleted()), (500, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn interrupted_diagnose_releases_all_messages() -> TestResult {
    let shelf = LazyQueue::new(5_000, dead_letter);
    let stop = tokio::time::sleep(Duration::from_millis(500));
    let looked = look_with(&shelf, look(), &Items::default(), stop).await;
    let diagnosis = looked.well()?;
    assert_eq!(diagnosis.end, DiagnosisEnd::Interrupted);
    assert_eq!(looked.said, "");
    let handed_out = shelf.handed_out();
    assert!((1..5_000).contains(&handed_out), "{handed_out}");
    assert_eq!(diagnosis.released.visible, handed_out);
    assert_eq!(shelf.shown(), 5_000);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn interrupted_diagnose_waits_briefly_for_a_hanging_queue() -> TestResult {
    let mut shelf = LazyQueue::new(5_000, dead_letter);
    shelf.mishap = Some(Mishap::Hang(9));
    let stop = tokio::time::sleep(Duration::from_millis(500));
    let looked = look_with(&shelf, look(), &Items::default(), stop).await;
    assert_eq!(looked.well()?.end, DiagnosisEnd::Interrupted);
    assert!(looked.said.contains("become visible within 120 s"), "{}", looked.said);
    assert_eq!(shelf.shown(), 5_000);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_with_a_limit_receives_little_more() -> TestResult {
    let shelf = LazyQueue::new(500, dead_letter);
    let mut limited = look();
    limited.limit = Some(25);
    let looked = look_at(&shelf, limited).await;
    let diagnosis = looked.well()?;
    assert_eq!((diagnosis.total, diagnosis.end), (25, DiagnosisEnd::Limit));
    assert_eq!(looked.findings.len(), 25);
    assert!(shelf.handed_out() <= 30, "{}", shelf.handed_out());
    assert_eq!(shelf.shown(), 500);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_lists_a_duplicate_receive_once() -> TestResult {
    let mut shelf = LazyQueue::new(25, dead_letter);
    shelf.repeats = true;
    let looked = look_at(&shelf, look()).await;
    assert_eq!(looked.well()?.total, 25);
    assert_eq!(looked.findings.len(), 25);
    assert_eq!(shelf.shown(), 25);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_stops_releasing_when_the_queue_does_not_respond() -> TestResult {
    let mut shelf = LazyQueue::new(5_000, dead_letter);
    shelf.only_receives = true;
    let begun = tokio::time::Instant::now();
    let looked = look_at(&shelf, look()).await;
    let diagnosis = looked.well()?;
    assert_eq!(diagnosis.total, 5_000);
    assert_eq!((diagnosis.released.visible, diagnosis.released.hidden), (0, 5_000));
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    assert!(
        looked.said.contains("could not be made visible: 5000; they become visible within 120 s"),
        "{}",
        looked.said
    );
    Ok(())
}

/// Counts the messages that were received and are not in the sink yet.
struct Counting {
    shelf: Arc<LazyQueue>,
    put: u64,
    most: Arc<AtomicU64>,
}

impl Sink for Counting {
    fn put(&mut self, _: &MessageFinding<'_>) -> std::io::Result<()> {
        let in_memory = self.shelf.handed_out() - self.put;
        self.most.fetch_max(in_memory, Ordering::Relaxed);
        self.put += 1;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn diagnose_limits_messages_in_memory() -> TestResult {
    const MANY: usize = 100_000;
    let shelf = Arc::new(LazyQueue::new(MANY, dead_letter));
    let most = Arc::new(AtomicU64::new(0));
    let mut sink = Counting { shelf: Arc::clone(&shelf), put: 0, most: Arc::clone(&most) };
    // Messages arrive faster than they are examined.
    let ledger = Items { latency: Duration::from_millis(500), ..Items::default() };
    let use_case = Diagnose::<_, _, Nobody> {
        reader: shelf.as_ref(),
        ledger: &ledger,
        conversations: None,
        clock: &At(NOW),
        progress: &Silent,
    };
    let diagnosis = use_case.run(look(), &mut sink, pending()).await?;
    assert_eq!(diagnosis.total, MANY as u64);
    let groups = diagnosis.groups.all();
    assert_eq!((groups.len(), groups[0].count), (1, MANY as u64));
    let most = most.load(Ordering::Relaxed);
    assert!((1..=MAX_MESSAGES_IN_MEMORY as u64).contains(&most), "{most}");
    assert_eq!((shelf.shown(), shelf.lapsed()), (MANY, 0));
    Ok(())
}
