//! The event of Lambda through the whole function.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use genesys_fakes::{InMemory, ManualClock, MemoryArchive, MemoryGenesys, MemoryTarget};
use genesys_replay::clock::Random;
use genesys_replay::dead_letter::{ParsedMessage, parse};
use genesys_replay::destination::{AllowedTargets, Destination, ReplayTarget};
use genesys_replay::ledger::EventKey;
use genesys_replay::message::{Message, MessageId};
use genesys_replay::replay::{Replay, RetryState};
use genesys_replay_lambda::lambda::{BatchError, handle};
use genesys_replay_telemetry::LogLevel;
use genesys_replay_telemetry::metrics::Metrics;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;

use crate::{NOW, can_be_called};

/// The prefix of interactions that Genesys Cloud does not have.
const FORGOTTEN: &str = "gone";

/// Checks the JSON of an SQS event. The function runs twice on it, over fakes without faults.
///
/// # Panics
/// The response names a message that is not in the batch, an acknowledged message is neither
/// delivered nor archived, or an event is delivered twice.
pub fn sqs_event(input: &[u8]) {
    let Ok(event) = serde_json::from_slice::<SqsEvent>(input) else {
        // The function makes no call then; Lambda returns the whole batch to the queue.
        return;
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    if let Ok(runtime) = runtime {
        runtime.block_on(run(event));
    }
}

/// Random numbers that are always zero.
struct ZeroRandom;

impl Random for ZeroRandom {
    fn unit(&self) -> f64 {
        0.0
    }
}

struct BatchHarness {
    genesys: MemoryGenesys,
    target: MemoryTarget,
    archive: MemoryArchive,
    function: Replay<InMemory>,
}

impl BatchHarness {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let destination = ReplayTarget::original(AllowedTargets::Any);
        let (genesys, archive) = (MemoryGenesys::default(), MemoryArchive::default());
        let function = Replay {
            retry_state: RetryState::Required(genesys.clone()),
            archive: Some(archive.clone()),
            ..InMemory::function(clock, Arc::new(ZeroRandom), destination)
        };
        let target = function.target.clone();
        Self { genesys, target, archive, function }
    }

    /// Runs one invocation. Returns the ids of the returned messages.
    async fn invoke(&self, event: &SqsEvent) -> Result<Vec<String>, BatchError> {
        let metrics = Metrics::new(LogLevel::Info, Box::new(std::io::sink()));
        let mut context = Context::default();
        context.deadline = NOW.plus(Duration::from_secs(60)).as_millis();
        let event = LambdaEvent::new(event.clone(), context);
        let answer = handle(&self.function, &metrics, event).await?;
        let failures = answer.batch_item_failures.into_iter();
        Ok(failures.map(|failure| failure.item_identifier).collect())
    }

    /// Returns the archived bodies.
    fn archived(&self) -> BTreeSet<String> {
        let documents = self.archive.documents().into_values();
        documents
            .map(|document| serde_json::from_str::<Value>(&document).unwrap_or_default())
            .filter_map(|document| {
                let body = document.get("body").or(document.get("body_base64"));
                Some(body?.as_str()?.to_owned())
            })
            .collect()
    }
}

async fn run(event: SqsEvent) {
    let harness = BatchHarness::new();
    let records: Option<Vec<Record>> = event.records.iter().map(Record::read).collect();
    for record in records.iter().flatten() {
        record.add_interaction_to(&harness.genesys);
    }
    let answer = harness.invoke(&event).await;
    let Some(records) = records else {
        assert!(answer.is_err(), "a record without an id");
        assert!(harness.target.accepted().is_empty() && harness.archived().is_empty());
        return;
    };
    assert!(answer.is_ok(), "every record has an id: {answer:?}");
    // The fakes have no faults: a returned message is a bug of the program.
    assert_eq!(answer.unwrap_or_default(), [""; 0]);
    let accepted = harness.target.accepted();
    let ids: BTreeSet<_> = records.iter().map(|record| &record.message.id).collect();
    // Message ids of SQS are unique.
    if ids.len() == records.len() {
        no_event_is_lost(&records, &harness);
    }
    let keys: BTreeSet<_> = accepted.iter().map(|delivery| &delivery.key).collect();
    assert_eq!(keys.len(), accepted.len(), "no event is delivered twice");
    let again = harness.invoke(&event).await;
    assert_eq!(again.unwrap_or_default(), [""; 0]);
    assert_eq!(harness.target.accepted(), accepted, "nor ever again");
}

