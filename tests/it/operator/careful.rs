//! The use case of `apply` in time that stands still: its pace, and what is not sent.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genesys_fakes::{ManualClock, MemoryInlet};
use genesys_replay::aws::{AwsError, AwsFault};
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::ledger::{LedgerReader, Record, RecordPage, Status};
use genesys_replay::message::{Message, MessageId};
use genesys_replay::operator::Silent;
use genesys_replay::operator::apply::{
    Apply, ApplyError, Ending, Entry, Event, Fetched, History, Journal, Letters, Options, Sender,
    Sending, State, Summary, ToQueue,
};
use genesys_replay::operator::plan::{Content, Item, Place, Plan, Predicted, Selection, Source};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::TestResult;

const OPTIONS: Options = Options {
    rate: 1_000.0,
    canary: 1,
    ramp: 2.0,
    abort_at: 0.5,
    wait: Duration::from_secs(60),
};

fn plan(count: usize) -> Plan {
    let item = |number| Item {
        key: format!("e-{number}|none"),
        event_type: "t".to_owned(),
        interaction_id: None,
        target: "none".to_owned(),
        category: "UNKNOWN".to_owned(),
        failure_code: None,
        place: Place::Object {
            key: String::new(),
            etag: String::new(),
        },
        body_sha256: String::new(),
        ledger: None,
        predicted: Predicted {
            attempt: 1,
            marks_interaction: false,
        },
        edit: None,
    };
    Plan::of(Content {
        created_at: "2026-07-25T17:20:00Z".to_owned(),
        created_by: "marta".to_owned(),
        reason: "because".to_owned(),
        edit_of: None,
        source: Source::Archive {
            bucket: "b".to_owned(),
            prefix: String::new(),
        },
        queue_arn: "q".to_owned(),
        selection: Selection::default(),
        items: (0..count).map(item).collect(),
        left_out: Vec::new(),
    })
}

/// A ledger that has everything as delivered that was sent, but for what is deferred for ever.
#[derive(Clone, Default)]
struct Delivered(Arc<Mutex<HashMap<String, String>>>, &'static [&'static str]);

impl LedgerReader for Delivered {
    async fn scan(&self, _: u32, _: u32, _: Option<&str>) -> Result<RecordPage, AwsError> {
        Ok(RecordPage::default())
    }

    async fn find(&self, keys: &[&str]) -> Result<Vec<Record>, AwsError> {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = keys.iter().filter_map(|key| {
            Some(Record {
                key: (*key).to_owned(),
                status: Some(if self.1.contains(key) {
                    Status::Deferred
                } else {
                    Status::Completed
                }),
                delivered: false,
                attempts: 1,
                interaction_id: None,
                category: String::new(),
                failure_code: None,
                target: String::new(),
                message_id: sent.get(*key)?.clone(),
                first_seen: None,
                processed: None,
                lease_until: None,
            })
        });
        Ok(found.collect())
    }
}

/// Whatever is asked for is there, until it was sent.
#[derive(Clone, Default)]
struct Anything {
    left: Arc<Mutex<Vec<String>>>,
}

impl Letters for Anything {
    async fn fetch(
        &mut self,
        items: &[Item],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<Fetched>, AwsError> {
        let some: Vec<usize> = todo.drain(..most.min(todo.len())).collect();
        let letters = some.into_iter().filter_map(|index| {
            let id = MessageId::new(items.get(index)?.event_id())?;
            Some((
                index,
                Ok(Message::new(id, r#"{"interactionId":"c-1"}"#.to_owned())),
            ))
        });
        Ok(letters.collect())
    }

    async fn sent(&mut self, item: &Item) -> Option<Result<(), String>> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.push(item.event_id().to_owned());
        Some(Ok(()))
    }

    fn moves(&self) -> bool {
        true
    }

    async fn close(&mut self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.push("all is given back".to_owned());
    }
}

/// Sends, as the ledger then has it, and remembers when. The credentials expire after so many calls.
struct Sends {
    ledger: Delivered,
    at: Arc<Mutex<Vec<(Duration, usize)>>>,
    begun: Instant,
    calls: usize,
}

impl Sender for Sends {
    fn is_followed(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        "nowhere".to_owned()
    }

    async fn send(&self, messages: &[Message]) -> Result<Vec<Sending>, AwsError> {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if at.len() >= self.calls {
            return Err(AwsError {
                doing: "putting messages on the queue".to_owned(),
                fault: AwsFault::Credentials,
                detail: Some("ExpiredToken".to_owned()),
            });
        }
        at.push((self.begun.elapsed(), messages.len()));
        let mut sent = self.ledger.0.lock().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            sent.insert(format!("{}|none", message.id), message.id.to_string());
        }
        Ok(messages
            .iter()
            .map(|message| Sending::Sent(message.id.clone()))
            .collect())
    }
}

#[derive(Default)]
struct Lines(Vec<Entry>);

impl Journal for Lines {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.0.push(entry.clone());
        Ok(())
    }
}

