//! The import with a queue and a source in memory.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{Stream, stream};
use genesys_fakes::MemorySender;
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::message::MessageId;
use genesys_replay::queue::{
    MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES, MessageSender, NewMessage, PutError,
};
use genesys_replay_cli::operator::Silent;
use genesys_replay_cli::operator::import::{
    ImportError, ImportItem, ImportOptions, ImportSummary, NoCursor, SourceEntry, import,
};
use genesys_test_support::TestResult;
use tokio_util::sync::CancellationToken;

fn options() -> ImportOptions {
    ImportOptions {
        target_arn: None,
        target: ReplayTarget::Fixed(Destination::None),
        since: None,
        max_message_bytes: MAX_MESSAGE_BYTES,
    }
}

/// Streams this many events. Ctrl-C is pressed at the request for the event with this number.
fn events(
    number: u32,
    interrupt: Option<(u32, CancellationToken)>,
) -> impl Stream<Item = Result<SourceEntry, ImportError>> + Unpin {
    stream::iter((0..number).map(move |id| {
        if let Some((at, stop)) = &interrupt
            && *at == id
        {
            stop.cancel();
        }
        let text = format!(r#"{{"id":"e-{id}","payload":{{"interactionId":"c-{id}"}}}}"#);
        Ok(SourceEntry { place: format!("event {id}"), item: ImportItem::Failed(text) })
    }))
}

/// A queue that refuses the messages with these bodies this many times, or fails completely.
#[derive(Clone, Default)]
struct Moody {
    queue: MemorySender,
    refuses: Arc<Mutex<Vec<(String, u32)>>>,
    calls: Arc<Mutex<Vec<usize>>>,
    fails_at: Option<usize>,
}

impl MessageSender for Moody {
    async fn send(&self, message: &NewMessage) -> Result<MessageId, PutError> {
        if self.refuses(&message.body) {
            let reason = "SQS answered InternalError".to_owned();
            return Err(PutError::Unavailable { reason });
        }
        self.queue.send(message).await
    }

    async fn send_all(
        &self,
        messages: &[NewMessage],
    ) -> Result<Vec<Result<MessageId, PutError>>, AwsError> {
        let number = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push(messages.len());
            calls.len()
        };
        if self.fails_at == Some(number) {
            return Err(AwsError {
                operation: "putting messages".to_owned(),
                kind: AwsErrorKind::Credentials,
                detail: Some("ExpiredToken".to_owned()),
            });
        }
        let mut answers = Vec::new();
        for message in messages {
            answers.push(self.send(message).await);
        }
        Ok(answers)
    }
}

impl Moody {
    fn refuses(&self, body: &str) -> bool {
        let mut all = self.refuses.lock().unwrap_or_else(PoisonError::into_inner);
        let refused =
            all.iter_mut().find(|(part, times)| body.contains(part.as_str()) && *times > 0);
        refused.map(|(_, times)| *times -= 1).is_some()
    }

    fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refusing(part: &str, times: u32) -> Self {
        let moody = Self::default();
        let mut refuses = moody.refuses.lock().unwrap_or_else(PoisonError::into_inner);
        refuses.push((part.to_owned(), times));
        drop(refuses);
        moody
    }
}

fn counts(imported: &ImportSummary) -> [u64; 4] {
    [imported.found, imported.importable, imported.queued, imported.refused]
}

#[tokio::test(start_paused = true)]
async fn import_sends_at_most_ten_messages_per_call() -> TestResult {
    let queue = Moody::default();
    let stop = CancellationToken::new();
    let (imported, ended) =
        import(events(23, None), Some(&queue), &options(), &mut NoCursor, &Silent, &stop).await;
    ended?;
    assert_eq!(queue.calls(), [MAX_BATCH_ENTRIES, MAX_BATCH_ENTRIES, 3]);
    assert_eq!(counts(&imported), [23, 23, 23, 0]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn import_retries_only_refused_entries() -> TestResult {
    let queue = Moody::refusing("c-3", 2);
    let stop = CancellationToken::new();
    let (imported, ended) =
        import(events(10, None), Some(&queue), &options(), &mut NoCursor, &Silent, &stop).await;
    ended?;
    assert_eq!(queue.calls(), [10, 1, 1]);
    assert_eq!(counts(&imported), [10, 10, 10, 0]);
    assert_eq!(queue.queue.messages().len(), 10);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn import_names_and_counts_entries_that_are_always_refused() -> TestResult {
    let queue = Moody::refusing("c-3", u32::MAX);
    let stop = CancellationToken::new();
    let (imported, ended) =
        import(events(12, None), Some(&queue), &options(), &mut NoCursor, &Silent, &stop).await;
    ended?;
    assert_eq!(counts(&imported), [12, 12, 11, 1]);
    let refusal = imported.refusals.first().ok_or("nothing is named")?;
    assert_eq!(refusal.place, "event 3");
    assert!(refusal.why.starts_with("the event was not queued: "));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn import_stops_with_its_progress_when_the_queue_fails() -> TestResult {
    let queue = Moody { fails_at: Some(2), ..Moody::default() };
    let stop = CancellationToken::new();
    let (imported, ended) =
        import(events(30, None), Some(&queue), &options(), &mut NoCursor, &Silent, &stop).await;
    assert_eq!(counts(&imported), [20, 20, 10, 0]);
    assert!(matches!(ended, Err(ImportError::Aws(_))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn import_stops_between_two_calls_on_ctrl_c() -> TestResult {
    let queue = Moody::default();
    let stop = CancellationToken::new();
    let events = events(30, Some((14, stop.clone())));
    let (imported, ended) =
        import(events, Some(&queue), &options(), &mut NoCursor, &Silent, &stop).await;
    ended?;
    assert!(imported.stopped);
    assert_eq!(queue.calls(), [10]);
    assert_eq!(imported.queued, 10);
    Ok(())
}

#[tokio::test]
async fn event_above_the_limit_of_the_queue_is_refused_in_a_dry_run() -> TestResult {
    let stop = CancellationToken::new();
    let options = ImportOptions { max_message_bytes: 10, ..options() };
    let nowhere: Option<&MemorySender> = None;
    let (imported, ended) =
        import(events(2, None), nowhere, &options, &mut NoCursor, &Silent, &stop).await;
    ended?;
    assert_eq!(imported.refused, 2);
    let refusal = imported.refusals.first().ok_or("nothing is named")?;
    assert!(refusal.why.contains("the queue accepts 10 (MaximumMessageSize)"), "{refusal:?}");
    Ok(())
}
