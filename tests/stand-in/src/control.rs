//! The control API under `/_stand-in/`. Its requests are not recorded and have no faults.

use hyper::StatusCode;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::conversations::Participant;
use crate::fault::Fault;
use crate::received::Received;
use crate::state::{Latency, Shared};

/// Handles a request. `path` is the path after `/_stand-in/`.
pub(crate) fn answer(request: &Received, path: &str, shared: &Shared) -> Answer {
    match (request.method.as_str(), path) {
        ("GET", "health") => done(),
        ("GET", "calls") => Answer::json(StatusCode::OK, shared.lock().calls.recorded()),
        ("DELETE", "calls") => {
            shared.lock().calls.clear();
            done()
        }
        ("POST", "faults") => or_bad_request(add_faults(&request.body, shared)),
        ("DELETE", "faults") => {
            shared.lock().faults.clear();
            done()
        }
        ("POST", "tokens/revoke") => {
            shared.lock().genesys.tokens.revoke_all();
            done()
        }
        ("PUT", "latency") => or_bad_request(put_latency(&request.body, shared)),
        (method, path) => match (method, path.split_once('/')) {
            ("PUT", Some(("conversations", id))) => {
                or_bad_request(put_participants(id, &request.body, shared))
            }
            ("PUT", Some(("subscriptions", id))) => {
                or_bad_request(put_subscription(id, &request.body, shared))
            }
            ("DELETE", Some(("subscriptions", id))) => {
                shared.lock().genesys.subscriptions.remove(decoded(id));
                done()
            }
            _ => unknown(),
        },
    }
}

fn add_faults(body: &[u8], shared: &Shared) -> Result<(), String> {
    let rules: Value = parse(body)?;
    let faults: Vec<Fault> = if rules.is_array() {
        serde_json::from_value(rules)
    } else {
        serde_json::from_value(rules).map(|rule| vec![rule])
    }
    .map_err(|error| error.to_string())?;
    // All or none, because a part of a list of rules would be confusing.
    faults.iter().try_for_each(Fault::check)?;
    let mut state = shared.lock();
    for fault in faults {
        state.faults.add(fault);
    }
    Ok(())
}

fn put_latency(body: &[u8], shared: &Shared) -> Result<(), String> {
    let latency: Latency = parse(body)?;
    shared.lock().latency = latency;
    Ok(())
}

fn put_participants(id: &str, body: &[u8], shared: &Shared) -> Result<(), String> {
    let participants: Vec<Participant> = parse(body)?;
    let mut state = shared.lock();
    state.genesys.conversations.put(decoded(id), participants);
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscription {
    status: String,
}

fn put_subscription(id: &str, body: &[u8], shared: &Shared) -> Result<(), String> {
    let Subscription { status } = parse(body)?;
    shared.lock().genesys.subscriptions.put(decoded(id), status);
    Ok(())
}

fn decoded(id: &str) -> String {
    percent_decode_str(id).decode_utf8_lossy().into_owned()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn or_bad_request(result: Result<(), String>) -> Answer {
    match result {
        Ok(()) => done(),
        Err(reason) => Answer::json(StatusCode::BAD_REQUEST, &json!({"error": reason})),
    }
}

fn done() -> Answer {
    Answer::json(StatusCode::OK, &json!({}))
}

fn unknown() -> Answer {
    Answer::json(StatusCode::NOT_FOUND, &json!({"error": "no such control"}))
}
