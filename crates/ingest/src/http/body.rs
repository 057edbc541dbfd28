//! Reading a body within its size limit, its time, and the buffer space that all bodies share.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::Refusal;

/// The maximum time for a whole body to arrive; senders stop waiting sooner.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum wait for buffer space, so that the sender receives an answer well within five seconds.
const BUDGET_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum size of a small body; an ordinary event has a few KiB. This much of each body is read without buffer
/// space. The number of connections is limited, so small bodies do not block other senders.
const SMALL_BODY_BYTES: usize = 32 * KIB;

/// The buffer space for all small bodies that are being queued, in KiB.
const SMALL_BODY_BUDGET_KIB: usize = 16 * 1024;

/// The buffer space for all large bodies, in KiB. Each body is held about five times while it is sent to the queue.
const LARGE_BODY_BUDGET_KIB: usize = 8 * 1024;

/// The maximum to discard of a rejected body, in bytes and in time. Without discarding, the client would meet a
/// closed connection instead of the answer.
const DISCARDED: usize = 4 * 1024 * KIB;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

const KIB: usize = 1024;

/// A reader of bodies, with the buffer space that they share.
pub(super) struct BodyReader {
    most: usize,
    small: Semaphore,
    large: Semaphore,
}

/// A body, with the buffer space that it holds until it is dropped.
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
    /// The body is too long or does not arrive in time, or there is no buffer space for it.
    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<BufferedBody<'_>, Refusal> {
        let read = self.read_whole(&mut body).await;
        match &read {
            // The rest of the body is empty, or does not arrive in time.
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
        // A body without a stated length may be as long as the limit.
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

/// Waits for buffer space for this many bytes.
async fn acquire(room: &Semaphore, bytes: usize) -> Result<SemaphorePermit<'_>, Refusal> {
    let permits = u32::try_from(bytes.div_ceil(KIB).max(1)).map_err(|_| Refusal::Busy)?;
    match timeout(BUDGET_TIMEOUT, room.acquire_many(permits)).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
    }
}

/// Discards the rest of a body while the answer is sent.
pub(super) fn discard(headers: &HeaderMap, mut body: Body) {
    // A client that sends `Expect` reads the answer before it sends its body.
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
    // The result is ignored, because the connection is closed next.
    tokio::spawn(timeout(DISCARD_TIMEOUT, discard));
}
