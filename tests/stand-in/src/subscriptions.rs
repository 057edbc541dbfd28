//! Event subscriptions, as the two parts of the API show them: those of event streams, and integrations.

use std::collections::HashMap;

use serde_json::{Value, json};

const ACTIVE: &str = "ACTIVE";

/// What is known of subscriptions by id; one that nobody described exists and is active.
#[derive(Default)]
pub(crate) struct Subscriptions(HashMap<String, Known>);

enum Known {
    /// It has this status.
    Status(String),
    /// There is none with this id.
    Absent,
}

impl Subscriptions {
    pub(crate) fn put(&mut self, id: String, status: String) {
        self.0.insert(id, Known::Status(status));
    }

    pub(crate) fn remove(&mut self, id: String) {
        self.0.insert(id, Known::Absent);
    }

    /// The answer to `GET /api/v2/eventstreams/subscriptions/{id}`; `None` if there is no such subscription.
    pub(crate) fn subscription(&self, id: &str) -> Option<Value> {
        let status = self.status(id)?;
        Some(json!({"id": id, "name": name(id), "status": status}))
    }

    /// The answer to `GET /api/v2/integrations/{id}`; `None` if there is no such integration.
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
            Some(Known::Status(status)) => Some(status),
            Some(Known::Absent) => None,
        }
    }
}

fn name(id: &str) -> String {
    format!("Events of {id}")
}
