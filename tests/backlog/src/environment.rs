//! One execution environment: it receives batches and handles them with the real use case.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use genesys_fakes::{MemoryArchive, MemoryLedger};
use genesys_replay::clock::{Clock, Random};
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::failure::FailureCode;
use genesys_replay::message::{Message, MessageId};
use genesys_replay::meter::UpstreamCounters;
use genesys_replay::replay::{
    CircuitBreakers, Invocation, KnownQueues, LedgerLatency, Limits, Outcome, Policy, Ports,
    RecordReport, Replay, RetryState, Shutdown,
};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::genesys::GenesysClient;
use crate::queue::{BacklogQueue, QUEUE_ARN, ReceivedMessage};
use crate::target::LimitedTarget;
use crate::time::lock;

/// The time limit of an invocation, as in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The time between two invocations of a busy environment.
const POLL_TIME: Duration = Duration::from_millis(5);

/// The longest wait for a message.
const MAX_IDLE_TIME: Duration = Duration::from_secs(20);

/// The ports of a run.
pub(crate) enum BacklogPorts {}

impl Ports for BacklogPorts {
    type Ledger = MemoryLedger;
    type Genesys = GenesysClient;
    type Target = LimitedTarget;
    type Archive = MemoryArchive;
    type Queue = BacklogQueue;
}

/// The services that all environments share.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) ledger: MemoryLedger,
    pub(crate) archive: MemoryArchive,
    pub(crate) target: LimitedTarget,
    pub(crate) queue: BacklogQueue,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) target_url: Url,
}

/// The billed time of a run.
#[derive(Default)]
pub(crate) struct Billing {
    pub(crate) batches: usize,
    pub(crate) billed: Duration,
    /// The billed milliseconds of the batches that found the circuit open for all records.
    pub(crate) open_circuit_ms: Vec<u32>,
}

/// One execution environment.
pub(crate) struct Environment {
    services: Services,
    replay: Replay<BacklogPorts>,
    has_interactions: bool,
    billing: Arc<Mutex<Billing>>,
    number: usize,
}

impl Environment {
    pub(crate) fn new(
        number: usize,
        services: Services,
        genesys: GenesysClient,
        has_interactions: bool,
        billing: Arc<Mutex<Billing>>,
    ) -> Self {
        let meter = Arc::new(UpstreamCounters::default());
        let replay = Replay {
            ledger: services.ledger.clone(),
            retry_state: RetryState::Required(genesys),
            target: services.target.clone(),
            archive: Some(services.archive.clone()),
            queue: services.queue.clone(),
            destination: ReplayTarget::Fixed(Destination::Http(services.target_url.clone())),
            policy: Policy::new(Limits::default()),
            circuit_breakers: CircuitBreakers::new(Arc::clone(&meter)),
            ledger_latency: LedgerLatency::default(),
            known_queues: KnownQueues::default(),
            shutdown: Shutdown::default(),
            meter,
            max_concurrency: 10,
            clock: Arc::clone(&services.clock),
            random: Arc::clone(&services.random),
        };
        Self { services, replay, has_interactions, billing, number }
    }

    /// Receives and handles batches until the queue is empty or `end` has passed.
    pub(crate) async fn run(self, end: Instant) {
        let mut batches = 0_u64;
        while !self.services.queue.is_empty() && Instant::now() < end {
            let received = self.services.queue.receive();
            if received.is_empty() {
                sleep(self.services.queue.next_visible().min(MAX_IDLE_TIME)).await;
                continue;
            }
            batches += 1;
            self.batch(&received, batches).await;
            sleep(POLL_TIME).await;
        }
    }

    async fn batch(&self, received: &[ReceivedMessage], number: u64) {
        let messages: Vec<Message> = received.iter().filter_map(|it| self.message(*it)).collect();
        let invocation = Invocation {
            request_id: format!("{}-{number}", self.number),
            function_arn: String::new(),
            deadline: self.services.clock.now().plus(FUNCTION_TIMEOUT),
        };
        let begun = Instant::now();
        let handled = self.replay.batch(&messages, &invocation).await;
        self.bill(begun.elapsed(), &handled);
        for (received, handled) in received.iter().zip(&handled) {
            if !handled.result.outcome.returns_to_queue() {
                self.services.queue.delete(received.number);
            }
        }
    }

    fn bill(&self, duration: Duration, handled: &[RecordReport]) {
        let is_refused = |it: &RecordReport| {
            let outcome = it.result.outcome;
            matches!(outcome, Outcome::NotAttempted { code: FailureCode::BreakerOpen, .. })
        };
        let mut billing = lock(&self.billing);
        billing.batches += 1;
        billing.billed += duration;
        if handled.iter().all(is_refused) {
            let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
            billing.open_circuit_ms.push(millis);
        }
    }

    fn message(&self, received: ReceivedMessage) -> Option<Message> {
        let number = received.number;
        let body = if self.has_interactions {
            format!(
                r#"{{"id":"e-{number}","detail-type":"v2.detail.events.conversation.{{id}}.customer.end","source":"aws.partner/genesys.com/cloud/org/bus","detail":{{"topicName":"v2.detail.events.conversation.c-{number}.customer.end","version":"2","eventBody":{{"conversationId":"c-{number}"}}}}}}"#
            )
        } else {
            format!(
                r#"{{"id":"e-{number}","detail-type":"v2.audits.entitytype.{{id}}.entityid.{{id}}","source":"aws.partner/genesys.com/cloud/org/bus","detail":{{}}}}"#
            )
        };
        let mut message = Message::new(MessageId::new(format!("m-{number}"))?, body);
        message.receipt_handle = Some(number.to_string());
        message.queue_arn = Some(QUEUE_ARN.to_owned());
        message.receive_count = received.receive_count;
        message.sent_at = Some(received.sent_at);
        Some(message)
    }
}
