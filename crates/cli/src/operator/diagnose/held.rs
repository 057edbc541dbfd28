//! Holds messages during a diagnosis, and makes them visible again at the end.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_replay::message::{Message, MessageId};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::operator::Progress;
use crate::queue::QueueReader;

/// The first visibility timeout of a message, which also applies if the program is killed soon after.
pub const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(120);

/// The time before the first hold ends at which all holds are extended. An extension takes ten messages per call, and
/// there may be 100,000.
const EXTENSION_MARGIN: Duration = Duration::from_secs(60);

/// The maximum hold. SQS hides a message for at most 12 h from its receipt.
const MAX_HOLD_TIME: Duration = Duration::from_secs(11 * 3_600);

/// The duration of a fully failed call after which the queue counts as unavailable, because further calls would take
/// hours.
const NO_ANSWER: Duration = Duration::from_secs(10);

/// The number of receipts that are read back at once.
const RECEIPTS_PER_READ: usize = 160;

/// The data that makes a message visible again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message's id.
    pub message_id: MessageId,
    /// The receipt handle: some hundred bytes.
    pub handle: String,
}

/// The store of receipts, in order and outside of memory, because there may be 100,000 receipts.
pub trait Receipts: Send {
    /// Adds a receipt at the end.
    ///
    /// # Errors
    /// [`io::Error`] if the receipt is not kept.
    fn put(&mut self, receipt: &Receipt) -> io::Result<()>;

    /// Returns at most `most` receipts from `place` on (0 is the first), and the place after them. Returns no receipts
    /// past the end.
    ///
    /// # Errors
    /// [`io::Error`] if the receipts cannot be read back.
    fn read(&mut self, place: u64, most: usize) -> io::Result<(Vec<Receipt>, u64)>;
}

/// The held messages of one queue. Memory holds the first part of each message id's digest, some 40 bytes.
pub(super) struct Held<R> {
    state: Mutex<State<R>>,
}

struct State<R> {
    receipts: R,
    /// The number of receipts.
    count: u64,
    /// The first part of the digest of each message id.
    seen: HashSet<u128>,
    begun: Instant,
    /// The time at which the first hold ends.
    back: Option<Instant>,
}

impl<R> State<R> {
    /// Records that some holds end at `then`.
    fn comes_back(&mut self, then: Instant) {
        self.back = Some(self.back.map_or(then, |first| first.min(then)));
    }
}

/// The result of making the messages visible again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// The number of messages that are visible again.
    pub shown: u64,
    /// The number of messages that stay invisible until their visibility timeout ends.
    pub hidden: u64,
    /// The maximum remaining visibility timeout of the messages that stay invisible.
    pub hidden_for: Duration,
}

