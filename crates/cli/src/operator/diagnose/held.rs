//! Messages that are held while a queue is looked at, and shown to others again in the end.

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

/// How long a message stays hidden at first, and always if the program is killed soon after.
pub const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(120);

/// Messages are held on this long before the first of them would come back: what is held is asked for ten at a
/// time, and there may be 100,000.
const EXTENSION_MARGIN: Duration = Duration::from_secs(60);

/// SQS hides a message for 12 h at most, counted from its receipt.
const MAX_HOLD_TIME: Duration = Duration::from_secs(11 * 3_600);

/// When nothing of a call worked and it took this long, the queue does not answer: to go on asking would take hours.
const NO_ANSWER: Duration = Duration::from_secs(10);

/// How many receipts are read back at once.
const RECEIPTS_PER_READ: usize = 160;

/// What is needed to show a message to others again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message.
    pub message_id: MessageId,
    /// The handle of this receipt: some hundred bytes.
    pub handle: String,
}

/// Where receipts are kept, in order and outside of memory: there may be 100,000 of them.
pub trait Receipts: Send {
    /// Adds one at the end.
    ///
    /// # Errors
    /// It is not kept.
    fn put(&mut self, receipt: &Receipt) -> io::Result<()>;

    /// At most `most` of those from `place` on (0 is the first one's), and the place after them; none past the end.
    ///
    /// # Errors
    /// They cannot be read back.
    fn read(&mut self, place: u64, most: usize) -> io::Result<(Vec<Receipt>, u64)>;
}

/// What is held of one queue. In memory it keeps the beginning of each message's digest, some 40 bytes.
pub(super) struct Held<R> {
    state: Mutex<State<R>>,
}

struct State<R> {
    receipts: R,
    /// How many receipts there are.
    count: u64,
    /// The messages themselves, by the beginning of their ids' digests.
    seen: HashSet<u128>,
    begun: Instant,
    /// When the first of them comes back.
    back: Option<Instant>,
}

impl<R> State<R> {
    /// Some of what is held comes back then.
    fn comes_back(&mut self, then: Instant) {
        self.back = Some(self.back.map_or(then, |first| first.min(then)));
    }
}

/// What could not be shown again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// So many messages can be received by others again.
    pub shown: u64,
    /// So many stay away until their time has passed.
    pub hidden: u64,
    /// How long that is at most.
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

    /// For how long a message is to be hidden now: as long as the look has taken already, so that each has to be held on
    /// a few times only, and stays away no longer than that should the program be killed.
    pub(super) fn hold(&self) -> Duration {
        let seconds = self.state().begun.elapsed().as_secs();
        Duration::from_secs(seconds).clamp(VISIBILITY_TIMEOUT, MAX_HOLD_TIME)
    }

    /// Keeps the receipts of messages that were asked for at `asked` to be hidden for `hold`, and answers those that were
    /// not seen before.
    ///
    /// # Errors
    /// A receipt cannot be kept: the caller shows these messages to others at once.
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

    /// Holds on what is held, for ever: to be dropped when the look is over.
    pub(super) async fn hold_on(
        &self,
        reader: &impl QueueReader,
        progress: &dyn Progress,
    ) -> Infallible {
        let mut told = false;
        loop {
            // What comes while nothing is held is due no sooner than this.
            let due = self.state().back.map_or(EXTENSION_MARGIN, |back| {
                back.saturating_duration_since(Instant::now() + EXTENSION_MARGIN)
            });
            tokio::time::sleep(due).await;
            let is_due = |back: Instant| back <= Instant::now() + EXTENSION_MARGIN;
            if !self.state().back.is_some_and(is_due) {
                continue;
            }
            let (hold, begun) = (self.hold(), Instant::now());
            // From now on it tells of what comes meanwhile.
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

    /// Holds on what is there now, and answers how many could not be.
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

    /// Shows everything to others again; what fails is tried once more.
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
        // Some may have been held on later than the first: as long as a hold is now, at most.
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

/// Enough of the id's digest that no two of a queue's messages share it.
fn short(id: &MessageId) -> u128 {
    let digest = Sha256::digest(id.as_str().as_bytes());
    digest
        .iter()
        .take(16)
        .fold(0, |short, byte| short << 8 | u128::from(*byte))
}
