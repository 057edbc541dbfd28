//! A `DynamoDB` table for the benchmark. One claim of the ledger takes less than 20 µs here, with HTTP. The emulator
//! dynoxide-rs 3.2.0 takes 70 to 125 µs in memory, which would distort the measurement.

mod expression;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::CONTENT_TYPE;
use hyper::{Response, StatusCode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::answer::{Answer, AnswerBody};
use crate::received::Received;
use crate::server::{self, pause};
use expression::Expression;

/// A running stand-in for one `DynamoDB` table. Dropping it closes its port and its connections.
///
/// It serves `GetItem`, `PutItem`, `UpdateItem` and `DeleteItem` for any table name and any signature. Attributes
/// are of type S, N (compared and added as f64) or BOOL, and expressions address whole attributes. It refuses unknown
/// features by their name.
#[must_use]
pub struct Table {
    url: String,
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
}

/// The state of all connections. Its lock is never held across an await.
#[derive(Default)]
struct State {
    partition_key: String,
    items: BTreeMap<String, Item>,
    calls: BTreeMap<String, u64>,
    latency: Duration,
}

type Item = BTreeMap<String, Attribute>;

/// An attribute value. A number is stored as its text.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Attribute {
    S(String),
    N(String),
    Bool(bool),
}

/// The members of all operations. Every other member is an error.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
struct Request<'r> {
    _table_name: IgnoredAny,
    key: Item,
    item: Item,
    _consistent_read: IgnoredAny,
    condition_expression: &'r str,
    update_expression: &'r str,
    #[serde(borrow)]
    expression_attribute_names: BTreeMap<&'r str, &'r str>,
    #[serde(borrow)]
    expression_attribute_values: BTreeMap<&'r str, Attribute>,
    return_values: Returned,
    return_values_on_condition_check_failure: Returned,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Returned {
    #[default]
    None,
    AllOld,
    AllNew,
}

impl Table {
    /// Starts an empty table with the string partition key `partition_key`, on a free port of 127.0.0.1 and on the current
    /// tokio runtime, which needs I/O and time enabled.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub async fn start(partition_key: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::<Mutex<State>>::default();
        partition_key.clone_into(&mut lock(&state).partition_key);
        let shared = Arc::clone(&state);
        let respond = move |request| respond(request, Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(server::serve(listener, respond));
        Ok(Self { url, state, _server: server })
    }

    /// Returns the endpoint URL, without a trailing slash: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Sets the latency of each request: zero by default. Tokio's timers round it up to milliseconds.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.state).latency = latency;
    }

    /// Returns all items in `DynamoDB` JSON, in order of their keys.
    #[must_use]
    pub fn items(&self) -> Vec<Map<String, Value>> {
        let items = serde_json::to_value(lock(&self.state).items.values().collect::<Vec<_>>());
        items.and_then(serde_json::from_value).unwrap_or_default()
    }

    /// Deletes all items. Counts and latency remain.
    pub fn clear(&self) {
        lock(&self.state).items.clear();
    }

    /// Resets all counts.
    pub fn clear_calls(&self) {
        lock(&self.state).calls.clear();
    }

    /// Returns the number of requests per operation since the last reset, with refused ones.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        lock(&self.state).calls.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn respond(request: Received, state: Arc<Mutex<State>>) -> io::Result<Response<AnswerBody>> {
    let target = request.headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok()?.strip_prefix("DynamoDB_20120810."));
    let operation = target.unwrap_or_default();
    *lock(&state).calls.entry(operation.to_owned()).or_default() += 1;
    let latency = lock(&state).latency;
    pause(latency).await;
    let request = serde_json::from_slice(&request.body);
    let request = request.map_err(|error| invalid(format_args!("{operation}: {error}")));
    let result = request.and_then(|request| lock(&state).carry_out(operation, request));
    let refused = |refusal| answer(StatusCode::BAD_REQUEST, &refusal);
    Ok(result.unwrap_or_else(refused).whole())
}

impl State {
    /// Applies a request atomically. The error is the body of the refusal.
    fn carry_out(&mut self, name: &str, mut request: Request<'_>) -> Result<Answer, Value> {
        let key = match name {
            "PutItem" => std::mem::take(&mut request.item),
            "GetItem" | "UpdateItem" | "DeleteItem" => std::mem::take(&mut request.key),
            _ => return Err(refusal("UnknownOperationException", name)),
        };
        let Some(Attribute::S(id)) = key.get(&self.partition_key).cloned() else {
            let problem = format_args!("the key {} must be a string", self.partition_key);
            return Err(invalid(problem));
        };
        let stored = self.items.get(&id);
        let condition = request.condition_expression;
        if !condition.is_empty() && !Expression::new(condition, &request, stored).holds()? {
            let problem = "The conditional request failed";
            let mut refusal = refusal("ConditionalCheckFailedException", problem);
            let shown = request.return_values_on_condition_check_failure == Returned::AllOld;
            if let Some(item) = stored.filter(|_| shown) {
                refusal["Item"] = json!(item);
            }
            return Err(refusal);
        }
        let new = match name {
            "GetItem" => return Ok(done("Item", stored)),
            "PutItem" => Some(key),
            "DeleteItem" => None,
            _ => {
                let update = Expression::new(request.update_expression, &request, stored);
                Some(update.apply(stored.cloned().unwrap_or(key))?)
            }
        };
        let shown = match request.return_values {
            Returned::None => None,
            Returned::AllOld => stored,
            Returned::AllNew => new.as_ref(),
        };
        let answer = done("Attributes", shown);
        match new {
            Some(item) => self.items.insert(id, item),
            None => self.items.remove(&id),
        };
        Ok(answer)
    }
}

fn done(member: &str, item: Option<&Item>) -> Answer {
    let body = BTreeMap::from_iter(item.map(|item| (member, item)));
    answer(StatusCode::OK, &body)
}

fn answer(status: StatusCode, body: &impl Serialize) -> Answer {
    Answer::json(status, body).with_header(CONTENT_TYPE, "application/x-amz-json-1.0")
}

/// Returns the refusal of an invalid request.
fn invalid(problem: impl Display) -> Value {
    refusal("ValidationException", problem)
}

fn refusal(name: &str, problem: impl Display) -> Value {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{name}");
    json!({"__type": kind, "message": problem.to_string()})
}
