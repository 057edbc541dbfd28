//! More connections than the server holds open.
//!
//! Time is paused, and connections are in memory, except for the test with the real program.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use genesys_test_support::ingest_harness::{Answer, IngestHarness, SECRET, signature, wrapper};
use genesys_test_support::{ReplayHarness, TestResult};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::program::settings;
use crate::support::gate::Gate;
use crate::support::server::Server;

/// The limit of the server.
const MAX_CONNECTIONS: usize = 512;

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: i\r\n\r\n";

fn client(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// Sends these bytes over a new connection.
async fn begun(
    ingest: &IngestHarness,
    peer: u8,
    bytes: &[u8],
) -> Result<DuplexStream, Box<dyn Error>> {
    let mut stream = ingest.connect_from(client(peer));
    stream.write_all(bytes).await?;
    Ok(stream)
}

/// Opens a connection that has had one answer and is now idle.
async fn idle(ingest: &IngestHarness, peer: u8) -> Result<DuplexStream, Box<dyn Error>> {
    let mut stream = begun(ingest, peer, HEALTH).await?;
    answer(&mut stream).await?;
    Ok(stream)
}

/// Reads one answer.
async fn answer(stream: &mut DuplexStream) -> Result<String, Box<dyn Error>> {
    let mut bytes = vec![0; 4096];
    let length = stream.read(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// Returns true if the server has closed this connection.
async fn is_closed(stream: &mut DuplexStream) -> bool {
    let read = timeout(Duration::from_millis(1), stream.read(&mut [0; 1])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

/// Returns the positions of the closed connections.
async fn closed(streams: &mut [DuplexStream]) -> Vec<usize> {
    let mut closed = Vec::new();
    for (index, stream) in streams.iter_mut().enumerate() {
        if is_closed(stream).await {
            closed.push(index);
        }
    }
    closed
}

/// Sends a whole request over a new connection, which must be answered at once.
async fn is_answered(ingest: &IngestHarness, peer: u8) -> TestResult {
    let before = Instant::now();
    let mut stream = begun(ingest, peer, HEALTH).await?;
    let answer = answer(&mut stream).await?;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(before.elapsed() < Duration::from_millis(100), "{:?}", before.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn longest_idle_connection_makes_room_for_a_new_one() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let mut streams = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        streams.push(idle(&ingest, 1).await?);
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_secs(1)).await;
    // This one is not the longest idle one any more.
    streams[0].write_all(HEALTH).await?;
    answer(&mut streams[0]).await?;
    is_answered(&ingest, 1).await?;
    assert_eq!(closed(&mut streams).await, [1]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn peer_with_most_connections_loses_one_first() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let mut streams = Vec::new();
    for number in 0..MAX_CONNECTIONS {
        streams.push(idle(&ingest, if number < 100 { 1 } else { 2 }).await?);
    }
    sleep(Duration::from_secs(1)).await;
    let mut kept = Vec::new();
    for _ in 0..10 {
        kept.push(begun(&ingest, 3, HEALTH).await?);
    }
    for stream in &mut kept {
        assert!(answer(stream).await?.starts_with("HTTP/1.1 200 "));
    }
    let closed = closed(&mut streams).await;
    assert_eq!(closed.len(), 10);
    assert!(closed.iter().all(|index| *index >= 100), "{closed:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed_before_a_stalled_request() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let head = b"POST /dead-letter HTTP/1.1\r\nHost: i\r\nContent-Type: application/json\r\n";
    let body = [&head[..], b"Content-Length: 100\r\n\r\n{"].concat();
    let mut stalled = Vec::new();
    for number in 0..MAX_CONNECTIONS - 1 {
        let bytes = if number % 2 == 0 { &head[..] } else { &body };
        stalled.push(begun(&ingest, 1, bytes).await?);
    }
    let mut idle = vec![idle(&ingest, 2).await?];
    sleep(Duration::from_secs(1)).await;
    is_answered(&ingest, 3).await?;
    assert_eq!((closed(&mut idle).await.len(), closed(&mut stalled).await.len()), (1, 0));
    // Then stalled requests make room, too: heads without an answer, bodies with one.
    for _ in 0..20 {
        sleep(Duration::from_millis(600)).await;
        is_answered(&ingest, 3).await?;
        drop(begun(&ingest, 3, head).await?);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn peer_with_most_requests_makes_room_for_another_peer() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let head = b"POST /dead-letter HTTP/1.1\r\nHost: i\r\nContent-Type: application/json\r\n\
        Content-Length: 1000000\r\n\r\n{";
    let mut streams = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        streams.push(begun(&ingest, 1, head).await?);
    }
    // All are as fast as a sender must be.
    for _ in 0..4 {
        sleep(Duration::from_millis(250)).await;
        for stream in &mut streams {
            stream.write_all(&[b'x'; 6 * 1024]).await?;
        }
    }
    is_answered(&ingest, 2).await?;
    let mut refused = 0;
    for stream in &mut streams {
        refused += usize::from(timeout(Duration::from_millis(1), answer(stream)).await.is_ok());
    }
    assert_eq!(refused, 1, "one made room");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn stalled_body_gets_an_answer_when_it_makes_room() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let head = "POST /dead-letter HTTP/1.1\r\nHost: i\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let mut stalled = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        stalled.push(begun(&ingest, 1, head.as_bytes()).await?);
        sleep(Duration::from_millis(2)).await;
    }
    sleep(Duration::from_millis(600)).await;
    is_answered(&ingest, 2).await?;
    let refused = answer(&mut stalled[0]).await?;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("INGEST_BUSY") && refused.contains("connection: close"), "{refused}");
    assert!(is_closed(&mut stalled[0]).await);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn connection_that_is_answering_is_never_closed() -> TestResult {
    let (gate, ingest) = Gate::start().await?;
    let webhook =
        b"POST /webhooks/genesys-outbound HTTP/1.1\r\nHost: i\r\nContent-Length: 2\r\n\r\n{}";
    let mut answering = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        answering.push(begun(&ingest, 1, webhook).await?);
        gate.came.notified().await;
    }
    let mut waiting = begun(&ingest, 2, HEALTH).await?;
    sleep(Duration::from_secs(3)).await;
    gate.open.notify_waiters();
    for stream in &mut answering {
        assert!(answer(stream).await?.starts_with("HTTP/1.1 200 "));
    }
    assert!(answer(&mut waiting).await?.starts_with("HTTP/1.1 200 "));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn burst_of_new_connections_closes_none_before_its_request() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let mut streams: Vec<_> =
        (0..MAX_CONNECTIONS + 88).map(|_| ingest.connect_from(client(1))).collect();
    sleep(Duration::from_millis(50)).await;
    for stream in &mut streams {
        stream.write_all(HEALTH).await?;
    }
    for stream in &mut streams {
        assert!(answer(stream).await?.starts_with("HTTP/1.1 200 "));
    }
    Ok(())
}

#[tokio::test]
async fn signed_request_is_accepted_beside_700_idle_connections() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("SUBSCRIPTION_CHECK".to_owned(), "off".to_owned());
    let server = Server::start(&settings, &harness.aws).await?;
    signed_request_is_accepted(&server, 700).await
}

#[tokio::test]
async fn idle_connections_are_closed_when_open_files_run_out() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("SUBSCRIPTION_CHECK".to_owned(), "off".to_owned());
    let server = Server::start_with_open_files(80, &settings, &harness.aws).await?;
    signed_request_is_accepted(&server, 150).await?;
    let (_, printed) = server.end().await?;
    assert!(printed.stdout.contains("connection not accepted"), "{}", printed.stdout);
    Ok(())
}

/// Opens idle connections, then sends one signed request.
async fn signed_request_is_accepted(server: &Server, idle_count: usize) -> TestResult {
    let address = server.url("").trim_start_matches("http://").to_owned();
    let mut idle = Vec::new();
    for _ in 0..idle_count {
        idle.push(TcpStream::connect(&address).await?);
    }
    let body = wrapper("s-1", 0, "[1]");
    let client = reqwest::Client::new();
    let mut request = client.post(server.url("/dead-letter")).body(body.clone());
    for (name, value) in signature(SECRET, "m-1", 0, &body)? {
        request = request.header(name, value);
    }
    let before = Instant::now();
    let answer = Answer::of(request.send().await?).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // Idle connections end by themselves after 15 s.
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    drop(idle);
    Ok(())
}
