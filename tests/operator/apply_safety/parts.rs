//! Ports of `apply` without delays and network.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genesys_fakes::ManualClock;
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::ledger::Status;
use genesys_replay::message::{Message, MessageId};
use genesys_replay_cli::ledger::{LedgerReader, Record, RecordPage};
use genesys_replay_cli::operator::Silent;
use genesys_replay_cli::operator::apply::{
    Apply, ApplyError, AuditEntry, DeadLetterSource, Fetched, History, Journal, Options,
    SendResult, Sender, Summary,
};
use genesys_replay_cli::operator::plan::{
    Location, Plan, PlanContent, PlanItem, PlanKind, PlanSource, Predicted, Selection,
};
use genesys_replay_cli::operator::queue_reading::QueueReadError;
use genesys_replay_cli::queue::DeleteError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) const OPTIONS: Options =
    Options { rate: 1_000.0, canary: 1, ramp: 2.0, abort_at: 0.5, wait: Duration::from_secs(60) };

pub(crate) fn plan(count: usize) -> Plan {
    let item = |number| PlanItem {
        key: format!("e-{number}|none"),
        event_type: "t".to_owned(),
        interaction_id: None,
        target: "none".to_owned(),
        original_target: None,
        category: "UNKNOWN".to_owned(),
        failure_code: None,
        place: Location::Object { key: String::new(), etag: String::new() },
        body_sha256: String::new(),
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
        source: PlanSource::Parking { queue_arn: "parked".to_owned() },
        queue_arn: "q".to_owned(),
        selection: Selection::default(),
        items: (0..count).map(item).collect(),
        left_out: Vec::new(),
    })
}

/// A ledger with every sent event as delivered, except events that stay deferred, and events that an operator discards.
#[derive(Clone, Default)]
pub(crate) struct Delivered(
    pub(crate) Arc<Mutex<HashMap<String, String>>>,
    pub(crate) &'static [&'static str],
    pub(crate) &'static [&'static str],
);

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
                } else if self.2.contains(key) {
                    Status::Discarded
                } else {
                    Status::Completed
                }),
                delivered: false,
                receipt: None,
                round: 1,
                attempts: 1,
                interaction_id: None,
                category: String::new(),
                failure_code: None,
                target: String::new(),
                original_target: None,
                event_type: None,
                message_id: sent.get(*key)?.clone(),
                first_seen: None,
                processed: None,
                lease_until: None,
                not_before: None,
                plan: None,
                by: None,
                reason: None,
            })
        });
        Ok(found.collect())
    }
}

/// A source with every requested dead letter until it is sent.
#[derive(Clone, Default)]
pub(crate) struct Anything {
    pub(crate) left: Arc<Mutex<Vec<String>>>,
}

impl DeadLetterSource for Anything {
    async fn fetch(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<Fetched>, QueueReadError> {
        let some: Vec<usize> = todo.drain(..most.min(todo.len())).collect();
        let source = some.into_iter().filter_map(|index| {
            let id = MessageId::new(items.get(index)?.event_id())?;
            Some((index, Ok(Message::new(id, r#"{"interactionId":"c-1"}"#.to_owned()))))
        });
        Ok(source.collect())
    }

    async fn on_sent(&self, item: &PlanItem) -> Option<Result<(), DeleteError>> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.push(item.event_id().to_owned());
        Some(Ok(()))
    }

    async fn release_unsent(&mut self) -> u64 {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.push("all messages are released".to_owned());
        0
    }
}

/// Sends to the ledger, and stores the times. The credentials expire after this many calls.
pub(crate) struct Sends {
    ledger: Delivered,
    pub(crate) at: Arc<Mutex<Vec<(Duration, usize)>>>,
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

    async fn send(&self, messages: &[Message]) -> Result<Vec<SendResult>, AwsError> {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if at.len() >= self.calls {
            return Err(AwsError {
                operation: "putting messages on the queue".to_owned(),
                kind: AwsErrorKind::Credentials,
                detail: Some("ExpiredToken".to_owned()),
            });
        }
        at.push((self.begun.elapsed(), messages.len()));
        let mut sent = self.ledger.0.lock().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            sent.insert(format!("{}|none", message.id), message.id.to_string());
        }
        Ok(messages.iter().map(|message| SendResult::Sent(message.id.clone())).collect())
    }
}

#[derive(Default)]
pub(crate) struct Lines(pub(super) Vec<AuditEntry>);

impl Journal for Lines {
    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        self.0.push(entry.clone());
        Ok(())
    }
}

/// An audit that is full after this many lines.
pub(crate) struct Full(pub(super) usize);

impl Journal for Full {
    fn write(&mut self, _: &AuditEntry) -> io::Result<()> {
        self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }
}

pub(crate) async fn run(
    plan: &Plan,
    options: Options,
    sender: impl Sender,
    ledger: &Delivered,
    journal: &mut dyn Journal,
    history: History,
) -> Result<Summary, ApplyError> {
    run_from(Anything::default(), plan, options, sender, ledger, journal, history).await
}

pub(crate) async fn run_from(
    source: Anything,
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
        source,
        sender,
        journal,
        options,
        by: "marta".to_owned(),
        reason: None,
        clock: &ManualClock::at(Timestamp::from_millis(1_785_000_000_000)),
        stop: &CancellationToken::new(),
        progress: &Silent,
    }
    .run()
    .await
}

pub(crate) fn sends(ledger: &Delivered, calls: usize) -> Sends {
    Sends { ledger: ledger.clone(), at: Arc::default(), begun: Instant::now(), calls }
}

pub(crate) fn history(journal: &Lines) -> Result<History, Box<dyn std::error::Error>> {
    let lines = journal.0.iter().map(serde_json::to_string);
    let lines = lines.collect::<Result<Vec<String>, _>>()?;
    Ok(History::read(&(lines.join("\n") + "\n"))?)
}

/// A sender with only doubtful results.
pub(crate) struct Doubts;

impl Sender for Doubts {
    fn is_followed(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        "nowhere".to_owned()
    }

    async fn send(&self, messages: &[Message]) -> Result<Vec<SendResult>, AwsError> {
        let doubtful = SendResult::Doubtful("no answer in time".to_owned());
        Ok(vec![doubtful; messages.len()])
    }
}
