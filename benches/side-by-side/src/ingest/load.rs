//! Requests over persistent connections, at fixed times or as fast as possible.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures_util::future::{join_all, try_join_all};
use tokio::time::{sleep_until, timeout};

use super::queue::Sent;
use super::request::Request;
use super::tally::{Outcome, Tally};
use crate::connection::{Answer, Connection};
use crate::stats::Sample;

/// The times of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Requests per second at fixed times. The latency counts from the due time, also when a request waits for earlier ones
    /// (coordinated omission).
    Rate(u32),
    /// As soon as a connection is free.
    AtOnce,
}

impl Pace {
    /// Returns the due time of a request after the start. `None`: as soon as possible.
    fn due(self, index: usize) -> Option<Duration> {
        match self {
            Self::Rate(rate) => {
                let index = u64::try_from(index).unwrap_or(u64::MAX);
                let nanos = index.saturating_mul(1_000_000_000) / u64::from(rate.max(1));
                Some(Duration::from_nanos(nanos))
            }
            Self::AtOnce => None,
        }
    }
}

/// The parameters of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) pace: Pace,
    pub(crate) connections: usize,
    /// The maximum time of a response.
    pub(crate) time_limit: Duration,
}

/// The results of a load.
#[derive(Debug)]
pub(crate) struct Loaded<'r> {
    done: Vec<Done<'r>>,
    /// From the first request to the last response.
    pub(crate) elapsed: Duration,
}

#[derive(Debug)]
struct Done<'r> {
    request: &'r Request,
    outcome: Outcome,
    /// From the due time to the send.
    late: Option<Duration>,
    /// From the due time to the response.
    took: Duration,
}

impl Loaded<'_> {
    pub(crate) fn tally(&self, sent: Sent) -> Tally {
        let ended = self.done.iter().map(|done| (done.request, &done.outcome));
        Tally::of(ended, sent)
    }

    /// Returns the latencies of all requests from their due times.
    pub(crate) fn took(&self) -> Sample {
        self.done.iter().map(|done| done.took).collect()
    }

    /// Returns the delays of the sends: the timer of the generator and the wait for a connection.
    pub(crate) fn late(&self) -> Sample {
        self.done.iter().filter_map(|done| done.late).collect()
    }
}

struct Load<'l, 'r> {
    address: &'l str,
    requests: &'r [Request],
    plan: Plan,
    started: Instant,
    next: Cell<usize>,
    is_over: &'l Cell<bool>,
}

/// Sends all requests, or only those before `is_over`.
///
/// # Errors
/// The server accepts no connections.
pub(crate) async fn run<'r>(
    address: &str,
    requests: &'r [Request],
    plan: Plan,
    is_over: &Cell<bool>,
) -> anyhow::Result<Loaded<'r>> {
    let connections = plan.connections.min(requests.len());
    let connections = try_join_all((0..connections).map(|_| Connection::open(address))).await?;
    let load =
        Load { address, requests, plan, started: Instant::now(), next: Cell::new(0), is_over };
    let senders = connections.into_iter().map(|connection| load.send(connection));
    let done = join_all(senders).await;
    Ok(Loaded { done: done.into_iter().flatten().collect(), elapsed: load.started.elapsed() })
}