/// A record as this fuzz target parses it, independently of the program.
struct Record {
    message: Message,
    key: EventKey,
    /// The expected payload.
    payload: Option<String>,
    /// The record has to be delivered.
    is_deliverable: bool,
    interaction: Option<String>,
}

impl Record {
    /// Parses a record. `None`: it has no id.
    fn read(record: &SqsMessage) -> Option<Self> {
        let id = MessageId::new(record.message_id.clone()?)?;
        let mut message = Message::new(id, record.body.clone().unwrap_or_default());
        message.queue_arn.clone_from(&record.event_source_arn);
        message.attributes = record
            .message_attributes
            .iter()
            .filter_map(|(name, attribute)| Some((name.clone(), attribute.string_value.clone()?)))
            .collect::<BTreeMap<_, _>>();
        let (key, payload, is_deliverable, interaction) = match parse(&message) {
            ParsedMessage::DeadLetter(dead_letter) => {
                let own = message.queue_arn.as_deref().filter(|arn| !arn.is_empty());
                let own: Vec<_> = own.into_iter().collect();
                let destination = ReplayTarget::original(AllowedTargets::Any)
                    .destination(dead_letter.failure.target_arn.as_deref(), &own);
                let interaction = dead_letter.interaction.map(|it| it.id.to_string());
                let is_meant = message.replay_plan().is_some();
                let is_deliverable = can_be_called(&destination)
                    && !dead_letter.own_echo
                    && (is_meant || !dead_letter.failure.category().is_malformed())
                    && interaction.as_deref().is_none_or(has_interaction);
                (
                    EventKey::new(dead_letter.event_id.as_ref(), &message.id, &destination),
                    Some(dead_letter.payload.into_owned()),
                    is_deliverable,
                    interaction,
                )
            }
            ParsedMessage::Unreplayable(_) => {
                (EventKey::new(None, &message.id, &Destination::Missing), None, false, None)
            }
        };
        Some(Self { message, key, payload, is_deliverable, interaction })
    }

    fn add_interaction_to(&self, genesys: &MemoryGenesys) {
        let known = self.interaction.as_deref().filter(|id| has_interaction(id));
        if let Some(id) = known {
            genesys.put_participants(id, &[("p-1", "agent"), ("p-2", "customer")]);
        }
    }
}

/// Returns whether Genesys Cloud has an interaction.
fn has_interaction(id: &str) -> bool {
    !id.starts_with(FORGOTTEN)
}

/// Checks that every event is at the target, or in the archive if it cannot be delivered. One of several
/// duplicates is enough.
fn no_event_is_lost(records: &[Record], harness: &BatchHarness) {
    let archived = harness.archived();
    let accepted = harness.target.accepted();
    let is_delivered = |record: &Record| {
        accepted.iter().any(|delivery| {
            delivery.key == record.key.as_str()
                && Some(&delivery.payload) == record.payload.as_ref()
        })
    };
    for record in records {
        let same: Vec<_> = records.iter().filter(|other| other.key == record.key).collect();
        let is_kept =
            |record: &&Record| is_delivered(record) || archived.contains(&record.message.body);
        assert!(same.iter().any(is_kept), "{} is lost", record.key);
        if same.iter().all(|record| record.is_deliverable) {
            let delivered = same.iter().any(|record| is_delivered(record));
            assert!(delivered, "{} is not delivered", record.key);
        }
    }
}
