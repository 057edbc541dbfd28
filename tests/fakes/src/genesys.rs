//! A Genesys Cloud in memory, in either form of its API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genesys_replay::dead_letter::{InteractionId, InteractionRef};
use genesys_replay::genesys::{ApiForm, Genesys, GenesysError, Interaction, RetryMark};

use crate::faults::pass;
use crate::{Faults, NoFaults, lock};

/// A Genesys Cloud whose clones share their interactions.
#[derive(Clone)]
pub struct MemoryGenesys {
    form: ApiForm,
    state: Arc<Mutex<State>>,
    faults: Arc<dyn Faults<GenesysError>>,
}

#[derive(Default)]
struct State {
    conversations: BTreeMap<String, Vec<Participant>>,
    marks: Vec<(Interaction, RetryMark)>,
    /// The delay of replays that begin; `None` without a rate limit.
    throttled_for: Option<Duration>,
}

struct Participant {
    id: InteractionId,
    purpose: String,
}

impl Default for MemoryGenesys {
    fn default() -> Self {
        Self { form: ApiForm::Conversations, state: Arc::default(), faults: Arc::new(NoFaults) }
    }
}

impl MemoryGenesys {
    /// Returns one with this form of the API. The default form has conversations.
    #[must_use]
    pub fn with_form(form: ApiForm) -> Self {
        Self { form, ..Self::default() }
    }

    /// Returns the same Genesys Cloud with these faults.
    #[must_use]
    pub fn with_faults(&self, faults: Arc<dyn Faults<GenesysError>>) -> Self {
        Self { faults, ..self.clone() }
    }

    /// Creates a conversation with these participants, as `(id, purpose)`. A participant whose id cannot
    /// be a URL segment is left out.
    pub fn put_participants(&self, conversation: &str, participants: &[(&str, &str)]) {
        let participants = participants.iter().filter_map(|&(id, purpose)| {
            Some(Participant { id: InteractionId::new(id)?, purpose: purpose.to_owned() })
        });
        let participants = participants.collect();
        let mut state = lock(&self.state);
        state.conversations.insert(conversation.to_owned(), participants);
    }

    /// Sets the delay of replays that begin, as if the rate limit were reached.
    pub fn throttle_for(&self, delay: Option<Duration>) {
        lock(&self.state).throttled_for = delay;
    }

    /// Returns every mark in order.
    #[must_use]
    pub fn marks(&self) -> Vec<(Interaction, RetryMark)> {
        lock(&self.state).marks.clone()
    }
}

impl State {
    fn find(&self, form: ApiForm, wanted: &InteractionRef) -> Result<Interaction, GenesysError> {
        let participants = self.conversations.get(wanted.id.as_str());
        let participants = participants.ok_or(GenesysError::NotFound)?;
        if form == ApiForm::Interactions {
            let id = wanted.id.clone();
            return Ok(Interaction::Record { id });
        }
        let named = |it: &&Participant| wanted.participant.as_deref() == Some(it.id.as_str());
        let customer = |it: &&Participant| matches!(&*it.purpose, "customer" | "external");
        let marked = participants
            .iter()
            .find(named)
            .or_else(|| participants.iter().find(customer))
            .or_else(|| participants.first());
        Ok(Interaction::Conversation {
            id: wanted.id.clone(),
            participant: marked.ok_or(GenesysError::NotFound)?.id.clone(),
        })
    }

    fn has(&self, form: ApiForm, interaction: &Interaction) -> bool {
        match (form, interaction) {
            (ApiForm::Conversations, Interaction::Conversation { id, participant }) => self
                .conversations
                .get(id.as_str())
                .is_some_and(|all| all.iter().any(|it| it.id == *participant)),
            (ApiForm::Interactions, Interaction::Record { id }) => {
                self.conversations.contains_key(id.as_str())
            }
            // The other form of the API.
            (ApiForm::Conversations, Interaction::Record { .. })
            | (ApiForm::Interactions, Interaction::Conversation { .. }) => false,
        }
    }
}

impl Genesys for MemoryGenesys {
    async fn reserve_replay(&self, _: Duration) -> Result<(), Duration> {
        lock(&self.state).throttled_for.map_or(Ok(()), Err)
    }

    fn calls_per_minute(&self) -> u32 {
        300
    }

    async fn fetch(&self, interaction: &InteractionRef) -> Result<Interaction, GenesysError> {
        pass(&*self.faults, "fetch", || lock(&self.state).find(self.form, interaction)).await
    }

    async fn mark(&self, interaction: &Interaction, mark: RetryMark) -> Result<(), GenesysError> {
        pass(&*self.faults, "mark", || {
            let mut state = lock(&self.state);
            if !state.has(self.form, interaction) {
                return Err(GenesysError::NotFound);
            }
            state.marks.push((interaction.clone(), mark));
            Ok(())
        })
        .await
    }
}
