//! Callers that send a byte a second, while others send ordinary requests.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::Bench;
use super::load::{self, Pace, Plan};
use super::memory::BODY_BYTES;
use super::request::Caller;
use super::tally::Tally;
use crate::stats::Sample;

/// The number of callers with endless headers.
pub(crate) const HEADS: usize = 200;
/// The number of callers with endless bodies.
pub(crate) const BODIES: usize = 50;
/// Concurrent ordinary requests per second.
pub(crate) const RATE: u32 = 200;
/// The maximum time until the server has cut off all slow callers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const BYTE: Duration = Duration::from_secs(1);

/// The results.
#[derive(Debug)]
pub(crate) struct Slow {
    pub(crate) heads: CutOffs,
    pub(crate) bodies: CutOffs,
    /// The outcomes of the ordinary requests.
    pub(crate) tally: Tally,
    pub(crate) took: Sample,
}

/// The cut-offs of slow callers of one kind.
#[derive(Debug, Default)]
pub(crate) struct CutOffs {
    pub(crate) callers: usize,
    /// The connection times of the callers that were cut off.
    pub(crate) after: Sample,
    /// The number of responses by status.
    pub(crate) answers: BTreeMap<u16, usize>,
}

impl CutOffs {
    fn of(cut_off: &[CutOff]) -> Self {
        let mut answers = BTreeMap::new();
        for status in cut_off.iter().filter_map(|it| it.status) {
            *answers.entry(status).or_default() += 1;
        }
        Self {
            callers: cut_off.len(),
            after: cut_off.iter().filter_map(|it| it.after).collect(),
            answers,
        }
    }

    /// The number of documented responses: too slow, or no capacity.
    pub(crate) fn signal(&self) -> usize {
        let signal =
            [408, 503].map(|status| self.answers.get(&status).copied().unwrap_or_default());
        signal.into_iter().sum()
    }

    /// The number of other responses.
    pub(crate) fn wrong(&self) -> usize {
        self.answers.values().sum::<usize>() - self.signal()
    }
}

/// The cut-off of one slow caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CutOff {
    /// The time of the cut-off. `None`: it was not cut off in time.
    after: Option<Duration>,
    status: Option<u16>,
}

/// Runs all slow callers concurrently, with ordinary requests until the last one is cut off.
///
/// # Errors
/// The server does not start, or does not end.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Slow> {
    let server = bench.start("slow").await?;
    let address = server.address.as_str();
    let mut caller = Caller::new()?;
    let seconds = usize::try_from(PATIENCE.as_secs())?;
    let requests = caller.ordinary(seconds * usize::try_from(RATE)?)?;
    let head = caller.head(Some(BODY_BYTES))?;
    let head = head.as_bytes();
    let plan =
        Plan { pace: Pace::Rate(RATE), connections: 16, time_limit: Duration::from_secs(30) };
    let is_over = Cell::new(false);
    let slow = async {
        let heads = (0..HEADS)
            .map(|number| drip(address, b"", head, BYTE, stagger(number, HEADS), PATIENCE));
        let bodies = (0..BODIES).map(|number| {
            // The beginning of a JSON object with an endless string.
            drip(address, head, b"{\"a\":\"", BYTE, stagger(number, BODIES), PATIENCE)
        });
        let (heads, bodies) = tokio::join!(join_all(heads), join_all(bodies));
        is_over.set(true);
        (CutOffs::of(&heads), CutOffs::of(&bodies))
    };
    let (loaded, (heads, bodies)) =
        tokio::join!(load::run(address, &requests, plan, &is_over), slow);
    let loaded = loaded?;
    let slow = Slow { heads, bodies, tally: loaded.tally(bench.queue.take()), took: loaded.took() };
    server.stop().await?;
    Ok(slow)
}

/// The offset between callers, so that their bytes do not arrive at the same time.
fn stagger(number: usize, of: usize) -> Duration {
    let part = u32::try_from(number).unwrap_or_default();
    BYTE * part / u32::try_from(of).unwrap_or(1).max(1)
}

/// Connects, sends `at_once`, then the bytes of `slowly` one at a time, and repeats the last one.
async fn drip(
    address: &str,
    at_once: &[u8],
    slowly: &[u8],
    each: Duration,
    first: Duration,
    time_limit: Duration,
) -> CutOff {
    sleep(first).await;
    let connected = Instant::now();
    let mut answer = Vec::new();
    let after = match TcpStream::connect(address).await {
        Ok(mut stream) => {
            let mut ticks = interval_at(connected + each, each);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            tokio::select! {
                () = until_closed(&mut stream, at_once, slowly, ticks, &mut answer) => Some(connected.elapsed()),
                () = sleep_until(connected + time_limit) => None,
            }
        }
        // An immediate refusal is a cut-off, too.
        Err(_) => Some(connected.elapsed()),
    };
    let status = std::str::from_utf8(&answer).ok();
    CutOff { after, status: status.and_then(|answer| answer.get(9..12)?.parse().ok()) }
}

async fn until_closed(
    stream: &mut TcpStream,
    at_once: &[u8],
    slowly: &[u8],
    mut ticks: Interval,
    answer: &mut Vec<u8>,
) {
    if stream.write_all(at_once).await.is_err() {
        return;
    }
    let last = slowly.len().saturating_sub(1);
    let mut next = 0;
    loop {
        tokio::select! {
            read = stream.read_buf(answer) => {
                if matches!(read, Ok(0) | Err(_)) {
                    return;
                }
            }
            _ = ticks.tick() => {
                // A read detects the end of the connection. It may return a response first.
                stream.write_all(&slowly[next..=next]).await.ok();
                next = (next + 1).min(last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    /// Starts a server that reads this many bytes of one caller, responds and closes the connection.
    async fn server(bytes: usize, answer: &'static [u8]) -> std::io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            stream.read_exact(&mut vec![0; bytes]).await?;
            stream.write_all(answer).await
        });
        Ok(address)
    }

    #[tokio::test]
    async fn slow_caller_reads_the_status_when_cut_off() -> anyhow::Result<()> {
        let address = server(8, b"HTTP/1.1 408 Request Timeout\r\n\r\n").await?;
        let time_limit = Duration::from_secs(30);
        let cut_off = drip(&address, b"1234", b"56", TICK, TICK, time_limit).await;
        assert!(cut_off.after.is_some_and(|after| after >= TICK));
        assert_eq!(cut_off.status, Some(408));
        let address = server(2, b"").await?;
        let cut_off = drip(&address, b"", b"12", TICK, TICK, time_limit).await;
        assert!(cut_off.after.is_some() && cut_off.status.is_none());
        Ok(())
    }

    #[tokio::test]
    async fn slow_caller_stops_at_its_deadline_when_not_cut_off() -> anyhow::Result<()> {
        let address = server(1_000_000, b"").await?;
        let cut_off = drip(&address, b"", b"1", TICK, TICK, 20 * TICK).await;
        let not = CutOff { after: None, status: None };
        assert_eq!(cut_off, not);
        Ok(())
    }

    #[test]
    fn responses_are_counted_by_status() {
        let cut_off = |status| CutOff { after: Some(BYTE), status };
        let ended = CutOffs::of(&[Some(408), Some(503), Some(400), None].map(cut_off));
        assert_eq!((ended.callers, ended.signal(), ended.wrong()), (4, 2, 1));
        assert_eq!(ended.after.len(), 4);
    }
}