/// Full after so many lines.
struct Full(usize);

impl Journal for Full {
    fn write(&mut self, _: &Entry) -> io::Result<()> {
        self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }
}

async fn run(
    plan: &Plan,
    options: Options,
    sender: impl Sender,
    ledger: &Delivered,
    journal: &mut dyn Journal,
    history: History,
) -> Result<Summary, ApplyError> {
    run_from(
        Anything::default(),
        plan,
        options,
        sender,
        ledger,
        journal,
        history,
    )
    .await
}

async fn run_from(
    letters: Anything,
    plan: &Plan,
    options: Options,
    sender: impl Sender,
    ledger: &Delivered,
    journal: &mut dyn Journal,
    history: History,
) -> Result<Summary, ApplyError> {
    Apply {
        plan,
        history,
        target: &ReplayTarget::Fixed(Destination::None),
        ledger,
        letters,
        sender,
        journal,
        options,
        by: "marta".to_owned(),
        clock: &ManualClock::at(Timestamp::from_millis(1_785_000_000_000)),
        stop: &CancellationToken::new(),
        progress: &Silent,
    }
    .run()
    .await
}

fn sends(ledger: &Delivered, calls: usize) -> Sends {
    Sends {
        ledger: ledger.clone(),
        at: Arc::default(),
        begun: Instant::now(),
        calls,
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_are_sent_in_a_second_than_the_rate_allows() -> TestResult {
    for (rate, canary) in [(0.5, 1), (4.0, 30), (25.0, 100)] {
        let ledger = Delivered::default();
        let sender = sends(&ledger, usize::MAX);
        let at = Arc::clone(&sender.at);
        let options = Options {
            rate,
            canary,
            ..OPTIONS
        };
        let mut journal = Lines::default();
        let history = History::default();
        run(&plan(100), options, sender, &ledger, &mut journal, history).await?;
        let at = at.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(at.iter().map(|(_, count)| count).sum::<usize>(), 100);
        // Over waves, too: whatever was sent since a call has had its time before the next one begins.
        for (first, (begun, _)) in at.iter().enumerate() {
            let mut sent = 0;
            for (now, count) in &at[first..] {
                let allowed = Duration::from_secs_f64(f64::from(sent) / rate);
                assert!(
                    now.saturating_sub(*begun) >= allowed,
                    "{rate}: {sent} from {begun:?} to {now:?}"
                );
                sent += u32::try_from(*count)?;
            }
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn when_credentials_expire_the_audit_says_where_it_stood_and_a_resume_sends_the_rest()
-> TestResult {
    let plan = plan(30);
    let ledger = Delivered::default();
    let mut journal = Lines::default();
    let ended = run(
        &plan,
        OPTIONS,
        sends(&ledger, 4),
        &ledger,
        &mut journal,
        History::default(),
    )
    .await;
    assert!(
        matches!(&ended, Err(ApplyError::Aws(error)) if error.fault == AwsFault::Credentials),
        "{ended:?}"
    );
    let history = history(&journal)?;
    let before = ledger
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .len();
    let sender = sends(&ledger, usize::MAX);
    let at = Arc::clone(&sender.at);
    let summary = run(&plan, OPTIONS, sender, &ledger, &mut journal, history).await?;
    assert_eq!(summary.ending, Ending::Done);
    let resent: usize = at
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .map(|(_, count)| count)
        .sum();
    assert_eq!(before + resent, 30, "none twice");
    Ok(())
}

fn history(journal: &Lines) -> Result<History, Box<dyn std::error::Error>> {
    let lines = journal.0.iter().map(serde_json::to_string);
    let lines = lines.collect::<Result<Vec<String>, _>>()?;
    Ok(History::read(&(lines.join("\n") + "\n"))?)
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_not_seen_leaving_the_parking_queue_leaves_it_with_the_next_run()
-> TestResult {
    let plan = plan(3);
    let ledger = Delivered::default();
    let mut journal = Lines::default();
    let none = History::default();
    run(
        &plan,
        OPTIONS,
        sends(&ledger, 9),
        &ledger,
        &mut journal,
        none,
    )
    .await?;
    // As if it had been killed after the last message was sent.
    let is_last = |entry: &Entry| match &entry.event {
        Event::LeftParking { key, .. } | Event::Outcome { key, .. } => key.starts_with("e-2|"),
        Event::Begun { .. }
        | Event::Wave { .. }
        | Event::Sending { .. }
        | Event::Sent { .. }
        | Event::NotSent { .. }
        | Event::Doubtful { .. }
        | Event::Ended { .. } => false,
    };
    journal.0.retain(|entry| !is_last(entry));
    let letters = Anything::default();
    let earlier = history(&journal)?;
    let sender = sends(&ledger, 0);
    let run = run_from(
        letters.clone(),
        &plan,
        OPTIONS,
        sender,
        &ledger,
        &mut journal,
        earlier,
    );
    let summary = run.await?;
    let delivered = ("delivered".to_owned(), String::new());
    assert_eq!(summary.outcomes.get(&delivered), Some(&3), "{summary:?}");
    let left = letters.left.lock().unwrap_or_else(PoisonError::into_inner);
    // What was received on the way is given back before the first wave looks for it, and again in the end.
    assert_eq!(*left, ["e-2", "all is given back", "all is given back"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_that_cannot_be_written_down_first() -> TestResult {
    // The lines before the first call: begun, wave, sending.
    for lines in 0..3 {
        let ledger = Delivered::default();
        let sender = sends(&ledger, usize::MAX);
        let ended = run(
            &plan(3),
            OPTIONS,
            sender,
            &ledger,
            &mut Full(lines),
            History::default(),
        )
        .await;
        assert!(matches!(ended, Err(ApplyError::Journal(_))), "{ended:?}");
        assert!(
            ledger
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_empty(),
            "{lines}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn each_entry_that_the_queue_refuses_is_named_and_the_others_are_sent() -> TestResult {
    let inlet = MemoryInlet::default();
    let queue = ToQueue {
        inlet: inlet.clone(),
        name: "q".to_owned(),
    };
    let message =
        |id: &str, body: &str| MessageId::new(id).map(|id| Message::new(id, body.to_owned()));
    let mut burdened = message("m-4", "{}").ok_or("no id")?;
    burdened.attributes = (0..11)
        .map(|number| (format!("a{number}"), "v".to_owned()))
        .collect();
    let long = "x".repeat(1024 * 1024 + 1);
    let messages = [
        message("m-1", "{}"),
        message("m-2", "\u{1}"),
        message("m-3", &long),
        Some(burdened),
    ];
    let messages: Vec<Message> = messages.into_iter().flatten().collect();
    let sendings = queue.send(&messages).await?;
    assert!(matches!(sendings[0], Sending::Sent(_)), "{:?}", sendings[0]);
    for (sending, says) in
        sendings[1..]
            .iter()
            .zip(["no such body", "1048577 bytes", "11 message attributes"])
    {
        assert!(
            matches!(sending, Sending::NotSent(reason) | Sending::Doubtful(reason) if reason.contains(says)),
            "{says}: {sending:?}"
        );
    }
    assert_eq!(inlet.messages().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_wave_is_judged_by_its_own_dead_letters() -> TestResult {
    // One of each four is deferred: less than half.
    let ledger = Delivered(Arc::default(), &["e-1|none", "e-5|none", "e-9|none"]);
    let options = Options {
        canary: 4,
        ramp: 1.0,
        ..OPTIONS
    };
    let mut journal = Lines::default();
    let none = History::default();
    let sender = sends(&ledger, usize::MAX);
    let summary = run(&plan(12), options, sender, &ledger, &mut journal, none).await?;
    let stuck = Ending::Stuck {
        waiting: 0,
        deferred: 3,
    };
    assert_eq!((summary.ending, summary.left), (stuck, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_resume_does_not_stop_for_what_failed_before_it() -> TestResult {
    let ledger = Delivered(Arc::default(), &["e-0|none"]);
    let mut journal = Lines::default();
    let none = History::default();
    let sender = sends(&ledger, usize::MAX);
    let stopped = run(&plan(4), OPTIONS, sender, &ledger, &mut journal, none).await?;
    assert_eq!(stopped.ending, Ending::TooManyFailures { failed: 1, of: 1 });
    let earlier = history(&journal)?;
    let sender = sends(&ledger, usize::MAX);
    let resumed = run(&plan(4), OPTIONS, sender, &ledger, &mut journal, earlier).await?;
    let delivered = ("delivered".to_owned(), String::new());
    assert_eq!(resumed.outcomes.get(&delivered), Some(&3), "{resumed:?}");
    assert_eq!(resumed.open, ["e-0|none"], "it is still on its way");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_sent_is_tried_again_by_a_resume() -> TestResult {
    let ledger = Delivered::default();
    let mut journal = Lines::default();
    let (plan, none) = (plan(2), History::default());
    let doubted = run(&plan, OPTIONS, Doubts, &ledger, &mut journal, none).await?;
    assert_eq!(
        (doubted.doubtful.len(), doubted.left),
        (1, 1),
        "{doubted:?}"
    );
    let earlier = history(&journal)?;
    assert_eq!(earlier.states.get("e-0|none"), Some(&State::Doubtful));
    let sender = sends(&ledger, usize::MAX);
    let resumed = run(&plan, OPTIONS, sender, &ledger, &mut journal, earlier).await?;
    let delivered = ("delivered".to_owned(), String::new());
    assert_eq!(resumed.outcomes.get(&delivered), Some(&2), "{resumed:?}");
    Ok(())
}

/// Never knows what became of anything.
struct Doubts;

impl Sender for Doubts {
    fn is_followed(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        "nowhere".to_owned()
    }

    async fn send(&self, messages: &[Message]) -> Result<Vec<Sending>, AwsError> {
        let doubtful = Sending::Doubtful("no answer in time".to_owned());
        Ok(vec![doubtful; messages.len()])
    }
}
