//! The receives that reading a queue costs. A redrive policy moves a message to the parking queue after too many.

use std::collections::HashSet;

use genesys_replay::message::{Message, MessageId};
use genesys_replay::queue::Redrive;

/// The highest `maxReceiveCount` of a queue that is not read without force: reading it once costs a third of its receives,
/// or more.
pub const MIN_RECEIVES_WITHOUT_FORCE: u32 = 3;

/// The maximum number of message ids that are kept as examples.
const MAX_EXAMPLES: usize = 10;

/// The reason why a queue is not read without force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveRefusal {
    /// The redrive policy allows so few receives that reading the queue costs too much.
    #[error(
        "a message of this queue moves to the parking queue {parking} after {max_receives} receives, and reading the queue costs one of them"
    )]
    Tight { max_receives: u32, parking: String },
    #[error(
        "the next receive would move {messages} of the {received} messages received so far to the parking queue {parking}: their {max_receives} receives are used up"
    )]
    LastReceive { messages: u64, received: u64, max_receives: u32, parking: String },
}

impl ReceiveRefusal {
    /// Returns the remedy. `parking_option` is the option of the command that reads the parking queue instead.
    pub fn remedy(&self, parking_option: &str) -> String {
        let begin = match self {
            Self::Tight { .. } => "",
            Self::LastReceive { .. } => "all messages were made visible again; ",
        };
        format!(
            "{begin}raise maxReceiveCount temporarily, read the parking queue ({parking_option}), or continue with --force"
        )
    }
}

/// The receives that reading a queue has cost so far.
#[derive(Clone, Debug, Default)]
pub struct ReceiveCost {
    redrive: Option<Redrive>,
    force: bool,
    /// The number of received messages.
    pub received: u64,
    /// The number of receives of messages that were received before.
    pub repeated: u64,
    /// The highest receive count of a received message.
    pub highest: u32,
    /// The number of messages that the next receive moves to the parking queue.
    pub at_last_receive: u64,
    /// The ids of the first of them.
    pub examples: Vec<MessageId>,
    last: HashSet<MessageId>,
}

impl ReceiveCost {
    pub fn new(redrive: Option<Redrive>, force: bool) -> Self {
        Self { redrive, force, ..Self::default() }
    }

    /// Checks that the redrive policy allows enough receives.
    ///
    /// # Errors
    /// [`ReceiveRefusal::Tight`], without force.
    pub fn check(&self) -> Result<(), ReceiveRefusal> {
        match &self.redrive {
            Some(redrive) if redrive.max_receives <= MIN_RECEIVES_WITHOUT_FORCE && !self.force => {
                Err(ReceiveRefusal::Tight {
                    max_receives: redrive.max_receives,
                    parking: redrive.parking_name().to_owned(),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Counts the messages of a receive: new ones, and those that were received before. The last receive of a message
    /// that `leaves` the queue in this run does not matter.
    ///
    /// # Errors
    /// [`ReceiveRefusal::LastReceive`] if a message has no receive left, without force.
    pub fn add(
        &mut self,
        new: &[Message],
        repeated: &[Message],
        leaves: impl Fn(&MessageId) -> bool,
    ) -> Result<(), ReceiveRefusal> {
        self.received += new.len() as u64;
        self.repeated += repeated.len() as u64;
        let all = || new.iter().chain(repeated);
        let highest = all().map(|message| message.receive_count).max();
        self.highest = self.highest.max(highest.unwrap_or_default());
        let Some(redrive) = &self.redrive else {
            return Ok(());
        };
        let last = all().filter(|it| it.receive_count >= redrive.max_receives && !leaves(&it.id));
        for message in last {
            if self.last.insert(message.id.clone()) {
                self.at_last_receive += 1;
                if self.examples.len() < MAX_EXAMPLES {
                    self.examples.push(message.id.clone());
                }
            }
        }
        if self.at_last_receive == 0 || self.force {
            return Ok(());
        }
        Err(ReceiveRefusal::LastReceive {
            messages: self.at_last_receive,
            received: self.received,
            max_receives: redrive.max_receives,
            parking: redrive.parking_name().to_owned(),
        })
    }

    /// Returns the cost in one sentence; `None` if nothing was received or no message is moved away.
    pub fn shown(&self) -> Option<String> {
        let redrive = self.redrive.as_ref().filter(|_| self.received > 0)?;
        let (received, highest, max) = (self.received, self.highest, redrive.max_receives);
        let repeated = match self.repeated {
            0 => String::new(),
            count => format!(", {count} more of repeated messages"),
        };
        Some(format!(
            "reading the queue cost one receive of each of {received} messages{repeated}: {highest} of {max} used at most"
        ))
    }

    /// Returns the messages that the next receive moves away, in one sentence; `None` without such messages.
    pub fn last_receives(&self) -> Option<String> {
        let redrive = self.redrive.as_ref().filter(|_| self.at_last_receive > 0)?;
        let ids: Vec<&str> = self.examples.iter().map(MessageId::as_str).collect();
        let more = if self.at_last_receive > ids.len() as u64 { ", …" } else { "" };
        Some(format!(
            "messages without a receive left, which the next receive moves to {}: {} ({}{more})",
            redrive.parking_name(),
            self.at_last_receive,
            ids.join(", ")
        ))
    }
}
