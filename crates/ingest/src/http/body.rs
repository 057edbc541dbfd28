//! Reading a body within its size limit, its time, and the buffer space that all bodies share.

use std::future::pending;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use super::buffer::{Buffer, BufferShare, NoSpace, STEP_BYTES};
use super::connections::ConnectionHandle;
use super::progress::Progress;
use crate::Refusal;

/// The maximum time for a whole body to arrive; senders stop waiting sooner.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum size of a small body; an ordinary event has a few KiB. A small body needs no buffer space, because the
/// number of connections limits the space of all small bodies to 16 MiB.
const SMALL_BODY_BYTES: usize = 32 * KIB;

/// The maximum to discard of a rejected body, in bytes and in time. Without discarding, the client would meet a
/// closed connection instead of the answer.
const DISCARDED: usize = 4 * 1024 * KIB;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// The peer of a request without a connection.
const NO_PEER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

const KIB: usize = 1024;

/// A reader of bodies, with the buffer space that they share.
pub(super) struct BodyReader {
    most: usize,
    buffer: Buffer,
}

/// A body, with the buffer space that it holds until it is dropped.
pub(super) struct BufferedBody<'b> {
    pub(super) bytes: Vec<u8>,
    _share: Option<BufferShare<'b>>,
}

impl From<NoSpace> for Refusal {
    fn from(NoSpace: NoSpace) -> Self {
        Self::Busy
    }
}

impl BodyReader {
    pub(super) fn new(most: usize) -> Self {
        Self { most, buffer: Buffer::default() }
    }

    /// Reads a body to its end. `connection` is the connection of the server, and `None` in Lambda.
    ///
    /// # Errors
    /// The body is too long or does not arrive in time, or there is no buffer space or connection for it.
    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        connection: Option<&ConnectionHandle>,
        mut body: Body,
    ) -> Result<BufferedBody<'_>, Refusal> {
        let read = async {
            match timeout(BODY_TIMEOUT, self.read_whole(connection, &mut body)).await {
                Ok(read) => read,
                Err(_elapsed) => Err(Refusal::BodyIncomplete),
            }
        };
        let read = tokio::select! {
            read = read => read,
            () = evicted(connection) => return Err(Refusal::Busy),
        };
        match &read {
            // The rest of the body is empty, or does not arrive in time.
            Ok(_) | Err(Refusal::BodyIncomplete) => {}
            Err(_) => discard(headers, body),
        }
        read
    }

    async fn read_whole(
        &self,
        connection: Option<&ConnectionHandle>,
        body: &mut Body,
    ) -> Result<BufferedBody<'_>, Refusal> {
        let most = self.most;
        let hint = body.size_hint();
        if hint.lower() > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(Refusal::BodyTooLarge { most });
        }
        // A body without a stated length may be as long as the limit.
        let expected = hint.exact().and_then(|length| usize::try_from(length).ok());
        let expected = expected.unwrap_or(most);
        let mut progress = Progress::new(Instant::now());
        let mut bytes = Vec::new();
        let mut share: Option<BufferShare<'_>> = None;
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = dropped(share.as_ref()) => return Err(Refusal::Busy),
            };
            let Some(frame) = frame else {
                break;
            };
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
            if length > SMALL_BODY_BYTES {
                let _pause = connection.map(Pause::begin);
                let share = if let Some(share) = &share {
                    share
                } else {
                    let peer = connection.map_or(NO_PEER, ConnectionHandle::peer);
                    share.insert(self.buffer.begin(peer, expected, progress).await?)
                };
                share.receive(chunk.len(), length).await?;
            } else {
                progress.receive(chunk.len(), Instant::now());
            }
            grow(&mut bytes, length, expected);
            bytes.extend_from_slice(chunk);
        }
        if let Some(share) = &share {
            share.become_whole()?;
        }
        if connection.is_some_and(|connection| !connection.protect()) {
            return Err(Refusal::Busy);
        }
        Ok(BufferedBody { bytes, _share: share })
    }
}

/// Reserves memory for this length, in steps: by the bytes that arrived, and not by the declared length.
fn grow(bytes: &mut Vec<u8>, length: usize, expected: usize) {
    if length > bytes.capacity() {
        let step = if length > SMALL_BODY_BYTES { STEP_BYTES } else { 4 * KIB };
        let capacity = (length.div_ceil(step) * step).min(expected.max(length));
        bytes.reserve_exact(capacity - bytes.len());
    }
}

async fn dropped(share: Option<&BufferShare<'_>>) {
    match share {
        Some(share) => share.dropped().await,
        None => pending().await,
    }
}

async fn evicted(connection: Option<&ConnectionHandle>) {
    match connection {
        Some(connection) => connection.evicted().await,
        None => pending().await,
    }
}

/// A time in which the server does not read a body. The connection does not count as stalled then.
struct Pause<'c>(&'c ConnectionHandle);

impl<'c> Pause<'c> {
    fn begin(connection: &'c ConnectionHandle) -> Self {
        connection.pause();
        Self(connection)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.read_again();
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
