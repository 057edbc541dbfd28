//! The real program, stopped between batches as Lambda freezes an environment, and upstreams that end its connections
//! meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use genesys_replay_lambda::app::MAX_QUIET_TIME;
use genesys_stand_in::{StandIn, Table};
use genesys_test_support::{
    ConnectionFault, Function, Invocation, Record, TcpProxy, TestResult, event,
};
use serde_json::{Value, json};
use tokio::time::sleep;

const ROUNDS: usize = 200;

/// The events of a batch. Several are in flight at once, so that the pools have several connections.
const EVENTS: usize = 4;

const LAMBDA: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";

/// The upstreams of one function, each behind a proxy.
struct Upstreams {
    genesys: StandIn,
    genesys_proxy: TcpProxy,
    target_proxy: TcpProxy,
    /// The ledger. The local AWS was rejected, because it answers too slowly for so many rounds.
    _table: Table,
    table_proxy: TcpProxy,
}

impl Upstreams {
    async fn start() -> Result<Self, Box<dyn Error>> {
        // Some rounds begin with a token request. The rate limiter must not delay calls.
        let genesys = StandIn::builder().expires_in(Duration::from_secs(10)).rate_limit(1_000_000);
        let genesys = genesys.start().await?;
        let table = Table::start("EventId").await?;
        Ok(Self {
            genesys_proxy: TcpProxy::start(&genesys.url()).await?,
            target_proxy: TcpProxy::start(&genesys.url()).await?,
            table_proxy: TcpProxy::start(&table.url()).await?,
            genesys,
            _table: table,
        })
    }

    /// Starts the program. Lambda's API is the stand-in's target with the same name.
    async fn function(&self, target: &str) -> Result<Function, Box<dyn Error>> {
        let url = self.genesys_proxy.url();
        let settings: BTreeMap<String, String> = [
            ("GENESYS_API_BASE_URL", url.as_str()),
            ("GENESYS_LOGIN_BASE_URL", &url),
            ("GENESYS_CLIENT_ID", "demo-client"),
            ("GENESYS_CLIENT_SECRET", "demo-secret"),
            ("REPLAY_TARGET", target),
            ("AWS_ENDPOINT_URL_LAMBDA", &format!("{}/targets/lambda", self.target_proxy.url())),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        Function::start_at(crate::REPLAY, &settings, &self.table_proxy.url()).await
    }

    /// Fails the open connections of every upstream. Returns the least number of connections of one upstream.
    async fn fail(&self, fault: ConnectionFault) -> usize {
        let mut failed = usize::MAX;
        for proxy in [&self.genesys_proxy, &self.target_proxy, &self.table_proxy] {
            failed = failed.min(proxy.fail_open_connections(fault).await);
        }
        failed
    }

    /// Returns the keys of the events that the target received.
    fn delivered(&self) -> Vec<String> {
        let calls = self.genesys.calls_to("POST", "/targets/").into_iter();
        let id =
            |body: &str| Some(serde_json::from_str::<Value>(body).ok()?["id"].as_str()?.to_owned());
        calls.filter_map(|call| id(&call.body)).collect()
    }
}

fn batch(round: usize) -> (Value, BTreeSet<String>) {
    let ids: BTreeSet<String> = (0..EVENTS).map(|number| format!("e-{round}-{number}")).collect();
    let record = |id: &String| Record::dead_letter(&format!("m-{id}"), id, &format!("c-{id}"));
    (event(&ids.iter().map(record).collect::<Vec<_>>()), ids)
}

/// Replays batches with a frozen environment between them, in which every open connection fails.
async fn survives(target: impl Fn(&Upstreams) -> String, fault: ConnectionFault) -> TestResult {
    let upstreams = Upstreams::start().await?;
    let mut function = upstreams.function(&target(&upstreams)).await?;
    let mut rounds_with_faults = 0;
    for round in 0..ROUNDS {
        let (batch, ids) = batch(round);
        let answer = function.invoke(batch).await?;
        let nothing_returned = json!({ "batchItemFailures": [] });
        assert!(
            matches!(&answer, Invocation::Response(answer) if *answer == nothing_returned),
            "{fault:?}, round {round}: {answer:?}: {:?}",
            function.end().await?.stdout
        );
        let delivered = upstreams.delivered();
        assert_eq!(delivered.len(), EVENTS, "{fault:?}, round {round}: {delivered:?}");
        assert_eq!(delivered.into_iter().collect::<BTreeSet<_>>(), ids, "{fault:?}, round {round}");
        upstreams.genesys.clear_calls();
        function.freeze().await?;
        rounds_with_faults += usize::from(upstreams.fail(fault).await > 0);
        // The last request ended before the stop, so the pools are too old by now.
        sleep(MAX_QUIET_TIME).await;
        function.thaw()?;
    }
    // On a slow machine, connections may have been closed because they were idle for long.
    assert!(rounds_with_faults > ROUNDS / 2, "{fault:?}: {rounds_with_faults} rounds with faults");
    let lines = function.end().await?.lines()?;
    let of = |message: &'static str| lines.iter().filter(move |line| line["message"] == message);
    assert_eq!(of("dead letter handled").count(), ROUNDS * EVENTS);
    for line in of("dead letter handled") {
        assert_eq!(line["possible_duplicate"], false, "{fault:?}: {line}");
    }
    let metrics: Vec<_> =
        lines.iter().filter(|line| !line["PossibleDuplicates"].is_null()).collect();
    assert_eq!(metrics.len(), ROUNDS);
    for line in metrics {
        assert_eq!(line["PossibleDuplicates"], 0, "{fault:?}: {line}");
    }
    Ok(())
}

/// Replays to an HTTP target and, in another function, to Lambda.
async fn survives_with_every_client(fault: ConnectionFault) -> TestResult {
    let http = |upstreams: &Upstreams| format!("{}/targets/crm", upstreams.target_proxy.url());
    let lambda = |_: &Upstreams| LAMBDA.to_owned();
    let (http, lambda) = tokio::join!(survives(http, fault), survives(lambda, fault));
    http.and(lambda)
}

#[tokio::test]
async fn events_are_delivered_once_when_idle_connections_closed() -> TestResult {
    survives_with_every_client(ConnectionFault::Closed).await
}

#[tokio::test]
async fn events_are_delivered_once_when_idle_connections_reset() -> TestResult {
    survives_with_every_client(ConnectionFault::Reset).await
}

#[tokio::test]
async fn events_are_delivered_once_when_idle_connections_are_silent() -> TestResult {
    survives_with_every_client(ConnectionFault::Silent).await
}
