//! HTTP/1.1 over a bare socket, so that the client takes almost no processor time.

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A persistent connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The last response came before the end of its request.
    is_cut_short: bool,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// The connection is refused.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, is_cut_short: false })
    }

    /// Sends a request in parts and reads its response, which may come before the end of the request.
    ///
    /// # Errors
    /// The connection closed before the response, or the response is invalid.
    pub(crate) async fn exchange(&mut self, request: &[&[u8]]) -> anyhow::Result<Answer> {
        let (mut reader, mut writer) = self.stream.split();
        let writing = async {
            for part in request {
                writer.write_all(part).await?;
            }
            anyhow::Ok(())
        };
        let reading = read(&mut reader);
        tokio::pin!(reading);
        tokio::select! {
            biased;
            // A server that refuses a request may stop reading it. The reason is in the response.
            _ = writing => {}
            answer = &mut reading => {
                self.is_cut_short = true;
                return answer;
            }
        }
        reading.await
    }

    /// Returns whether another request can use the connection.
    pub(crate) fn can_go_on(&self, answer: &Answer) -> bool {
        let connection = answer.header("connection");
        let is_last = connection.is_some_and(|value| value.eq_ignore_ascii_case("close"));
        !self.is_cut_short && !is_last
    }
}

/// Reads one response.
///
/// # Errors
/// The response is incomplete or has no content length.
pub(crate) async fn read(reader: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Answer> {
    let mut read = Vec::with_capacity(4096);
    let head_ends = loop {
        ensure!(reader.read_buf(&mut read).await? > 0, "the connection was closed");
        if let Some(outcomes) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            break outcomes + 4;
        }
    };
    let body = read.split_off(head_ends);
    let head = String::from_utf8(read)?;
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let mut answer =
        Answer { status: status.with_context(|| format!("no answer: {head}"))?, head, body };
    if answer.header("transfer-encoding").is_some() {
        bail!("an answer without a length: {}", answer.head);
    }
    let length = answer.header("content-length").map_or(Ok(0), str::parse)?;
    while answer.body.len() < length {
        ensure!(reader.read_buf(&mut answer.body).await? > 0, "the answer is cut short");
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn response_is_read_with_its_body_only() -> anyhow::Result<()> {
        let wire = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
        let answer = read(&mut wire.as_slice()).await?;
        assert_eq!((answer.status, answer.body.as_slice()), (503, &b"{}"[..]));
        assert_eq!(answer.header("retry-after"), Some("5"));
        Ok(())
    }

    #[tokio::test]
    async fn connection_is_reused_unless_closed_or_partly_read() -> anyhow::Result<()> {
        let small: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
        // Larger than the buffers of the sockets.
        let large = vec![b' '; 64 << 20];
        for (answer, request, goes_on) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n"[..], small, true),
            (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n", small, false),
            (b"HTTP/1.1 503 Busy\r\n\r\n", large.as_slice(), false),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let mut connection = Connection::open(&listener.local_addr()?.to_string()).await?;
            let (mut server, _) = listener.accept().await?;
            server.write_all(answer).await?;
            let answer = connection.exchange(&[request]).await?;
            assert_eq!(connection.can_go_on(&answer), goes_on, "{answer:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn incomplete_response_is_an_error() {
        for wire in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(read(&mut wire.as_bytes()).await.is_err(), "{wire}");
        }
    }
}
