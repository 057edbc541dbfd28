//! The calls of deliveries to an API destination: its descriptions are read once for all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::candidate::Candidate;
use crate::function::Function;
use crate::goals::Goal;
use crate::http::{ReceivedRequest, Server};
use crate::measure::Bench;
use crate::upstreams::Latency;

const ARN: &str = "arn:aws:events:eu-central-1:271828182845:api-destination/crm/5b6c";
const CONNECTION: &str = "arn:aws:events:eu-central-1:271828182845:connection/crm/77";

const RECORDS: usize = 10;
const BATCHES: usize = 10;

/// The calls that read descriptions, by name.
type DescribeCalls = BTreeMap<String, usize>;

/// Delivers batches to an API destination. Returns the goal for the number of calls that read its description.
///
/// # Errors
/// The process does not start or ends, or an event is not delivered.
pub(crate) async fn run(bench: &mut Bench<'_>, candidate: &Candidate) -> anyhow::Result<Goal> {
    bench.upstreams.set_latency(Latency { upstream: Duration::ZERO, table: Duration::ZERO });
    let calls = Arc::<Mutex<DescribeCalls>>::default();
    let (counted, endpoint) = (Arc::clone(&calls), bench.upstreams.target_url());
    let aws = Server::start(move |asked| {
        let answer = describe(&asked, &endpoint, &counted);
        async move { Response::new(Full::new(Bytes::from(answer.to_string()))) }
    })
    .await?;
    let mut variables = bench.upstreams.variables(RECORDS);
    let url = format!("http://{}", aws.address);
    variables.extend(
        [
            ("REPLAY_TARGET", ARN.to_owned()),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", url.clone()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let mut function = Function::start(candidate, &variables, &bench.log(candidate)).await?;
    let mut delivered = 0;
    for _ in 0..BATCHES {
        let messages = bench.source.batch(RECORDS);
        let payload = candidate.payload(&messages, bench.upstreams);
        function.invoke(payload).await.with_context(|| bench.hint(candidate))?;
        delivered += bench.upstreams.take_seen().calls.delivery;
    }
    function.stop().await?;
    anyhow::ensure!(delivered == (RECORDS * BATCHES) as u64, "{delivered} deliveries");
    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    let shown: Vec<String> = calls.iter().map(|(name, count)| format!("{count} {name}")).collect();
    Ok(Goal {
        what: "descriptions for 100 deliveries to an API destination",
        limit: "3 calls".to_owned(),
        measured: shown.join(", "),
        is_reached: calls.len() == 3 && calls.values().all(|count| *count == 1),
    })
}

/// Answers and counts a call about the API destination.
fn describe(asked: &ReceivedRequest, endpoint: &str, calls: &Mutex<DescribeCalls>) -> Value {
    let target = asked.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let name = target.and_then(|target| target.split('.').next_back()).unwrap_or_default();
    let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    *calls.entry(name.to_owned()).or_default() += 1;
    match name {
        "DescribeApiDestination" => json!({
            "ApiDestinationArn": ARN, "ConnectionArn": CONNECTION, "HttpMethod": "POST",
            "InvocationEndpoint": endpoint, "InvocationRateLimitPerSecond": 100_000,
        }),
        "DescribeConnection" => json!({
            "ConnectionArn": CONNECTION, "AuthorizationType": "API_KEY", "SecretArn": "secret",
        }),
        _ => json!({ "SecretString": r#"{"api_key_name":"X-Api-Key","api_key_value":"key"}"# }),
    }
}