impl<'r> Load<'_, 'r> {
    /// Sends the due requests over one connection until none is left.
    async fn send(&self, connection: Connection) -> Vec<Done<'r>> {
        let mut connection = Some(connection);
        let mut done = Vec::new();
        loop {
            let index = self.next.replace(self.next.get() + 1);
            let Some(request) = self.requests.get(index) else {
                return done;
            };
            let due = self.plan.pace.due(index).map(|due| self.started + due);
            if let Some(due) = due {
                sleep_until(due.into()).await;
            }
            if self.is_over.get() {
                return done;
            }
            let sent = Instant::now();
            let answer = self.exchange(&mut connection, request).await;
            let ended = Instant::now();
            done.push(Done {
                request,
                outcome: Outcome::of(request, answer),
                late: due.map(|due| sent - due),
                took: ended - due.unwrap_or(sent),
            });
        }
    }

    /// Sends one request. A closed connection is replaced.
    async fn exchange(
        &self,
        kept: &mut Option<Connection>,
        request: &Request,
    ) -> anyhow::Result<Answer> {
        let exchanging = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(self.address).await?,
            };
            let answer = connection.exchange(&request.parts()).await?;
            if connection.can_go_on(&answer) {
                *kept = Some(connection);
            }
            Ok(answer)
        };
        let time_limit = self.plan.time_limit;
        match timeout(time_limit, exchanging).await {
            Ok(answer) => answer,
            Err(_) => Err(anyhow!("no answer after {} s", time_limit.as_secs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::Full;
    use hyper::Response;
    use hyper::header::{CONNECTION, HeaderValue};

    use super::*;
    use crate::http::Server;
    use crate::ingest::queue::message_id;
    use crate::ingest::request::{Caller, Route, digest};

    const PLAN: Plan =
        Plan { pace: Pace::AtOnce, connections: 4, time_limit: Duration::from_secs(30) };

    #[test]
    fn requests_are_due_at_fixed_times() {
        let due = |index| Pace::Rate(2_000).due(index);
        assert_eq!(due(0), Some(Duration::ZERO));
        assert_eq!(due(1), Some(Duration::from_micros(500)));
        assert_eq!(due(59_999), Some(Duration::from_micros(29_999_500)));
        assert_eq!(Pace::Rate(3).due(3), Some(Duration::from_secs(1)));
        assert_eq!(Pace::AtOnce.due(7), None);
    }

    /// Starts a server that accepts every request and closes the connection of some.
    async fn server(
        ends: impl Fn(usize) -> bool + Copy + Send + Sync + 'static,
    ) -> std::io::Result<Server> {
        let count = Arc::new(AtomicUsize::new(0));
        Server::start(move |asked| {
            let id = message_id(&digest(&asked.body));
            let body = format!(r#"{{"status":"accepted","attempt":3,"messageId":"{id}"}}"#);
            let mut answer = Response::new(Full::new(body.into()));
            if ends(count.fetch_add(1, Ordering::Relaxed)) {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            async { answer }
        })
        .await
    }

    fn sent(requests: &[Request]) -> Sent {
        let keys = requests.iter().map(|it| (it.digest, Some(it.route)));
        keys.map(|key| (key, 1)).collect()
    }

    #[tokio::test]
    async fn requests_are_sent_once_when_connections_close() -> anyhow::Result<()> {
        let server = server(|number| number % 5 == 0).await?;
        let address = server.address.to_string();
        let requests = Caller::new()?.ordinary(100)?;

        for pace in [Pace::AtOnce, Pace::Rate(10_000)] {
            let plan = Plan { pace, ..PLAN };
            let loaded = run(&address, &requests, plan, &Cell::new(false)).await?;
            let tally = loaded.tally(sent(&requests));
            assert_eq!((tally.accepted, tally.fault()), (100, None));
            assert_eq!(loaded.took().len(), 100);
            let last_due = pace.due(99).unwrap_or_default();
            assert!(loaded.elapsed >= last_due);
        }
        Ok(())
    }

    #[tokio::test]
    async fn request_without_a_response_is_wrong() -> anyhow::Result<()> {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = silent.local_addr()?.to_string();
        let requests = Caller::new()?.ordinary(2)?;
        let plan = Plan { time_limit: Duration::from_millis(10), ..PLAN };
        let loaded = run(&address, &requests, plan, &Cell::new(false)).await?;
        assert_eq!(loaded.tally(Sent::new()).wrong, 2);
        Ok(())
    }

    #[tokio::test]
    async fn large_body_is_sent_while_waiting_for_the_response() -> anyhow::Result<()> {
        let server = server(|_| false).await?;
        let address = server.address.to_string();
        let filler = crate::ingest::request::filler(3_000_000);
        let requests = Caller::new()?.large(2, &filler)?;
        assert_eq!(requests[0].route, Route::DeadLetter);
        let loaded = run(&address, &requests, PLAN, &Cell::new(false)).await?;
        assert_eq!(loaded.tally(sent(&requests)).fault(), None);
        Ok(())
    }

    #[tokio::test]
    async fn load_sends_nothing_after_its_end() -> anyhow::Result<()> {
        let server = server(|_| false).await?;
        let address = server.address.to_string();
        let requests = Caller::new()?.ordinary(10)?;
        let loaded = run(&address, &requests, PLAN, &Cell::new(true)).await?;
        assert_eq!(loaded.took().len(), 0);
        Ok(())
    }
}
