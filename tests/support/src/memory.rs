//! The function over the fakes, for tests about time in paused tokio time.

use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::{FaultHookFuture, Faults, InMemory, MemoryGenesys};
use genesys_replay::clock::{Clock, SystemRandom};
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::ledger::{EventKey, Status};
use genesys_replay::message::{Message, MessageId};
use genesys_replay::replay::{Invocation, RecordReport, RecordResult, Replay, RetryState};
use genesys_replay::target::DeliveryError;
use tokio::time::sleep;
use url::Url;

use super::{VirtualClock, conversation_event};

/// Latencies by method of a port, before the effect of the call.
pub struct Latency(pub Vec<(&'static str, Duration)>);

impl<E: Send + 'static> Faults<E> for Latency {
    fn before(&self, call: &'static str) -> FaultHookFuture<'_, E> {
        let latencies = self.0.iter();
        let total = latencies.filter(|(name, _)| *name == call).map(|(_, latency)| *latency).sum();
        Box::pin(async move {
            sleep(total).await;
            Ok(())
        })
    }
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Returns the error of a target that responds with 503.
pub fn target_unavailable() -> DeliveryError {
    DeliveryError {
        code: FailureCode::TargetUnavailable,
        disposition: Disposition::Transient { after: None },
        certainty: Certainty::Refused,
        timed_out: false,
        locally_throttled: false,
        reason: "503".to_owned(),
        source: None,
    }
}

/// A function in memory, in paused time.
pub struct InMemoryFunction(pub Replay<InMemory>);

impl InMemoryFunction {
    pub fn new() -> Result<Self, url::ParseError> {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::start());
        let url = Url::parse("https://crm.example/events")?;
        let target = ReplayTarget::Fixed(Destination::Http(url));
        let mut function = InMemory::function(clock, Arc::new(SystemRandom), target);
        let genesys = MemoryGenesys::default();
        genesys.put_participants("c-1", &[("p-1", "customer")]);
        function.retry_state = RetryState::Required(genesys);
        Ok(Self(function))
    }

    pub fn ledger(mut self, latencies: &[(&'static str, Duration)]) -> Self {
        let latency = Latency(latencies.to_vec());
        self.0.ledger = self.0.ledger.with_faults(Arc::new(latency));
        self
    }

    pub fn genesys(mut self, latencies: &[(&'static str, Duration)]) -> Self {
        if let Some(genesys) = self.0.retry_state.genesys() {
            let latency = Latency(latencies.to_vec());
            self.0.retry_state = RetryState::Required(genesys.with_faults(Arc::new(latency)));
        }
        self
    }

    /// Sets the latency of the target.
    pub fn target(self, latency: Duration) -> Self {
        self.target_with(Arc::new(Latency(vec![("deliver", latency)])))
    }

    /// Sets the latency of the preparation before each delivery.
    pub fn target_preparation(mut self, latency: Duration) -> Self {
        self.0.target = self.0.target.with_preparation();
        self.target_with(Arc::new(Latency(vec![("prepare", latency)])))
    }

    pub fn target_with(mut self, faults: Arc<dyn Faults<DeliveryError>>) -> Self {
        self.0.target = self.0.target.with_faults(faults);
        self
    }

    /// Handles one event within `time`.
    pub async fn handle(&self, time: Duration) -> Result<RecordResult, &'static str> {
        let handled = self.batch(1, time).await?.pop();
        Ok(handled.ok_or("no outcome")?.result)
    }

    /// Handles a batch of events within `time`.
    pub async fn batch(
        &self,
        events: usize,
        time: Duration,
    ) -> Result<Vec<RecordReport>, &'static str> {
        let messages = (0..events).map(message);
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        Ok(self.messages(&messages, time).await)
    }

    /// Handles messages within `time`.
    pub async fn messages(&self, messages: &[Message], time: Duration) -> Vec<RecordReport> {
        let now = self.0.clock.now();
        let invocation = Invocation {
            request_id: format!("request-{now}"),
            function_arn: String::new(),
            deadline: now.plus(time),
        };
        self.0.batch(messages, &invocation).await
    }

    /// Returns the key of the event of [`message`].
    pub fn key(&self, number: usize) -> Option<EventKey> {
        let event_id = EventId::new(format!("e-{number}"));
        let destination = self.0.destination.destination(None, &[]);
        Some(EventKey::new(event_id.as_ref(), &MessageId::new("m")?, &destination))
    }

    /// Returns the ledger's status of an event, and true if its checkpoint is written.
    pub fn item(&self, number: usize) -> Option<(Status, bool)> {
        let key = self.key(number)?;
        let item = self.0.ledger.item(&key)?;
        Some((item.status, item.delivered.is_some()))
    }
}

/// Returns message `m-<number>` with a dead letter of event `e-<number>` and an interaction.
pub fn message(number: usize) -> Result<Message, &'static str> {
    let id = MessageId::new(format!("m-{number}")).ok_or("id")?;
    let event = conversation_event(&format!("e-{number}"), "c-1");
    Ok(Message::new(id, event))
}
