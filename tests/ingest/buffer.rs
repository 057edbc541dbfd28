//! The buffer space of large bodies: a fast sender gets it, whatever slow, stalled and unsigned senders do.
//!
//! Time is paused, and connections are in memory. The last test runs the real program.

use std::error::Error;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use genesys_test_support::ingest_harness::{IngestHarness, SECRET, now, signature, wrapper};
use genesys_test_support::{ReplayHarness, TestResult};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::program::settings;
use crate::support::gate::Gate;
use crate::support::server::Server;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Clients with these last bytes in their addresses.
fn client(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// Returns a head with made-up signature headers.
fn forged_head(length: usize) -> String {
    let at = now();
    format!(
        "POST /dead-letter HTTP/1.1\r\nHost: i\r\nContent-Type: application/json\r\nwebhook-id: m\r\n\
         webhook-timestamp: {at}\r\nwebhook-signature: v1,{}\r\nContent-Length: {length}\r\n\r\n",
        "A".repeat(43) + "="
    )
}

/// Opens a connection of this client that declares a length and sends this many bytes.
async fn stalled(
    ingest: &IngestHarness,
    peer: IpAddr,
    declared: usize,
    sent: usize,
) -> Result<DuplexStream, Box<dyn Error>> {
    let mut stream = ingest.connect_from(peer);
    stream.write_all(forged_head(declared).as_bytes()).await?;
    stream.write_all(&vec![b'x'; sent]).await?;
    Ok(stream)
}

/// Returns a correctly signed request whose body has about this length.
fn signed(id: &str, length: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let body = wrapper("s-1", 0, &format!("\"{id}{}\"", "x".repeat(length)));
    let mut request = "POST /dead-letter HTTP/1.1\r\nHost: i\r\nConnection: close\r\n".to_owned();
    for (name, value) in signature(SECRET, id, 0, &body)? {
        write!(request, "{name}: {value}\r\n")?;
    }
    write!(request, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    Ok(request.into_bytes())
}

/// Reads until the connection is closed. Returns the answer.
async fn rest(mut stream: DuplexStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends a request as fast as it is read. Returns the status and the time of the answer.
async fn exchange(mut stream: DuplexStream, request: Vec<u8>) -> (String, Duration) {
    let began = Instant::now();
    let _ = stream.write_all(&request).await;
    let answer = rest(stream).await;
    (answer.get(9..12).unwrap_or_default().to_owned(), began.elapsed())
}

async fn signed_exchange(
    ingest: &IngestHarness,
    peer: IpAddr,
    id: &str,
    length: usize,
) -> Result<(String, Duration), Box<dyn Error>> {
    Ok(exchange(ingest.connect_from(peer), signed(id, length)?).await)
}

#[tokio::test(start_paused = true)]
async fn declared_length_takes_no_space() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let mut strangers = Vec::new();
    for declared in [MIB; 60] {
        strangers.push(stalled(&ingest, client(1), declared, 40 * KIB).await?);
    }
    sleep(Duration::from_secs(1)).await;
    for number in 0..15 {
        let id = format!("m-{number}");
        let (status, took) = signed_exchange(&ingest, client(2), &id, 100 * KIB).await?;
        assert_eq!(status, "200", "{number}");
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    // There is space for all, so nobody is dropped before the time of a body ends.
    for stranger in strangers {
        assert!(rest(stranger).await.starts_with("HTTP/1.1 408 "));
    }
    assert_eq!(ingest.queued().len(), 15);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn signed_body_is_accepted_when_strangers_just_began() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let mut strangers = Vec::new();
    for _ in 0..9 {
        strangers.push(stalled(&ingest, client(1), MIB, 40 * KIB).await?);
    }
    let (status, took) = signed_exchange(&ingest, client(1), "m-1", 100 * KIB).await?;
    assert_eq!(status, "200");
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(strangers);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn stalled_bodies_are_dropped_first_when_space_runs_out() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    // These fill the buffer with bytes.
    let mut strangers = Vec::new();
    for _ in 0..9 {
        strangers.push(stalled(&ingest, client(1), MIB, MIB - 100 * KIB).await?);
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(1)).await;
    for (number, peer) in [2, 1, 2, 1].into_iter().enumerate() {
        let id = format!("m-{number}");
        let (status, took) = signed_exchange(&ingest, client(peer), &id, MIB - 10 * KIB).await?;
        assert_eq!(status, "200", "{number}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let mut answers = Vec::new();
    for stranger in strangers {
        answers.push(rest(stranger).await[9..12].to_owned());
    }
    // The longest stalled ones made room; the last ones had the time of a body.
    assert_eq!((answers[0].as_str(), answers[8].as_str()), ("503", "408"), "{answers:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn trickling_bodies_make_room_for_a_fast_one() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let mut strangers = JoinSet::new();
    for _ in 0..12 {
        // All senders are one peer behind a load balancer.
        let mut stream = stalled(&ingest, client(1), MIB, MIB - 200 * KIB).await?;
        strangers.spawn(async move {
            while stream.write_all(&[b'x'; 4 * KIB]).await.is_ok() {
                sleep(Duration::from_millis(250)).await;
            }
        });
    }
    sleep(Duration::from_secs(2)).await;
    for number in 0..5 {
        let id = format!("m-{number}");
        let (status, took) = signed_exchange(&ingest, client(1), &id, 100 * KIB).await?;
        assert_eq!(status, "200", "{number}");
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn peer_with_most_space_loses_a_body_first() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    // The slowest body of all, and the only one of its peer.
    let mut lonely = stalled(&ingest, client(3), MIB, 40 * KIB).await?;
    sleep(Duration::from_secs(1)).await;
    let mut strangers = Vec::new();
    for _ in 0..8 {
        strangers.push(stalled(&ingest, client(1), MIB, MIB - 10 * KIB).await?);
    }
    sleep(Duration::from_secs(1)).await;
    let (status, _) = signed_exchange(&ingest, client(2), "m-1", 500 * KIB).await?;
    assert_eq!(status, "200");
    // It was not dropped: it is read to its end, and its signature is wrong.
    drop(strangers);
    lonely.write_all(&vec![b'x'; MIB - 40 * KIB]).await?;
    let mut answer = [0; 12];
    lonely.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"HTTP/1.1 401");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn burst_of_fast_bodies_is_accepted_in_order() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let mut senders = JoinSet::new();
    for number in 0..40 {
        let request = signed(&format!("m-{number}"), MIB - 10 * KIB)?;
        senders.spawn(exchange(ingest.connect_from(client(1)), request));
    }
    for (status, _) in senders.join_all().await {
        assert_eq!(status, "200");
    }
    assert_eq!(ingest.queued().len(), 40);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn space_is_free_after_a_wrong_signature() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let mut senders = JoinSet::new();
    for _ in 0..40 {
        let request = [forged_head(MIB).into_bytes(), vec![b'x'; MIB]].concat();
        senders.spawn(exchange(ingest.connect_from(client(1)), request));
    }
    let (status, _) = signed_exchange(&ingest, client(1), "m-1", MIB - 10 * KIB).await?;
    assert_eq!(status, "200");
    for (status, _) in senders.join_all().await {
        assert_eq!(status, "401");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn whole_bodies_are_never_dropped() -> TestResult {
    let (gate, ingest) = Gate::start().await?;
    let mut senders = JoinSet::new();
    for number in 0..8 {
        let request = signed(&format!("m-{number}"), MIB - 10 * KIB)?;
        senders.spawn(exchange(ingest.connect_from(client(1)), request));
        gate.came.notified().await;
    }
    // All space is taken by bodies that are being queued.
    let (status, took) = signed_exchange(&ingest, client(2), "late", MIB - 10 * KIB).await?;
    assert_eq!(status, "503");
    assert!(took >= Duration::from_secs(2), "{took:?}");
    gate.open.notify_waiters();
    for (status, _) in senders.join_all().await {
        assert_eq!(status, "200");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn small_stalled_bodies_take_no_space() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let mut strangers = Vec::new();
    for _ in 0..500 {
        strangers.push(stalled(&ingest, client(1), 32 * KIB, 31 * KIB).await?);
    }
    for (number, length) in [1_000, 100 * KIB, MIB - 10 * KIB].into_iter().enumerate() {
        let (status, _) =
            signed_exchange(&ingest, client(1), &format!("m-{number}"), length).await?;
        assert_eq!(status, "200", "{length}");
    }
    drop(strangers);
    Ok(())
}

#[tokio::test]
async fn program_accepts_signed_bodies_beside_nine_stalled_strangers() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let queue = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &queue).await?;
    settings.insert("SUBSCRIPTION_CHECK".to_owned(), "off".to_owned());
    let server = Server::start(&settings, &harness.aws).await?;
    let url = server.url("");
    let address = url.strip_prefix("http://").ok_or("no address")?;
    let mut strangers = Vec::new();
    for _ in 0..9 {
        let mut stranger = TcpStream::connect(address).await?;
        stranger.write_all(forged_head(MIB).as_bytes()).await?;
        stranger.write_all(&vec![b'x'; 40 * KIB]).await?;
        strangers.push(stranger);
    }
    for number in 0..15 {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&signed(&format!("m-{number}"), 100 * KIB)?).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{number}: {answer}");
    }
    drop(strangers);
    server.end().await?;
    Ok(())
}
