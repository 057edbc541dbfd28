//! Bodies that are too long, too slow, too many, or incomplete.
//!
//! Tests about time use paused tokio time and in-memory connections, which have no data in transit.

use std::error::Error;
use std::time::Duration;

use genesys_replay_ingest::Authentication;
use genesys_test_support::TestResult;
use genesys_test_support::ingest_harness::{IngestHarness, wrapper};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::gate::Gate;

const MIB: usize = 1024 * 1024;

/// Opens a TCP connection and sends the head and the beginning of a body.
async fn begun(
    ingest: &IngestHarness,
    head: &str,
    body: &[u8],
) -> Result<TcpStream, Box<dyn Error>> {
    let stream = TcpStream::connect(ingest.address).await?;
    begin(stream, head, body).await
}

/// Opens an in-memory connection and sends the head and the beginning of a body.
async fn begun_in_memory(
    ingest: &IngestHarness,
    head: &str,
    body: &[u8],
) -> Result<DuplexStream, Box<dyn Error>> {
    begin(ingest.connect(), head, body).await
}

async fn begin<S: AsyncWrite + Unpin>(
    mut stream: S,
    head: &str,
    body: &[u8],
) -> Result<S, Box<dyn Error>> {
    let head = format!(
        "POST /dead-letter HTTP/1.1\r\nHost: ingest\r\nContent-Type: application/json\r\n{head}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    Ok(stream)
}

/// Reads until the connection is closed.
async fn rest(mut stream: impl AsyncRead + Unpin) -> String {
    let mut answer = Vec::new();
    // A closed connection without a response is a result, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Returns a chunk of 32 KiB.
fn chunk() -> Vec<u8> {
    [b"8000\r\n".to_vec(), vec![b'x'; 0x8000], b"\r\n".to_vec()].concat()
}

#[tokio::test]
async fn body_is_accepted_up_to_the_limit() -> TestResult {
    let ingest =
        IngestHarness::with_max_body_bytes(2_000, Authentication::None, |ingest| ingest).await?;
    let body = |length: usize| {
        let around = wrapper("s-1", 0, "\"\"").len();
        wrapper("s-1", 0, &format!("\"{}\"", "x".repeat(length - around)))
    };
    assert_eq!(ingest.post("/dead-letter", &body(2_000)).await?.status, 200);
    for path in ["/dead-letter", "/webhooks/genesys-outbound"] {
        let refused = ingest.post(path, &body(2_001)).await?;
        assert_eq!(refused.status, 413, "{}", refused.text);
        assert_eq!(refused.json()["code"], "INGEST_BODY_TOO_LARGE");
        assert!(refused.text.contains("2000 bytes"), "{}", refused.text);
    }
    assert_eq!(ingest.queued().len(), 1);
    Ok(())
}

#[tokio::test]
async fn body_is_refused_by_its_content_length_before_it_is_sent() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let head = format!("Content-Length: {}\r\nExpect: 100-continue", MIB + 1);
    let stream = begun(&ingest, &head, b"").await?;
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn oversized_body_gets_a_413_when_sent_completely() -> TestResult {
    let ingest = IngestHarness::open().await?;
    for headers in [format!("Content-Length: {}", 2 * MIB), "Transfer-Encoding: chunked".to_owned()]
    {
        let mut stream = begun_in_memory(&ingest, &headers, b"").await?;
        let plain = vec![b'x'; 2 * MIB];
        let body = if headers.starts_with("Transfer") {
            [chunk().repeat(40), b"0\r\n\r\n".to_vec()].concat()
        } else {
            plain
        };
        stream.write_all(&body).await?;
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    assert!(ingest.queued().is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn endless_body_is_cut_off() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let mut stream = begun_in_memory(&ingest, "Transfer-Encoding: chunked", b"").await?;
    let chunk = chunk();
    let mut sent = 0;
    while sent < 64 * MIB && stream.write_all(&chunk).await.is_ok() {
        sent += 0x8000;
    }
    assert!(sent < 64 * MIB, "{sent} bytes were taken");
    assert!(ingest.queued().is_empty());
    Ok(())
}

#[tokio::test]
async fn incomplete_body_is_not_queued() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let body = wrapper("s-1", 0, "[1]");
    let head = format!("Content-Length: {}", body.len() + 1);
    let mut stream = begun(&ingest, &head, body.as_bytes()).await?;
    stream.shutdown().await?;
    let answer = rest(stream).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    // The next request is handled after the incomplete one.
    assert_eq!(ingest.post("/dead-letter", &body).await?.status, 200);
    assert_eq!(ingest.queued().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn body_deadline_cuts_off_an_incomplete_body() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let before = Instant::now();
    let stream = begun_in_memory(&ingest, "Content-Length: 100", b"{").await?;
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("INGEST_BODY_INCOMPLETE"), "{answer}");
    assert_eq!(before.elapsed().as_secs(), 10);
    assert!(ingest.queued().is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn head_deadline_cuts_off_an_incomplete_head() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let mut stream = ingest.connect();
    stream.write_all(b"POST /dead-letter HTTP/1.1\r\nX: ").await?;
    let before = Instant::now();
    let answer = rest(stream).await;
    assert!(!answer.contains("200"), "{answer}");
    assert_eq!(before.elapsed().as_secs(), 15);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn early_refusal_is_readable_and_closes_the_connection() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let mut stream = begun_in_memory(&ingest, "Content-Length: 1000000", b"").await?;
    stream.write_all(&vec![b'x'; 1_000_000]).await?;
    let refused = rest(stream).await.to_lowercase();
    assert!(refused.starts_with("http/1.1 401 "), "{refused}");
    assert!(refused.contains("connection: close"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn half_closed_connection_still_gets_its_response() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let body = wrapper("s-1", 0, "[1]");
    let head = format!("Content-Length: {}", body.len());
    let mut stream = begun(&ingest, &head, body.as_bytes()).await?;
    stream.shutdown().await?;
    assert!(rest(stream).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(ingest.queued().len(), 1);
    Ok(())
}

#[tokio::test]
async fn queued_send_completes_when_the_sender_disconnects() -> TestResult {
    let (gate, ingest) = Gate::start().await?;
    let body = wrapper("s-1", 0, "[1]");
    let head = format!("Content-Length: {}", body.len());
    let stream = begun(&ingest, &head, body.as_bytes()).await?;
    gate.came.notified().await;
    // Closed with a reset.
    stream.set_zero_linger()?;
    drop(stream);
    // The server has noticed the close when it responds to another request.
    reqwest::get(ingest.url("/health")).await?;
    gate.open.notify_one();
    // A long timeout: a dropped send would never arrive.
    timeout(Duration::from_secs(60), gate.through.notified()).await?;
    assert_eq!(ingest.queued().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn sender_is_cut_off_when_it_reads_no_response() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let mut stream = ingest.connect();
    let requests = b"GET /health HTTP/1.1\r\nHost: ingest\r\n\r\n".repeat(1_000);
    let mut sent = 0;
    while sent < 512 * MIB && stream.write_all(&requests).await.is_ok() {
        sent += requests.len();
    }
    assert!(sent < 512 * MIB, "{sent} bytes were taken");
    Ok(())
}
