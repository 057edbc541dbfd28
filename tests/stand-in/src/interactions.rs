//! Interaction records of the legacy sample API, which the real API does not have.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// Interactions by id. An unchanged interaction exists without being stored.
#[derive(Default)]
pub(crate) struct Interactions(HashMap<String, Value>);

impl Interactions {
    pub(crate) fn get(&self, id: &str) -> Value {
        self.0.get(id).cloned().unwrap_or_else(|| everyday(id))
    }

    /// Applies a JSON merge patch (RFC 7396) and returns the record.
    pub(crate) fn patch(&mut self, id: &str, patch: &Map<String, Value>) -> Value {
        let record = self.0.entry(id.to_owned()).or_insert_with(|| everyday(id));
        merge(record, patch);
        record.clone()
    }
}

fn merge(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, change) in patch {
        match change {
            Value::Null => {
                target.remove(name);
            }
            Value::Object(inner) => merge(target.entry(name).or_insert(Value::Null), inner),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                target.insert(name.clone(), change.clone());
            }
        }
    }
}

/// Returns the record of an unchanged interaction.
fn everyday(id: &str) -> Value {
    json!({
        "id": id,
        "type": "voice",
        "state": "completed",
        "attributes": {"system": {"retryAttempt": 0, "retryStatus": "none"}},
        "participants": [],
        "createdTime": "2024-01-15T10:30:00.000Z",
        "updatedTime": "2024-01-15T10:35:00.000Z",
    })
}
