//! Stalled unsigned bodies and idle connections, while others send ordinary and large requests.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::Bench;
use super::load::{self, Pace, Plan};
use super::request::{Caller, Request, filler};
use super::tally::Tally;
use crate::stats::Sample;

/// The number of unsigned senders that declare a body of the maximum length, send a part and stall.
pub(crate) const STALLED: usize = 9;

/// The number of idle connections, more than the server holds open.
pub(crate) const IDLE: usize = 700;

/// Signed requests per second.
pub(crate) const RATE: u32 = 200;

/// The size of each tenth signed body, without its beginning.
pub(crate) const LARGE_BYTES: usize = 100_000;

const DECLARED_BYTES: usize = 1_000_000;

const SENT_BYTES: usize = 40_000;

/// The maximum time until all strangers have connected.
const PATIENCE: Duration = Duration::from_secs(15);

/// The pause of a stranger after its connection was closed.
const PAUSE: Duration = Duration::from_millis(500);

/// The results.
#[derive(Debug)]
pub(crate) struct Strangers {
    pub(crate) due: usize,
    /// The outcomes of the signed requests.
    pub(crate) tally: Tally,
    pub(crate) took: Sample,
    /// The time of one more request as soon as all strangers have connected.
    pub(crate) first: Duration,
}

/// Runs signed requests beside strangers that connect again whenever they are closed.
///
/// # Errors
/// The server does not start, does not end, or does not answer a request.
pub(crate) async fn run(bench: &Bench, seconds: u32) -> anyhow::Result<Strangers> {
    let server = bench.start("strangers").await?;
    let address = server.address.as_str();
    let mut caller = Caller::new()?;
    let head = caller.head(Some(DECLARED_BYTES))?;
    let part = [head.as_bytes(), &vec![b'x'; SENT_BYTES]].concat();
    let requests = mixed(&mut caller, usize::try_from(RATE * seconds)?)?;
    let probe = caller.ordinary(1)?;
    let plan =
        Plan { pace: Pace::Rate(RATE), connections: 32, time_limit: Duration::from_secs(30) };
    let is_over = Cell::new(false);
    let connected = Cell::new(0);
    let strangers = async {
        let stalled = (0..STALLED).map(|_| occupy(address, &part, &connected, &is_over));
        let idle = (0..IDLE).map(|_| occupy(address, b"", &connected, &is_over));
        tokio::join!(join_all(stalled), join_all(idle));
    };
    let signed = async {
        let all_connected = async {
            while connected.get() < STALLED + IDLE {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, all_connected).await.context("strangers do not connect")?;
        let began = Instant::now();
        let at_once = Plan { pace: Pace::AtOnce, connections: 1, ..plan };
        load::run(address, &probe, at_once, &Cell::new(false)).await?;
        let first = began.elapsed();
        bench.queue.take();
        let loaded = load::run(address, &requests, plan, &Cell::new(false)).await;
        is_over.set(true);
        anyhow::Ok((first, loaded?))
    };
    let (signed, ()) = tokio::join!(signed, strangers);
    let (first, loaded) = signed?;
    let tally = loaded.tally(bench.queue.take());
    let strangers = Strangers { due: requests.len(), tally, took: loaded.took(), first };
    server.stop().await?;
    Ok(strangers)
}

/// Returns requests of which each tenth is large.
fn mixed(caller: &mut Caller, count: usize) -> anyhow::Result<Vec<Request>> {
    let mut requests = caller.ordinary(count - count / 10)?;
    for (number, large) in caller.large(count / 10, &filler(LARGE_BYTES))?.into_iter().enumerate() {
        requests.insert(number * 10, large);
    }
    Ok(requests)
}

/// Sends these bytes over a connection, leaves it open, and opens another one when the server closes it.
async fn occupy(address: &str, bytes: &[u8], connected: &Cell<usize>, is_over: &Cell<bool>) {
    while !is_over.get() {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            connected.set(connected.get() + 1);
            stream.write_all(bytes).await.ok();
            let mut answer = [0; 1_024];
            let closed = async { while matches!(stream.read(&mut answer).await, Ok(1..)) {} };
            tokio::select! {
                () = closed => {}
                () = ended(is_over) => return,
            }
        }
        sleep(PAUSE).await;
    }
}

async fn ended(is_over: &Cell<bool>) {
    while !is_over.get() {
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenth_request_is_large() -> anyhow::Result<()> {
        let requests = mixed(&mut Caller::new()?, 40)?;
        let is_large = |request: &Request| request.parts().concat().len() > LARGE_BYTES;
        let large: Vec<_> = (0..requests.len()).filter(|it| is_large(&requests[*it])).collect();
        assert_eq!((requests.len(), large), (40, vec![0, 10, 20, 30]));
        Ok(())
    }
}
