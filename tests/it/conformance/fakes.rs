//! The fakes as worlds of the suites.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genesys_fakes::conformance::target::Arrival;
use genesys_fakes::conformance::{Mishap, Result, archive, genesys, ledger, queue, target};
use genesys_fakes::{
    Faults, Flaw, ManualClock, MemoryArchive, MemoryGenesys, MemoryLedger, MemoryQueues,
    MemoryTarget, Passage, Received, Redrive, Rules,
};
use genesys_replay::archive::ArchiveError;
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::destination::Destination;
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::genesys::{ApiForm, Call, GenesysError, Interaction, UnavailableCause};
use genesys_replay::ledger::{EventKey, LedgerError};
use genesys_replay::target::{Delivery, DeliveryError};
use url::Url;

/// Faults of which one call gets one.
pub(super) struct NextCall<E> {
    mishap: Mutex<Option<Mishap>>,
    error: fn(Mishap) -> E,
}

impl<E: Send + 'static> NextCall<E> {
    pub(super) fn new(error: fn(Mishap) -> E) -> Arc<Self> {
        let mishap = Mutex::new(None);
        Arc::new(Self { mishap, error })
    }

    pub(super) fn set(&self, mishap: Mishap) {
        *self.mishap.lock().unwrap_or_else(PoisonError::into_inner) = Some(mishap);
    }

    fn pass(&self, here: Mishap) -> Passage<'_, E> {
        let mut next = self.mishap.lock().unwrap_or_else(PoisonError::into_inner);
        let mishap = next.take_if(|mishap| *mishap == here);
        Box::pin(ready(mishap.map_or(Ok(()), |it| Err((self.error)(it)))))
    }
}

impl<E: Send + 'static> Faults<E> for NextCall<E> {
    fn before(&self, _: &'static str) -> Passage<'_, E> {
        self.pass(Mishap::Down)
    }

    fn after(&self, _: &'static str) -> Passage<'_, E> {
        self.pass(Mishap::AnswerLost)
    }
}

pub(super) fn words(mishap: Mishap) -> String {
    format!("told to fail: {mishap:?}")
}

pub(super) struct Ledger {
    port: MemoryLedger,
    next: Arc<NextCall<LedgerError>>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self::of(Rules::new(ledger::REMEMBER))
    }

    /// With a mistake in it.
    pub(super) fn flawed(flaw: Flaw) -> Self {
        Self::of(Rules::new(ledger::REMEMBER).flawed(flaw))
    }

    fn of(rules: Rules) -> Self {
        let next = NextCall::new(|mishap| LedgerError::Unavailable(words(mishap).into()));
        let port = MemoryLedger::with_rules(rules).with_faults(next.clone());
        Self { port, next }
    }
}

impl ledger::World for Ledger {
    type Ledger = MemoryLedger;

    fn ledger(&self) -> &MemoryLedger {
        &self.port
    }

    fn next_call(&self, mishap: Mishap) {
        self.next.set(mishap);
    }

    async fn item(&self, key: &EventKey) -> Result<BTreeMap<String, String>> {
        let item = self.port.item(key);
        Ok(item.map(|item| item.attributes(key)).unwrap_or_default())
    }
}

pub(super) struct Archive {
    port: MemoryArchive,
    next: Arc<NextCall<ArchiveError>>,
}

impl Archive {
    pub(super) fn new() -> Self {
        let next = NextCall::new(|mishap| ArchiveError(words(mishap).into()));
        let port = MemoryArchive::default().with_faults(next.clone());
        Self { port, next }
    }
}

impl archive::World for Archive {
    type Archive = MemoryArchive;

    fn archive(&self) -> &MemoryArchive {
        &self.port
    }

    fn next_call(&self, mishap: Mishap) {
        self.next.set(mishap);
    }

    async fn objects(&self) -> Result<BTreeMap<String, serde_json::Value>> {
        let documents = self.port.documents().into_iter();
        documents
            .map(|(key, document)| Ok((key, serde_json::from_str(&document)?)))
            .collect()
    }
}

pub(super) struct Queues {
    port: MemoryQueues,
    next: Arc<NextCall<String>>,
    created: AtomicU32,
}

impl Queues {
    pub(super) fn new() -> Self {
        let next = NextCall::new(words);
        let clock = ManualClock::at(Timestamp::from_millis(1_785_000_000_000));
        Self {
            port: MemoryQueues::new(Arc::new(clock)).with_faults(next.clone()),
            next,
            created: AtomicU32::new(0),
        }
    }
}

impl queue::World for Queues {
    type Queue = MemoryQueues;

    fn queue(&self) -> &MemoryQueues {
        &self.port
    }

