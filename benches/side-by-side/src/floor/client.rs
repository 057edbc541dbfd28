//! The floor's process.

use std::cell::Cell;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;

use super::script::{self, Host, Request};
use crate::connection::{Answer, Connection};

const RUNTIME: &str = "/2018-06-01/runtime/invocation";

/// Receives and handles batches until it is killed.
pub(crate) async fn run() -> anyhow::Result<()> {
    let runtime = variable("AWS_LAMBDA_RUNTIME_API")?;
    let mut runtime = Connection::open(&runtime).await?;
    let mut lanes = Vec::new();
    for _ in 0..variable("MAX_CONCURRENCY")?.parse()? {
        lanes.push(Lane::default());
    }
    let mut is_first = true;
    loop {
        let next = format!("GET {RUNTIME}/next HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let event = exchange(&mut runtime, next.as_bytes()).await?;
        let batch = script::read(&event.body).context("not a script")?;
        let (before, records) = batch.split_first().context("the script is empty")?;
        if is_first {
            // A process fetches a token once.
            let lane = lanes.first_mut().context("MAX_CONCURRENCY is 0")?;
            lane.send(before).await?;
        }
        is_first = false;
        let next_record = Cell::new(0);
        try_join_all(lanes.iter_mut().map(async |lane| {
            while let Some(record) = records.get(next_record.replace(next_record.get() + 1)) {
                lane.send(record).await?;
            }
            anyhow::Ok(())
        }))
        .await?;
        let id = event.header("lambda-runtime-aws-request-id").context("an event without an id")?;
        let answer = r#"{"batchItemFailures":[]}"#;
        let length = answer.len();
        let done = format!(
            "POST {RUNTIME}/{id}/response HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{answer}"
        );
        exchange(&mut runtime, done.as_bytes()).await?;
    }
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| name.to_owned())
}

/// The connections of one sequence of records.
#[derive(Default)]
struct Lane {
    upstream: Option<Connection>,
    table: Option<Connection>,
}

impl Lane {
    async fn send(&mut self, requests: &[Request<'_>]) -> anyhow::Result<()> {
        for (host, request) in requests {
            let (connection, name) = match host {
                Host::Upstream => (&mut self.upstream, "GENESYS_API_BASE_URL"),
                Host::Table => (&mut self.table, "AWS_ENDPOINT_URL_DYNAMODB"),
            };
            if connection.is_none() {
                let url = variable(name)?;
                let address = url.strip_prefix("http://");
                let address = address.context("an http URL is needed")?;
                *connection = Some(Connection::open(address).await?);
            }
            let connection = connection.as_mut().context("just opened")?;
            exchange(connection, request).await?;
        }
        Ok(())
    }
}

/// Sends a request and reads its response, which has to be a success.
async fn exchange(connection: &mut Connection, request: &[u8]) -> anyhow::Result<Answer> {
    let answer = connection.exchange(&[request]).await?;
    ensure!(
        (200..300).contains(&answer.status),
        "{answer:?}: {}",
        String::from_utf8_lossy(&answer.body)
    );
    Ok(answer)
}
