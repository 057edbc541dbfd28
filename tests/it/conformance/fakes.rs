//! The suites on the fakes.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genesys_fakes::conformance::target::Arrival;
use genesys_fakes::conformance::{CallFault, Result, archive, genesys, ledger, queue, target};
use genesys_fakes::{
    FaultHookFuture, Faults, Flaw, ManualClock, MemoryArchive, MemoryGenesys, MemoryLedger,
    MemoryQueues, MemoryTarget, Received, Redrive, Rules,
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

/// A fault for the next call.
pub(super) struct NextCall<E> {
    fault: Mutex<Option<CallFault>>,
    error: fn(CallFault) -> E,
}

impl<E: Send + 'static> NextCall<E> {
    pub(super) fn new(error: fn(CallFault) -> E) -> Arc<Self> {
        let fault = Mutex::new(None);
        Arc::new(Self { fault, error })
    }

    pub(super) fn set(&self, fault: CallFault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    fn pass(&self, here: CallFault) -> FaultHookFuture<'_, E> {
        let mut next = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = next.take_if(|fault| *fault == here);
        Box::pin(ready(fault.map_or(Ok(()), |it| Err((self.error)(it)))))
    }
}

impl<E: Send + 'static> Faults<E> for NextCall<E> {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, E> {
        self.pass(CallFault::NoEffect)
    }

    fn after(&self, _: &'static str) -> FaultHookFuture<'_, E> {
        self.pass(CallFault::ResponseLost)
    }
}

pub(super) fn fault_text(fault: CallFault) -> String {
    format!("injected fault: {fault:?}")
}

pub(super) struct Ledger {
    port: MemoryLedger,
    next: Arc<NextCall<LedgerError>>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self::of(Rules::new(ledger::REMEMBER))
    }

    /// Returns a ledger with a flaw.
    pub(super) fn flawed(flaw: Flaw) -> Self {
        Self::of(Rules::new(ledger::REMEMBER).flawed(flaw))
    }

    fn of(rules: Rules) -> Self {
        let next = NextCall::new(|fault| LedgerError::Unavailable(fault_text(fault).into()));
        let port = MemoryLedger::with_rules(rules).with_faults(next.clone());
        Self { port, next }
    }
}

impl ledger::LedgerSuite for Ledger {
    type Ledger = MemoryLedger;

    fn ledger(&self) -> &MemoryLedger {
        &self.port
    }

    fn next_call(&self, fault: CallFault) {
        self.next.set(fault);
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
        let next = NextCall::new(|fault| ArchiveError(fault_text(fault).into()));
        let port = MemoryArchive::default().with_faults(next.clone());
        Self { port, next }
    }
}

impl archive::ArchiveSuite for Archive {
    type Archive = MemoryArchive;

    fn archive(&self) -> &MemoryArchive {
        &self.port
    }

    fn next_call(&self, fault: CallFault) {
        self.next.set(fault);
    }

    async fn objects(&self) -> Result<BTreeMap<String, serde_json::Value>> {
        let documents = self.port.documents().into_iter();
        documents.map(|(key, document)| Ok((key, serde_json::from_str(&document)?))).collect()
    }
}

pub(super) struct Queues {
    port: MemoryQueues,
    next: Arc<NextCall<String>>,
    created: AtomicU32,
}

impl Queues {
    pub(super) fn new() -> Self {
        let next = NextCall::new(fault_text);
        let clock = ManualClock::at(Timestamp::from_millis(1_785_000_000_000));
        Self {
            port: MemoryQueues::new(Arc::new(clock)).with_faults(next.clone()),
            next,
            created: AtomicU32::new(0),
        }
    }
}

impl queue::QueueSuite for Queues {
    type Queue = MemoryQueues;

    fn queue(&self) -> &MemoryQueues {
        &self.port
    }

    fn next_call(&self, fault: CallFault) {
        self.next.set(fault);
    }

    async fn create(&self, parking: Option<(&str, u32)>) -> Result<String> {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        let arn = format!("arn:aws:sqs:eu-central-1:271828182845:queue-{number}");
        let redrive =
            parking.map(|(arn, max_receives)| Redrive { to: arn.to_owned(), max_receives });
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
        deleted.then_some(()).ok_or_else(|| "no such receipt".into())
    }

    async fn visibility_timeouts(&self, arn: &str) -> Result<Vec<Duration>> {
        Ok(self.port.visibility_timeouts(arn))
    }
}

pub(super) struct Target {
    port: MemoryTarget,
    created: AtomicU32,
    next: Arc<NextCall<DeliveryError>>,
}

impl Target {
    pub(super) fn new() -> Self {
        let next = NextCall::new(|fault| DeliveryError {
            code: FailureCode::TargetUnavailable,
            disposition: Disposition::Transient { after: None },
            certainty: match fault {
                CallFault::NoEffect => Certainty::NotSent,
                CallFault::ResponseLost => Certainty::Unknown,
            },
            timed_out: false,
            locally_throttled: false,
            reason: fault_text(fault),
            source: None,
        });
        Self {
            port: MemoryTarget::default().with_faults(next.clone()),
            created: AtomicU32::new(0),
            next,
        }
    }
}

impl target::TargetSuite for Target {
    type Target = MemoryTarget;

    fn target(&self) -> &MemoryTarget {
        &self.port
    }

    async fn destination(&self) -> Result<Destination> {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        let url = format!("https://crm-{number}.example/events");
        Ok(Destination::Http(Url::parse(&url)?))
    }

    fn drops_duplicates(&self) -> bool {
        false
    }

    fn next_call(&self, fault: CallFault) {
        self.next.set(fault);
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
    pub(super) fn with_form(form: ApiForm) -> Self {
        let next = NextCall::new(|fault| GenesysError::Unavailable {
            call: Call::Mark,
            problem: match fault {
                CallFault::NoEffect => UnavailableCause::Status(503),
                CallFault::ResponseLost => UnavailableCause::Broken,
            },
            after: None,
        });
        let port = MemoryGenesys::with_form(form).with_faults(next.clone());
        Self { port, form, next }
    }
}

impl genesys::GenesysSuite for Genesys {
    type Genesys = MemoryGenesys;

    fn genesys(&self) -> &MemoryGenesys {
        &self.port
    }

    fn form(&self) -> ApiForm {
        self.form
    }

    fn next_call(&self, _: Call, fault: CallFault) {
        self.next.set(fault);
    }

    fn put_participants(&self, interaction: &str, participants: &[(&str, &str)]) {
        self.port.put_participants(interaction, participants);
    }

    /// Does nothing, because an interaction must be created before it exists.
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