    fn next_call(&self, mishap: Mishap) {
        self.next.set(mishap);
    }

    async fn create(&self, parking: Option<(&str, u32)>) -> Result<String> {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        let arn = format!("arn:aws:sqs:eu-central-1:271828182845:queue-{number}");
        let redrive = parking.map(|(arn, max_receives)| Redrive {
            to: arn.to_owned(),
            max_receives,
        });
        self.port.create(&arn, redrive);
        Ok(arn)
    }

    async fn send(&self, arn: &str, body: &str) -> Result<()> {
        self.port.send(arn, body.into()).ok_or("no such queue")?;
        Ok(())
    }

    async fn receive(&self, arn: &str) -> Result<Vec<Received>> {
        Ok(self.port.receive(arn, 10, queue::VISIBILITY))
    }

    async fn delete(&self, arn: &str, receipt_handle: &str) -> Result<()> {
        let deleted = self.port.delete(arn, receipt_handle);
        deleted
            .then_some(())
            .ok_or_else(|| "no such receipt".into())
    }

    async fn waits(&self, arn: &str) -> Result<Vec<Duration>> {
        Ok(self.port.waits(arn))
    }
}

pub(super) struct Target {
    port: MemoryTarget,
    created: AtomicU32,
    next: Arc<NextCall<DeliveryError>>,
}

impl Target {
    pub(super) fn new() -> Self {
        let next = NextCall::new(|mishap| DeliveryError {
            code: FailureCode::TargetUnavailable,
            disposition: Disposition::Transient { after: None },
            certainty: match mishap {
                Mishap::Down => Certainty::NotSent,
                Mishap::AnswerLost => Certainty::Unknown,
            },
            timed_out: false,
            reason: words(mishap),
            source: None,
        });
        Self {
            port: MemoryTarget::default().with_faults(next.clone()),
            created: AtomicU32::new(0),
            next,
        }
    }
}

impl target::World for Target {
    type Target = MemoryTarget;

    fn target(&self) -> &MemoryTarget {
        &self.port
    }

    async fn destination(&self) -> Result<Destination> {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        let url = format!("https://crm-{number}.example/events");
        Ok(Destination::Http(Url::parse(&url)?))
    }

    fn knows_repetitions(&self) -> bool {
        false
    }

    fn next_call(&self, mishap: Mishap) {
        self.next.set(mishap);
    }

    fn shown(&self, delivery: &Delivery<'_>) -> Arrival {
        Arrival::whole(delivery)
    }

    async fn arrivals(&self, destination: &Destination, _: usize) -> Result<Vec<Arrival>> {
        let here = format!("|{}", destination.key_part());
        let accepted = self.port.accepted().into_iter();
        let arrived = accepted.filter(|accepted| accepted.key.ends_with(&here));
        let arrivals = arrived.map(|accepted| Arrival {
            payload: accepted.payload,
            key: Some(accepted.key),
            attempt_count: Some(accepted.attempt_count),
        });
        Ok(arrivals.collect())
    }

    fn calls(&self) -> usize {
        self.port.accepted().len()
    }
}

pub(super) struct Genesys {
    port: MemoryGenesys,
    form: ApiForm,
    next: Arc<NextCall<GenesysError>>,
}

impl Genesys {
    pub(super) fn speaking(form: ApiForm) -> Self {
        let next = NextCall::new(|mishap| GenesysError::Unavailable {
            call: Call::Mark,
            problem: match mishap {
                Mishap::Down => UnavailableCause::Status(503),
                Mishap::AnswerLost => UnavailableCause::Broken,
            },
            after: None,
        });
        let port = MemoryGenesys::speaking(form).with_faults(next.clone());
        Self { port, form, next }
    }
}

impl genesys::World for Genesys {
    type Genesys = MemoryGenesys;

    fn genesys(&self) -> &MemoryGenesys {
        &self.port
    }

    fn form(&self) -> ApiForm {
        self.form
    }

    fn next_call(&self, _: Call, mishap: Mishap) {
        self.next.set(mishap);
    }

    fn put_participants(&self, interaction: &str, participants: &[(&str, &str)]) {
        self.port.put_participants(interaction, participants);
    }

    /// There is none that was not made.
    fn forget(&self, _: &str) {}

    fn marks(&self, interaction: &InteractionId) -> Vec<(Interaction, String)> {
        let marks = self.port.marks().into_iter();
        marks
            .filter(|(marked, _)| match marked {
                Interaction::Conversation { id, .. } | Interaction::Record { id } => {
                    id == interaction
                }
            })
            .map(|(marked, mark)| (marked, format!("{} {}", mark.attempt, mark.status.as_str())))
            .collect()
    }
}
