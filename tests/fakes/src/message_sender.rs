//! The queue to which ingest sends, in memory.

use std::sync::{Arc, Mutex};

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::message::MessageId;
use genesys_replay::queue::{MAX_MESSAGE_BYTES, MessageSender, NewMessage, PutError, takes};

use crate::faults::pass;
use crate::{Faults, NoFaults, lock};

/// A queue whose clones share their messages.
#[derive(Clone)]
pub struct MemorySender {
    messages: Arc<Mutex<Vec<(MessageId, NewMessage)>>>,
    fifo: bool,
    faults: Arc<dyn Faults<PutError>>,
}

impl Default for MemorySender {
    fn default() -> Self {
        Self { messages: Arc::default(), fifo: false, faults: Arc::new(NoFaults) }
    }
}

impl MemorySender {
    /// Returns a FIFO queue.
    #[must_use]
    pub fn fifo() -> Self {
        Self { fifo: true, ..Self::default() }
    }

    /// Returns the same queue with these faults.
    #[must_use]
    pub fn with_faults(&self, faults: Arc<dyn Faults<PutError>>) -> Self {
        Self { faults, ..self.clone() }
    }

    /// Returns the messages on the queue in order.
    #[must_use]
    pub fn messages(&self) -> Vec<(MessageId, NewMessage)> {
        lock(&self.messages).clone()
    }

    fn keep(&self, message: &NewMessage) -> Result<MessageId, PutError> {
        let bytes = message.size();
        if bytes > MAX_MESSAGE_BYTES {
            return Err(PutError::TooLong { bytes, limit: Some(MAX_MESSAGE_BYTES) });
        }
        let unavailable = |reason: &str| PutError::Unavailable { reason: reason.to_owned() };
        if message.body.is_empty() || !takes(&message.body) {
            return Err(unavailable("no such body"));
        }
        let mut messages = lock(&self.messages);
        let known =
            messages.iter().find(|(_, it)| self.fifo && it.deduplication == message.deduplication);
        if let Some((id, _)) = known {
            return Ok(id.clone());
        }
        let id = MessageId::new(format!("queued-{}", messages.len() + 1));
        let id = id.ok_or_else(|| unavailable("no id"))?;
        messages.push((id.clone(), message.clone()));
        Ok(id)
    }
}

impl MessageSender for MemorySender {
    async fn send(&self, message: &NewMessage) -> Result<MessageId, PutError> {
        pass(&*self.faults, "put", || self.keep(message)).await
    }

    async fn send_all(
        &self,
        messages: &[NewMessage],
    ) -> Result<Vec<Result<MessageId, PutError>>, AwsError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let keep = || Ok(messages.iter().map(|message| self.keep(message)).collect());
        let all = pass(&*self.faults, "send_all", keep).await;
        all.map_err(|error: PutError| AwsError {
            operation: "putting messages on the queue".to_owned(),
            kind: AwsErrorKind::Unreachable,
            detail: Some(error.to_string()),
        })
    }
}
