//! The buffer space that all large bodies share.
//!
//! A body takes space as its bytes arrive, never by its declared length, because anyone can declare a length. If space
//! runs out, the slowest body of the peer that holds the most is dropped. A body whose bytes all arrived is never
//! dropped, so every wait for space ends: either there is a body to drop, or all others are whole and soon answered.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::progress::{Pace, Progress, STALL_TIME};

/// The buffer space. Each body is held about five times while it is sent to the queue.
const BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// The space that a body takes at once.
pub(super) const STEP_BYTES: usize = 64 * 1024;

/// The maximum wait for space, so that the sender receives an answer well within five seconds.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// The time after which a waiting body checks the pace of the others again.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The buffer.
#[derive(Default)]
pub(super) struct Buffer {
    space: Mutex<Space>,
    changed: Notify,
}

/// There is no space, or the body was dropped because it was the slowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoSpace;

#[derive(Default)]
struct Space {
    next_id: u64,
    bodies: BTreeMap<u64, HeldBody>,
    /// The peers of the bodies that wait for their first space.
    waiting: BTreeMap<u64, IpAddr>,
}

/// A body that has begun to take space.
struct HeldBody {
    peer: IpAddr,
    taken_bytes: usize,
    /// The declared length, or the maximum, in whole steps.
    expected_bytes: usize,
    progress: Progress,
    /// True while the body waits for space, so that its sender does not count as stalled.
    is_waiting: bool,
    is_whole: bool,
    dropped: CancellationToken,
}

/// The space of one body. Dropping it releases the space.
pub(super) struct BufferShare<'b> {
    buffer: &'b Buffer,
    id: u64,
    dropped: CancellationToken,
}

impl HeldBody {
    /// Returns the space that the body will have in one second at its pace. A fast body is expected to become whole,
    /// so that a burst of fast bodies waits in order; a slow or stalled body counts with its bytes.
    fn soon_bytes(&self, now: Instant) -> usize {
        if self.is_whole {
            return self.taken_bytes;
        }
        let more = usize::try_from(self.progress.pace(now).bytes_per_second());
        let more = more.unwrap_or(usize::MAX);
        self.taken_bytes.saturating_add(more).min(self.expected_bytes.max(self.taken_bytes))
    }

    fn is_stalled(&self, now: Instant) -> bool {
        match self.progress.pace(now) {
            Pace::Stalled { .. } => !self.is_whole && !self.is_waiting,
            Pace::Moving { .. } => false,
        }
    }

    /// Returns true if the body does not become whole within a second at its pace.
    fn is_slow(&self, now: Instant) -> bool {
        !self.is_whole && !self.is_waiting && self.soon_bytes(now) < self.expected_bytes
    }
}

impl Space {
    fn taken_bytes(&self) -> usize {
        self.bodies.values().map(|body| body.taken_bytes).sum()
    }

    /// Returns the space that each peer has taken with these bodies.
    fn by_peer(&self, counts: impl Fn(&HeldBody) -> bool) -> HashMap<IpAddr, usize> {
        let mut by_peer = HashMap::new();
        for body in self.bodies.values().filter(|body| counts(body)) {
            *by_peer.entry(body.peer).or_default() += body.taken_bytes;
        }
        by_peer
    }

    /// Returns true if this body is the next to begin: its peer has the least space, and it waits longest.
    fn is_first(&self, id: u64) -> bool {
        let by_peer = self.by_peer(|_| true);
        let taken = |peer: &IpAddr| by_peer.get(peer).copied().unwrap_or_default();
        let first = self.waiting.iter().min_by_key(|(id, peer)| (taken(peer), **id));
        first.is_some_and(|(first, _)| *first == id)
    }

    /// Makes room for a body that has waited for this time. Returns true if there is room.
    fn make_room(&mut self, bytes: usize, waited: Duration, now: Instant) -> bool {
        // A burst of fast bodies passes within this time. Then slow ones count with their bytes.
        let is_patient = waited >= STALL_TIME;
        let yields = |body: &HeldBody| body.is_stalled(now) || (is_patient && body.is_slow(now));
        loop {
            let needed = |body: &HeldBody| {
                if yields(body) { body.taken_bytes } else { body.soon_bytes(now) }
            };
            let needed: usize = self.bodies.values().map(needed).sum();
            if needed.saturating_add(bytes) <= BUFFER_BYTES {
                return true;
            }
            // Otherwise the bodies that arrive now will soon make room.
            let is_full = self.taken_bytes() + bytes > BUFFER_BYTES;
            if !is_full || !self.drop_slowest(now, yields) {
                return false;
            }
        }
    }

    /// Returns true if another body than this one is not whole.
    fn has_others(&self, id: u64) -> bool {
        self.bodies.iter().any(|(other, body)| *other != id && !body.is_whole)
    }