impl<R: Receipts> Held<R> {
    pub(super) fn new(receipts: R) -> Self {
        Self {
            state: Mutex::new(State {
                receipts,
                count: 0,
                seen: HashSet::new(),
                begun: Instant::now(),
                back: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the visibility timeout of messages that are received or extended now: the run time so far, within
    /// limits. Each message then needs few extensions. If the program is killed, messages stay invisible no longer than
    /// the program ran.
    pub(super) fn hold(&self) -> Duration {
        let seconds = self.state().begun.elapsed().as_secs();
        Duration::from_secs(seconds).clamp(VISIBILITY_TIMEOUT, MAX_HOLD_TIME)
    }

    /// Keeps the receipts of messages that were requested at `asked` with the visibility timeout `hold`. Returns, for
    /// each message, true if the message is new.
    ///
    /// # Errors
    /// [`io::Error`] if a receipt cannot be kept; the caller makes these messages visible again at once.
    pub(super) fn keep(
        &self,
        messages: &[Message],
        asked: Instant,
        hold: Duration,
    ) -> io::Result<Vec<bool>> {
        let mut state = self.state();
        let mut fresh = Vec::with_capacity(messages.len());
        for message in messages {
            state.receipts.put(&Receipt {
                message_id: message.id.clone(),
                handle: message.receipt_handle.clone().unwrap_or_default(),
            })?;
            state.count += 1;
            state.comes_back(asked + hold);
            fresh.push(state.seen.insert(short(&message.id)));
        }
        Ok(fresh)
    }

    /// Extends the holds without end. The caller drops the future when the diagnosis is over.
    pub(super) async fn hold_on(
        &self,
        reader: &impl QueueReader,
        progress: &dyn Progress,
    ) -> Infallible {
        let mut told = false;
        loop {
            // Messages that are received while nothing is held are not due sooner.
            let due = self.state().back.map_or(EXTENSION_MARGIN, |back| {
                back.saturating_duration_since(Instant::now() + EXTENSION_MARGIN)
            });
            tokio::time::sleep(due).await;
            let is_due = |back: Instant| back <= Instant::now() + EXTENSION_MARGIN;
            if !self.state().back.is_some_and(is_due) {
                continue;
            }
            let (hold, begun) = (self.hold(), Instant::now());
            // From now on, `back` covers only messages that are received during the extension.
            self.state().back = None;
            let failures = self.hold_all(reader, hold).await;
            self.state().comes_back(begun + hold);
            if failures > 0 && !told {
                told = true;
                progress.warn(&format!(
                    "messages that could not be held on: {failures}; others may receive them before this is over"
                ));
            }
        }
    }

    /// Extends all current holds, and returns the number of failures.
    async fn hold_all(&self, reader: &impl QueueReader, hold: Duration) -> u64 {
        let all = self.state().count;
        let (mut place, mut done, mut failures) = (0, 0, 0);
        while done < all {
            let Ok((messages, next)) = self.chunk(place) else {
                return failures + (all - done);
            };
            if messages.is_empty() {
                break;
            }
            failures += reader.hold(&messages, hold).await.len() as u64;
            done += messages.len() as u64;
            place = next;
        }
        failures
    }

    /// Makes all messages visible again, with one retry of failed messages.
    pub(super) async fn release(
        &self,
        reader: &impl QueueReader,
        progress: &dyn Progress,
    ) -> Released {
        let (all, back) = {
            let state = self.state();
            (state.count, state.back)
        };
        let mut released = Released::default();
        if all == 0 {
            return released;
        }
        progress.begin("showing the messages to others again", Some(all));
        let mut place = 0;
        while let Ok((messages, next)) = self.chunk(place) {
            if messages.is_empty() {
                break;
            }
            let begun = Instant::now();
            let failures = reader.release(&messages).await;
            let again: Vec<Message> = messages
                .iter()
                .filter(|message| failures.iter().any(|it| it.message_id == message.id))
                .cloned()
                .collect();
            let hidden = if again.is_empty() {
                0
            } else {
                reader.release(&again).await.len() as u64
            };
            released.shown += messages.len() as u64 - hidden;
            place = next;
            progress.advance(messages.len() as u64);
            if hidden == messages.len() as u64 && begun.elapsed() > NO_ANSWER {
                break;
            }
        }
        progress.end();
        released.hidden = all - released.shown;
        // Report the current hold as the maximum, because some holds were extended later than the first.
        released.hidden_for = match (released.hidden, back) {
            (1.., Some(_)) => self.hold(),
            (_, _) => Duration::ZERO,
        };
        released
    }

    fn chunk(&self, place: u64) -> io::Result<(Vec<Message>, u64)> {
        let (receipts, next) = self.state().receipts.read(place, RECEIPTS_PER_READ)?;
        let messages = receipts.into_iter().map(|receipt| {
            let mut message = Message::new(receipt.message_id, String::new());
            message.receipt_handle = Some(receipt.handle);
            message
        });
        Ok((messages.collect(), next))
    }
}

/// Returns enough of the id's digest that no two messages of a queue share it.
fn short(id: &MessageId) -> u128 {
    let digest = Sha256::digest(id.as_str().as_bytes());
    digest
        .iter()
        .take(16)
        .fold(0, |short, byte| short << 8 | u128::from(*byte))
}
