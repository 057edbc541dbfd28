//! The diagnosis of a queue without a removal of messages.

mod correlating;
mod files;
pub(super) mod lazy_queue;
mod memory;
mod program;
mod run;
mod samples;
mod visibility;
mod wire;

use std::collections::BTreeMap;
use std::error::Error;
use std::future::pending;
use std::io;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::destination::{AllowedTargets, ReplayTarget};
use genesys_replay::genesys::GenesysError;
use genesys_replay::replay::decision::Rules;
use genesys_replay_cli::genesys::analytics::{ConversationPage, ConversationQuery, Conversations};
use genesys_replay_cli::ledger::{LedgerReader, Record, RecordPage};
use genesys_replay_cli::operator::Progress;
use genesys_replay_cli::operator::diagnose::{
    Diagnose, DiagnoseError, DiagnoseOptions, Diagnosis, MessageFinding, Sink,
};
use genesys_replay_cli::operator::plan::Selection;
use serde_json::Value;

use lazy_queue::LazyQueue;

/// Some time after every sample.
const NOW: Timestamp = Timestamp::from_millis(1_785_100_000_000);

static EVERYTHING: LazyLock<Selection> = LazyLock::new(Selection::default);

static ORIGINAL: ReplayTarget = ReplayTarget::original(AllowedTargets::Any);

/// Options without limits.
fn look() -> DiagnoseOptions<'static> {
    DiagnoseOptions {
        target: &ORIGINAL,
        rules: Rules {
            replay_malformed: false,
            stale_after: None,
            max_rounds: 10,
            has_archive: false,
        },
        selection: &EVERYTHING,
        now: NOW,
        limit: None,
        force: false,
    }
}

struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The findings as records.
#[derive(Default)]
struct Findings(Vec<Value>);

impl Sink for Findings {
    fn put(&mut self, finding: &MessageFinding<'_>) -> io::Result<()> {
        self.0.push(serde_json::to_value(finding)?);
        Ok(())
    }
}

/// The ledger's items; `None` if the ledger cannot be read.
#[derive(Default)]
struct Items {
    records: BTreeMap<String, Record>,
    is_down: bool,
    /// The time until the answer.
    latency: Duration,
}

impl LedgerReader for Items {
    async fn scan(&self, _: u32, _: u32, _: Option<&str>) -> Result<RecordPage, AwsError> {
        Ok(RecordPage::default())
    }

    async fn find(&self, keys: &[&str]) -> Result<Vec<Record>, AwsError> {
        if self.is_down {
            return Err(AwsError {
                operation: "reading the table".to_owned(),
                kind: AwsErrorKind::Denied,
                detail: None,
            });
        }
        tokio::time::sleep(self.latency).await;
        let found = keys.iter().filter_map(|key| self.records.get(*key).cloned());
        Ok(found.collect())
    }
}

/// The messages for the operator.
#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Said {
    fn all(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Progress for Said {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}

    fn warn(&self, what: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.push(what.to_owned());
    }
}

/// Analytics without a call.
struct Nobody;

impl Conversations for Nobody {
    async fn page(
        &self,
        _: ConversationQuery<'_>,
        _: u32,
    ) -> Result<ConversationPage, GenesysError> {
        Err(GenesysError::NotFound)
    }
}

/// One diagnosis of a queue in memory, with its findings and messages.
struct Looked {
    diagnosis: Result<Diagnosis, DiagnoseError>,
    findings: Vec<Value>,
    said: String,
}

impl Looked {
    fn well(&self) -> Result<&Diagnosis, Box<dyn Error>> {
        match &self.diagnosis {
            Ok(diagnosis) => Ok(diagnosis),
            Err(error) => Err(error.to_string().into()),
        }
    }
}

/// Diagnoses a queue in memory with an empty ledger, without an interruption.
async fn look_at(shelf: &LazyQueue, look: DiagnoseOptions<'_>) -> Looked {
    look_with(shelf, look, &Items::default(), pending()).await
}

async fn look_with(
    shelf: &LazyQueue,
    look: DiagnoseOptions<'_>,
    ledger: &Items,
    stop: impl Future<Output = ()>,
) -> Looked {
    let (said, mut findings) = (Said::default(), Findings::default());
    let use_case = Diagnose::<_, _, Nobody> {
        reader: shelf,
        ledger,
        conversations: None,
        clock: &At(NOW),
        progress: &said,
    };
    let diagnosis = use_case.run(look, &mut findings, stop).await;
    Looked { diagnosis, findings: findings.0, said: said.all() }
}
