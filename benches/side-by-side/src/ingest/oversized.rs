//! Oversized bodies: checks the refusal and the bytes that were read before it.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Bench;
use super::request::Caller;
use crate::connection::{self, Answer};

/// The number of bodies of each kind, sent sequentially.
pub(crate) const TRIES: usize = 10;

/// The size of a body with a content length.
pub(crate) const ANNOUNCED: usize = 2 << 20;
/// The size limit of an endless body.
const ENDLESS: usize = 8 << 20;

const PIECE: usize = 16 << 10;
/// The delay after the head and after each chunk, in which the server reads all sent bytes.
const HEAD_PAUSE: Duration = Duration::from_millis(100);
const PIECE_PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// The results of one kind of body.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// The number of responses with 413.
    pub(crate) answered_413: usize,
    /// The maximum number of sent bytes before the response. The server read at most these.
    pub(crate) most_sent: usize,
    /// An example of another response.
    pub(crate) wrong: Option<String>,
}

/// The results.
#[derive(Debug)]
pub(crate) struct Oversized {
    pub(crate) announced: Refused,
    pub(crate) endless: Refused,
}

/// The framing of a body.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Announced,
    Endless,
}

impl Kind {
    fn length(self) -> usize {
        match self {
            Self::Announced => ANNOUNCED,
            Self::Endless => ENDLESS,
        }
    }

    /// Returns a chunk of the body on the wire.
    fn piece(self) -> Vec<u8> {
        match self {
            Self::Announced => vec![b' '; PIECE],
            Self::Endless => {
                let mut chunk = format!("{PIECE:x}\r\n").into_bytes();
                chunk.resize(chunk.len() + PIECE, b' ');
                chunk.extend_from_slice(b"\r\n");
                chunk
            }
        }
    }
}

/// Sends bodies of both kinds.
///
/// # Errors
/// The server does not start or end, or it queued one of the bodies.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Oversized> {
    let server = bench.start("oversized").await?;
    let mut caller = Caller::new()?;
    let announced = refused(&server.address, &mut caller, Kind::Announced).await?;
    let endless = refused(&server.address, &mut caller, Kind::Endless).await?;
    ensure!(bench.queue.take().is_empty(), "a body that is too long was put into the queue");
    server.stop().await?;
    Ok(Oversized { announced, endless })
}

async fn refused(address: &str, caller: &mut Caller, kind: Kind) -> anyhow::Result<Refused> {
    let mut all = Refused::default();
    for _ in 0..TRIES {
        let length = match kind {
            Kind::Announced => Some(ANNOUNCED),
            Kind::Endless => None,
        };
        let head = caller.head(length)?;
        let (answer, sent) = send(address, head.as_bytes(), kind).await;
        all.most_sent = all.most_sent.max(sent);
        match answer.and_then(|answer| check(&answer)) {
            Ok(()) => all.answered_413 += 1,
            Err(error) => all.wrong = Some(format!("{error:#}")),
        }
    }
    Ok(all)
}

fn check(answer: &Answer) -> anyhow::Result<()> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    ensure!(
        answer.status == 413 && body["code"] == "INGEST_BODY_TOO_LARGE",
        "{} {body}",
        answer.status
    );
    Ok(())
}

/// Returns the response and the number of bytes that were sent before it.
async fn send(address: &str, head: &[u8], kind: Kind) -> (anyhow::Result<Answer>, usize) {
    let mut sent = 0;
    let answer = sending(address, head, kind, &mut sent).await;
    (answer, sent)
}

async fn sending(
    address: &str,
    head: &[u8],
    kind: Kind,
    sent: &mut usize,
) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.split();
    let reading = connection::read(&mut reader);
    tokio::pin!(reading);
    writer.write_all(head).await?;
    let piece = kind.piece();
    let mut pause = HEAD_PAUSE;
    while *sent < kind.length() {
        tokio::select! {
            biased;
            answer = &mut reading => return answer,
            () = sleep(pause) => {}
        }
        pause = PIECE_PAUSE;
        tokio::select! {
            biased;
            answer = &mut reading => return answer,
            written = writer.write_all(&piece) => match written {
                Ok(()) => *sent += PIECE,
                // The server has stopped reading. The reason is in the response.
                Err(_) => break,
            },
        }
    }
    let answer = timeout(PATIENCE, reading).await;
    answer.context("no answer to a body that is too long")?
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::Response;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::http::Server;

    const REFUSAL: &[u8] = b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 32\r\n\r\n{\"code\":\"INGEST_BODY_TOO_LARGE\"}";

    /// Starts a server that reads this many bytes and refuses the rest.
    async fn server(bytes: usize) -> std::io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await?;
                let mut read = vec![0; bytes];
                stream.read_exact(&mut read).await?;
                stream.write_all(REFUSAL).await?;
                stream.flush().await?;
                // Unread bytes would reset the connection, and the response would be lost.
                tokio::spawn(async move {
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).await
                });
            }
            #[expect(unreachable_code, reason = "names the error type")]
            std::io::Result::Ok(())
        });
        Ok(address)
    }

    #[tokio::test]
    async fn bytes_before_the_refusal_are_counted() -> anyhow::Result<()> {
        for kind in [Kind::Announced, Kind::Endless] {
            let head = b"POST / HTTP/1.1\r\n\r\n";
            let (answer, sent) = send(&server(head.len()).await?, head, kind).await;
            check(&answer?)?;
            assert!(sent < ANNOUNCED, "{sent} bytes");
            let (answer, sent) = send(&server(300_000).await?, head, kind).await;
            check(&answer?)?;
            assert!((290_000..ANNOUNCED).contains(&sent), "{sent} bytes");
        }
        Ok(())
    }

    #[tokio::test]
    async fn server_that_reads_the_whole_body_is_wrong() -> anyhow::Result<()> {
        let server = Server::start(|_| async { Response::new(Full::default()) }).await?;
        let address = server.address.to_string();
        let head = Caller::new()?.head(Some(ANNOUNCED))?;
        let (answer, sent) = send(&address, head.as_bytes(), Kind::Announced).await;
        assert!(check(&answer?).is_err());
        assert_eq!(sent, ANNOUNCED);
        Ok(())
    }
}
