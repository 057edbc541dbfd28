//! Reading a body: within its limit, within its time, and within the memory that all share.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::Refusal;

/// A body that has not come whole by then will not: senders give up sooner.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a body waits for room, so that its sender hears of it well inside five seconds.
const BUDGET_TIMEOUT: Duration = Duration::from_secs(2);

/// Up to here a body is small: an ordinary event has a few KiB. So much of each is read without asking for room, as
/// there are only so many connections: who sends less than that keeps nobody out.
const SMALL_BODY_BYTES: usize = 32 * KIB;

/// Room for all small bodies that are being queued, in KiB.
const SMALL_BODY_BUDGET_KIB: usize = 16 * 1024;

/// Room for all large bodies at once, in KiB. Each is held about five times while it is sent to the queue.
const LARGE_BODY_BUDGET_KIB: usize = 8 * 1024;

/// Of a body that is not read to its end, so much is thrown away, and for so long, for its sender to come to
/// reading the answer instead of meeting a closed connection.
const DISCARDED: usize = 4 * 1024 * KIB;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

const KIB: usize = 1024;

/// Reads bodies.
pub(super) struct BodyReader {
    most: usize,
    small: Semaphore,
    large: Semaphore,
}

/// A body, and the room that it takes until it is dropped.
pub(super) struct BufferedBody<'b> {
    pub(super) bytes: Vec<u8>,
    _room: SemaphorePermit<'b>,
}

impl BodyReader {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            small: Semaphore::new(SMALL_BODY_BUDGET_KIB),
            large: Semaphore::new(LARGE_BODY_BUDGET_KIB),
        }
    }

    /// Reads a body to its end.
    ///
    /// # Errors
    /// It is too long, does not come, or there is no room for it.
    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<BufferedBody<'_>, Refusal> {
        let read = self.read_whole(&mut body).await;
        match &read {
            // Nothing comes of it, or not in time.
            Ok(_) | Err(Refusal::BodyIncomplete) => {}
            Err(_) => discard(headers, body),
        }
        read
    }

    async fn read_whole(&self, body: &mut Body) -> Result<BufferedBody<'_>, Refusal> {
        let most = self.most;
        let hint = body.size_hint();
        if hint.lower() > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(Refusal::BodyTooLarge { most });
        }
        // One that does not say how long it is may be as long as any.
        let expected = hint.exact().and_then(|length| usize::try_from(length).ok());
        let expected = expected.unwrap_or(most);
        let mut bytes = Vec::with_capacity(expected.min(SMALL_BODY_BYTES));
        let mut room = None;
        let read = async {
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    return Err(Refusal::BodyIncomplete);
                };
                let Some(chunk) = frame.data_ref() else {
                    continue;
                };
                let length = bytes.len() + chunk.len();
                if length > most {
                    return Err(Refusal::BodyTooLarge { most });
                }
                if length > SMALL_BODY_BYTES && room.is_none() {
                    room = Some(acquire(&self.large, expected).await?);
                    bytes.reserve_exact(expected.saturating_sub(bytes.len()));
                }
                bytes.extend_from_slice(chunk);
            }
            Ok(())
        };
        match timeout(BODY_TIMEOUT, read).await {
            Ok(read) => read?,
            Err(_elapsed) => return Err(Refusal::BodyIncomplete),
        }
        let room = match room {
            Some(room) => room,
            None => acquire(&self.small, bytes.len()).await?,
        };
        Ok(BufferedBody { bytes, _room: room })
    }
}

/// Waits for room for so many bytes.
async fn acquire(room: &Semaphore, bytes: usize) -> Result<SemaphorePermit<'_>, Refusal> {
    let permits = u32::try_from(bytes.div_ceil(KIB).max(1)).map_err(|_| Refusal::Busy)?;
    match timeout(BUDGET_TIMEOUT, room.acquire_many(permits)).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
    }
}

/// Throws away what still comes of a body, beside the answer that goes out meanwhile.
pub(super) fn discard(headers: &HeaderMap, mut body: Body) {
    // Who asks before sending reads the answer first.
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    let discard = async move {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, axum::body::Bytes::len);
            if discarded > DISCARDED {
                return;
            }
        }
    };
    // Either way the connection is closed next.
    tokio::spawn(timeout(DISCARD_TIMEOUT, discard));
}
