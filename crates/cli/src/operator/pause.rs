//! Pauses and resumes the draining of a queue: disables and enables the event source mapping, and records the reason.

use std::collections::HashMap;
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use tokio::time::Instant;

use crate::deployment::source_mapping::{MappingClient, MappingState, SourceMapping};

/// The maximum length of the value of a tag, in characters.
const MAX_TAG_CHARS: usize = 256;

/// The time between two readings of the state. Lambda needs some 20 to 50 s for a change.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

const CHANGE_TAG: &str = "genesys-replay:change";
const REASON_TAG: &str = "genesys-replay:reason";
const BY_TAG: &str = "genesys-replay:by";
const AT_TAG: &str = "genesys-replay:at";

/// A change of the draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainChange {
    Pause,
    Resume,
}

impl DrainChange {
    /// Returns the word for the change in tags and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
        }
    }

    /// Returns the state of the mapping after the change.
    pub const fn wanted(self) -> MappingState {
        match self {
            Self::Pause => MappingState::Disabled,
            Self::Resume => MappingState::Enabled,
        }
    }

    /// Returns true if the change is not needed in this state of the mapping.
    pub const fn is_made(self, state: MappingState) -> bool {
        match (self, state) {
            (Self::Pause, MappingState::Disabling | MappingState::Disabled)
            | (Self::Resume, MappingState::Enabling | MappingState::Enabled) => true,
            (
                Self::Pause,
                MappingState::Creating
                | MappingState::Enabling
                | MappingState::Enabled
                | MappingState::Updating
                | MappingState::Deleting
                | MappingState::Unknown,
            )
            | (
                Self::Resume,
                MappingState::Creating
                | MappingState::Disabling
                | MappingState::Disabled
                | MappingState::Updating
                | MappingState::Deleting
                | MappingState::Unknown,
            ) => false,
        }
    }
}

/// The record of the last change of the draining by this program, kept in tags of the event source mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeNote {
    pub change: DrainChange,
    /// Empty without a reason.
    pub reason: String,
    pub by: String,
    pub at: Option<Timestamp>,
}

impl ChangeNote {
    /// Returns the note with the characters and the length that tags allow.
    pub fn new(change: DrainChange, reason: &str, by: &str, at: Timestamp) -> Self {
        Self { change, reason: tag_value(reason), by: tag_value(by), at: Some(at) }
    }

    /// Returns the note in these tags; `None` if they have no note of a known change.
    pub fn of_tags(tags: &HashMap<String, String>) -> Option<Self> {
        let tag = |name: &str| tags.get(name).cloned().unwrap_or_default();
        let named = tag(CHANGE_TAG);
        let change = [DrainChange::Pause, DrainChange::Resume]
            .into_iter()
            .find(|it| it.as_str() == named)?;
        let at = Timestamp::parse(&tag(AT_TAG));
        Some(Self { change, reason: tag(REASON_TAG), by: tag(BY_TAG), at })
    }

    fn tags(&self) -> HashMap<String, String> {
        let at = self.at.map(|at| at.to_string()).unwrap_or_default();
        [
            (CHANGE_TAG, self.change.as_str().to_owned()),
            // Also if it is empty, because the reason of an earlier change must not stay.
            (REASON_TAG, self.reason.clone()),
            (BY_TAG, self.by.clone()),
            (AT_TAG, at),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Returns a text with the characters of a tag's value: letters, digits, spaces and `_.:/=+-@`. Each run of other
/// characters becomes a space.
fn tag_value(text: &str) -> String {
    let is_allowed = |c: char| c.is_alphanumeric() || "_.:/=+-@".contains(c);
    let words = text.split(|c| !is_allowed(c)).filter(|word| !word.is_empty());
    let value: String = words.collect::<Vec<_>>().join(" ").chars().take(MAX_TAG_CHARS).collect();
    value.trim_end().to_owned()
}

/// The result of a change.
#[derive(Debug)]
pub struct Changed {
    /// The last state that Lambda reported.
    pub state: MappingState,
    /// The error of recording the note. The change itself was made.
    pub unrecorded: Option<AwsError>,
    /// The error of waiting for the state. The change itself was made.
    pub unobserved: Option<AwsError>,
}

/// Makes the change that the note describes, records the note, and waits until the mapping has the state, at most
/// `within`.
///
/// # Errors
/// [`AwsError`] if the mapping was not changed.
pub async fn change(
    client: &MappingClient,
    mapping: &SourceMapping,
    note: &ChangeNote,
    within: Duration,
) -> Result<Changed, AwsError> {
    let until = Instant::now() + within;
    if mapping.state.is_changing() {
        // Lambda refuses a change while another one is under way.
        reach(client, mapping, until, |state| !state.is_changing()).await?;
    }
    let wanted = note.change.wanted();
    let begun = client.set_enabled(mapping, wanted == MappingState::Enabled).await?;
    // After the change, because a stop must not wait for its record.
    let unrecorded = client.add_tags(mapping, note.tags()).await.err();
    if begun == wanted {
        return Ok(Changed { state: begun, unrecorded, unobserved: None });
    }
    let (state, unobserved) = match reach(client, mapping, until, |state| state == wanted).await {
        Ok(state) => (state, None),
        Err(error) => (begun, Some(error)),
    };
    Ok(Changed { state, unrecorded, unobserved })
}

/// Reads the state until it is as wanted, or the time is over. Returns the last state.
async fn reach(
    client: &MappingClient,
    mapping: &SourceMapping,
    until: Instant,
    is_wanted: impl Fn(MappingState) -> bool,
) -> Result<MappingState, AwsError> {
    loop {
        let state = client.state(mapping).await?;
        if is_wanted(state) || Instant::now() >= until {
            return Ok(state);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_785_000_000_000);

    #[test]
    fn note_is_the_same_after_its_way_through_tags() {
        for (change, reason) in [(DrainChange::Pause, "CRM outage"), (DrainChange::Resume, "")] {
            let note = ChangeNote::new(change, reason, "marta", AT);
            assert_eq!(ChangeNote::of_tags(&note.tags()).as_ref(), Some(&note));
        }
        assert_eq!(ChangeNote::of_tags(&HashMap::new()), None);
        let foreign = [(CHANGE_TAG.to_owned(), "stopped".to_owned())];
        assert_eq!(ChangeNote::of_tags(&foreign.into()), None);
    }

    #[test]
    fn note_has_only_characters_that_tags_allow() {
        for (text, expected) in [
            ("CRM outage", "CRM outage"),
            (
                "CRM's down (INC-7), see https://x.example/7?a=b",
                "CRM s down INC-7 see https://x.example/7 a=b",
            ),
            ("Zoë: 語\n\u{1b}[2J", "Zoë: 語 2J"),
            ("  !?  ", ""),
        ] {
            assert_eq!(tag_value(text), expected);
        }
        assert_eq!(tag_value(&"x".repeat(300)).len(), MAX_TAG_CHARS);
    }

    #[test]
    fn change_is_not_needed_when_the_mapping_has_its_state() {
        for (change, state, is_made) in [
            (DrainChange::Pause, MappingState::Disabled, true),
            (DrainChange::Pause, MappingState::Disabling, true),
            (DrainChange::Pause, MappingState::Enabled, false),
            (DrainChange::Resume, MappingState::Enabling, true),
            (DrainChange::Resume, MappingState::Enabled, true),
            (DrainChange::Resume, MappingState::Disabling, false),
            (DrainChange::Resume, MappingState::Updating, false),
        ] {
            assert_eq!(change.is_made(state), is_made, "{change:?} {state:?}");
        }
    }
}
