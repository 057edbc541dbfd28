//! Conversations and their participants' attributes.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// Conversations by id. An unchanged conversation exists without being stored.
#[derive(Default)]
pub(crate) struct Conversations(HashMap<String, Vec<Participant>>);

/// A participant in the format of the API.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Participant {
    id: String,
    purpose: String,
    #[serde(skip_deserializing)]
    attributes: BTreeMap<String, String>,
}

/// The response to `GET /api/v2/conversations/{id}`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conversation {
    id: String,
    start_time: &'static str,
    participants: Vec<Participant>,
}

/// The conversation has no such participant.
pub(crate) struct UnknownParticipant;

impl Participant {
    pub(crate) fn new(id: impl Into<String>, purpose: impl Into<String>) -> Self {
        Self { id: id.into(), purpose: purpose.into(), attributes: BTreeMap::new() }
    }
}

impl Conversations {
    pub(crate) fn put(&mut self, id: String, participants: Vec<Participant>) {
        self.0.insert(id, participants);
    }

    pub(crate) fn get(&self, id: String) -> Conversation {
        let stored = self.0.get(&id).cloned();
        Conversation {
            participants: stored.unwrap_or_else(|| everyday(&id)),
            start_time: "2024-01-15T10:30:00.000Z",
            id,
        }
    }

    /// Adds `attributes` to a participant and replaces equal names.
    pub(crate) fn patch(
        &mut self,
        id: &str,
        participant: &str,
        attributes: BTreeMap<String, String>,
    ) -> Result<(), UnknownParticipant> {
        let participants = self.0.entry(id.to_owned()).or_insert_with(|| everyday(id));
        let mut matching = participants.iter_mut().filter(|stored| stored.id == participant);
        let participant = matching.next().ok_or(UnknownParticipant)?;
        participant.attributes.extend(attributes);
        Ok(())
    }

    /// Returns the participant's attributes. Empty for an unknown one.
    pub(crate) fn attributes(&self, id: &str, participant: &str) -> BTreeMap<String, String> {
        let participants = self.0.get(id).into_iter().flatten();
        let mut matching = participants.filter(|stored| stored.id == participant);
        matching.next().map(|stored| stored.attributes.clone()).unwrap_or_default()
    }
}

/// Returns the default participants of a conversation.
fn everyday(id: &str) -> Vec<Participant> {
    ["agent", "customer"].map(|purpose| Participant::new(format!("{id}-{purpose}"), purpose)).into()
}
