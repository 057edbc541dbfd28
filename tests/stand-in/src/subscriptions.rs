//! Event subscriptions in both forms of the API: event streams and integrations.

use std::collections::HashMap;

use serde_json::{Value, json};

const ACTIVE: &str = "ACTIVE";

/// Subscriptions by id. A subscription without a stored status is active.
#[derive(Default)]
pub(crate) struct Subscriptions(HashMap<String, StoredSubscription>);

enum StoredSubscription {
    /// A subscription with this status.
    Status(String),
    /// A subscription that does not exist.
    Absent,
}

impl Subscriptions {
    pub(crate) fn put(&mut self, id: String, status: String) {
        self.0.insert(id, StoredSubscription::Status(status));
    }

    pub(crate) fn remove(&mut self, id: String) {
        self.0.insert(id, StoredSubscription::Absent);
    }

    /// Returns the response to `GET /api/v2/eventstreams/subscriptions/{id}`. `None`: it does not exist.
    pub(crate) fn subscription(&self, id: &str) -> Option<Value> {
        let status = self.status(id)?;
        Some(json!({"id": id, "name": name(id), "status": status}))
    }

    /// Returns the response to `GET /api/v2/integrations/{id}`. `None`: it does not exist.
    pub(crate) fn integration(&self, id: &str) -> Option<Value> {
        let status = self.status(id)?;
        let is_wanted = !matches!(status, "INACTIVE" | "DEACTIVATING");
        Some(json!({
            "id": id,
            "name": name(id),
            "integrationType": {
                "id": "amazon-eventbridge-source",
                "selfUri": "/api/v2/integrations/types/amazon-eventbridge-source",
            },
            "intendedState": if is_wanted { "ENABLED" } else { "DISABLED" },
            "reportedState": {
                "code": status,
                "effective": status.to_ascii_lowercase(),
                "detail": {
                    "localizableMessageCode": format!("integration.status.{}", status.to_ascii_lowercase()),
                    "message": format!("The integration is {}.", status.to_ascii_lowercase()),
                },
                "lastUpdated": "2024-01-15T10:30:00.000Z",
            },
            "selfUri": format!("/api/v2/integrations/{id}"),
        }))
    }

    fn status(&self, id: &str) -> Option<&str> {
        match self.0.get(id) {
            None => Some(ACTIVE),
            Some(StoredSubscription::Status(status)) => Some(status),
            Some(StoredSubscription::Absent) => None,
        }
    }
}

fn name(id: &str) -> String {
    format!("Events of {id}")
}