    /// Drops the slowest of these bodies of the peer that holds the most, without its whole bodies. Returns false if
    /// this peer has no such body.
    fn drop_slowest(&mut self, now: Instant, is_droppable: impl Fn(&HeldBody) -> bool) -> bool {
        let by_peer = self.by_peer(|body| !body.is_whole);
        let most = by_peer.values().max().copied().unwrap_or_default();
        let of_peer = self.bodies.iter().filter(|(_, it)| by_peer.get(&it.peer) == Some(&most));
        let droppable = of_peer.filter(|(_, body)| !body.is_whole && is_droppable(body));
        let slowest = droppable.min_by_key(|(_, body)| body.progress.pace(now));
        let slowest = slowest.map(|(id, _)| *id);
        let dropped = slowest.and_then(|id| self.bodies.remove(&id));
        dropped.inspect(|body| body.dropped.cancel()).is_some()
    }
}

impl Buffer {
    fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a body of this expected length may take space, and takes the first step.
    ///
    /// # Errors
    /// [`NoSpace`]: other bodies took the space for the whole [`MAX_WAIT`].
    pub(super) async fn begin(
        &self,
        peer: IpAddr,
        expected_bytes: usize,
        mut progress: Progress,
    ) -> Result<BufferShare<'_>, NoSpace> {
        let began = Instant::now();
        let expected_bytes = expected_bytes.div_ceil(STEP_BYTES).max(1) * STEP_BYTES;
        let place = Place::take(self, peer);
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            let waited = now - began;
            {
                let mut space = self.space();
                if space.is_first(place.id) && space.make_room(expected_bytes, waited, now) {
                    progress.leave_out(waited);
                    let dropped = CancellationToken::new();
                    let body = HeldBody {
                        peer,
                        taken_bytes: STEP_BYTES,
                        expected_bytes,
                        progress,
                        is_waiting: false,
                        is_whole: false,
                        dropped: dropped.clone(),
                    };
                    space.bodies.insert(place.id, body);
                    return Ok(BufferShare { buffer: self, id: place.id, dropped });
                }
            }
            if waited >= MAX_WAIT {
                return Err(NoSpace);
            }
            // The pace of others changes without a notification.
            let _ = timeout(CHECK_INTERVAL, changed).await;
        }
    }
}

/// A place among the waiting bodies.
struct Place<'b> {
    buffer: &'b Buffer,
    id: u64,
}

impl<'b> Place<'b> {
    fn take(buffer: &'b Buffer, peer: IpAddr) -> Self {
        let mut space = buffer.space();
        let id = space.next_id;
        space.next_id += 1;
        space.waiting.insert(id, peer);
        Self { buffer, id }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.buffer.space().waiting.remove(&self.id);
        self.buffer.changed.notify_waiters();
    }
}

impl BufferShare<'_> {
    /// Counts received bytes, and takes the space for them. `length` is the new length of the body.
    ///
    /// # Errors
    /// [`NoSpace`]: the body was dropped, because it was the slowest.
    pub(super) async fn receive(&self, bytes: usize, length: usize) -> Result<(), NoSpace> {
        let began = Instant::now();
        self.buffer.space().bodies.get_mut(&self.id).ok_or(NoSpace)?.progress.receive(bytes, began);
        loop {
            let changed = self.buffer.changed.notified();
            let now = Instant::now();
            {
                let mut space = self.buffer.space();
                let mut taken = space.taken_bytes();
                let body = space.bodies.get(&self.id).ok_or(NoSpace)?;
                let missing = length.saturating_sub(body.taken_bytes).div_ceil(STEP_BYTES);
                let more = missing * STEP_BYTES;
                while taken + more > BUFFER_BYTES
                    && space.has_others(self.id)
                    && space.drop_slowest(now, |_| true)
                {
                    taken = space.taken_bytes();
                }
                let body = space.bodies.get_mut(&self.id).ok_or(NoSpace)?;
                if taken + more <= BUFFER_BYTES {
                    body.taken_bytes += more;
                    body.progress.leave_out(now - began);
                    body.is_waiting = false;
                    return Ok(());
                }
                body.is_waiting = true;
            }
            // All others are whole and soon answered.
            if now - began >= MAX_WAIT {
                return Err(NoSpace);
            }
            let _ = timeout(CHECK_INTERVAL, changed).await;
        }
    }

    /// Protects the body, because all its bytes arrived.
    ///
    /// # Errors
    /// [`NoSpace`]: the body was dropped before.
    pub(super) fn become_whole(&self) -> Result<(), NoSpace> {
        self.buffer.space().bodies.get_mut(&self.id).ok_or(NoSpace)?.is_whole = true;
        Ok(())
    }

    /// Waits until the body is dropped.
    pub(super) async fn dropped(&self) {
        self.dropped.cancelled().await;
    }
}

impl Drop for BufferShare<'_> {
    fn drop(&mut self) {
        self.buffer.space().bodies.remove(&self.id);
        self.buffer.changed.notify_waiters();
    }
}
