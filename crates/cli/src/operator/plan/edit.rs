//! A new plan that changes bodies before they are sent.

use std::collections::{BTreeMap, BTreeSet};

use genesys_replay::destination::ReplayTarget;
use genesys_replay::digest;
use genesys_replay::message::Message;
use genesys_replay_version::PROGRAM;
use serde_json::Value;
use serde_json::value::RawValue;
use similar::TextDiff;

use super::{Edit, Exclusions, Plan, PlanContent, PlanItem};
use crate::operator::classified_message::ClassifiedMessage;

/// A JSON Patch (RFC 6902) for the bodies of messages.
#[derive(Clone, Debug)]
pub struct Editing {
    patch: json_patch::Patch,
    text: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub body: String,
    /// The difference, as a unified diff of both bodies with sorted members.
    pub diff: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("not a JSON Patch (RFC 6902): {0}")]
    Patch(String),
    #[error("the body is not JSON")]
    NotJson,
    /// A number of the body would change when the body is written again.
    #[error("the number {0} in the body would change when the body is written again")]
    Number(String),
    #[error("the patch does not fit: {0}")]
    DoesNotFit(String),
    #[error("the patch does not change the body")]
    Nothing,
    /// The patch changes the event's id or target, or the body would not be an event any more.
    #[error("the patch changes the event's id or target")]
    Identity,
}

impl EditError {
    /// Returns the reason without the details of one body, so that equal reasons are counted together.
    fn kind(&self) -> String {
        match self {
            Self::Number(_) => "a number in the body would change".to_owned(),
            Self::Patch(_)
            | Self::NotJson
            | Self::DoesNotFit(_)
            | Self::Nothing
            | Self::Identity => self.to_string(),
        }
    }

    /// Returns true if only this body is at fault. Another body may fit the patch.
    pub const fn is_unfit(&self) -> bool {
        match self {
            Self::NotJson | Self::Number(_) | Self::DoesNotFit(_) | Self::Nothing => true,
            Self::Patch(_) | Self::Identity => false,
        }
    }
}

pub type Edits = Vec<(usize, Edit)>;

/// The items that a patch does not fit, by index.
pub type Unfit = Vec<(usize, EditError)>;

impl Editing {
    pub fn read(patch: &[u8]) -> Result<Self, EditError> {
        Self::of(serde_json::from_slice(patch).map_err(|error| not_a_patch(&error))?)
    }

    /// Returns the editing for a patch from a plan.
    pub fn of(text: Value) -> Result<Self, EditError> {
        let patch = serde_json::from_value(text.clone()).map_err(|error| not_a_patch(&error))?;
        Ok(Self { patch, text })
    }

    /// Returns the changed body.
    ///
    /// # Errors
    /// [`EditError`] if the body cannot be changed. A partial change is never returned.
    pub fn change(&self, body: &str) -> Result<Change, EditError> {
        let before: Value = serde_json::from_str(body).map_err(|_| EditError::NotJson)?;
        if let Some(number) = fragile_number(body) {
            return Err(EditError::Number(number));
        }
        let mut after = before.clone();
        // Rejected: `json_patch::patch`, which undoes half a patch on failure. That is not needed for a copy, and
        // panics for some patches.
        json_patch::patch_unsafe(&mut after, &self.patch)
            .map_err(|error| EditError::DoesNotFit(error.to_string()))?;
        if after == before {
            return Err(EditError::Nothing);
        }
        let pretty = |value: &Value| format!("{value:#}\n");
        let (old, new) = (pretty(&before), pretty(&after));
        let diff = TextDiff::from_lines(&old, &new);
        Ok(Change {
            body: after.to_string(),
            diff: diff.unified_diff().context_radius(2).to_string(),
        })
    }

    /// Changes the message of an item, as a function with this target would read it. `before` is the change that the
    /// plan already contains.
    ///
    /// # Errors
    /// [`EditError`] if the message cannot be changed.
    pub fn edit(
        &self,
        message: &Message,
        before: Option<&Edit>,
        target: &ReplayTarget,
    ) -> Result<(Edit, Change), EditError> {
        let change = self.change(&message.body)?;
        let mut edited = message.clone();
        edited.body.clone_from(&change.body);
        let (old, new) =
            (ClassifiedMessage::of(message, target), ClassifiedMessage::of(&edited, target));
        if old.key != new.key || new.event().is_none() {
            return Err(EditError::Identity);
        }
        let steps = |patch: &Value| patch.as_array().cloned().unwrap_or_default();
        let mut patch = before.map_or_else(Vec::new, |before| steps(&before.patch));
        patch.extend(steps(&self.text));
        let edit = Edit { patch: patch.into(), body_sha256: digest::hexadecimal(&change.body) };
        Ok((edit, change))
    }
}

fn not_a_patch(error: &serde_json::Error) -> EditError {
    EditError::Patch(error.to_string())
}

impl Plan {
    /// Returns a new plan with these changes, without the items that the patch does not fit. The other items stay
    /// unchanged.
    #[must_use]
    pub fn edited(
        &self,
        edits: Edits,
        unfit: &Unfit,
        now: String,
        by: String,
        reason: String,
    ) -> Self {
        let mut items: Vec<PlanItem> = self.content.items.clone();
        for (index, edit) in edits {
            if let Some(item) = items.get_mut(index) {
                item.edit = Some(edit);
            }
        }
        let mut left_out = self.content.left_out.clone();
        let mut exclusions = Exclusions::default();
        for (index, error) in unfit {
            if let Some(item) = self.content.items.get(*index) {
                exclusions.add(format!("the edit: {}", error.kind()), item.event_id());
            }
        }
        left_out.extend(exclusions.0.into_values());
        let is_unfit: BTreeSet<usize> = unfit.iter().map(|(index, _)| *index).collect();
        let items = items.into_iter().enumerate();
        let items = items.filter(|(index, _)| !is_unfit.contains(index)).map(|(_, item)| item);
        let items = items.collect();
        Self::of(PlanContent {
            left_out,
            created_at: now,
            created_by: by,
            written_by: Some(PROGRAM.to_owned()),
            reason,
            edit_of: Some(self.id.clone()),
            items,
            ..self.content.clone()
        })
    }
}

/// Returns the first number that would change when it is read and written again.
fn fragile_number(json: &str) -> Option<String> {
    match json.trim_start().bytes().next()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
            members.values().find_map(|value| fragile_number(value.get()))
        }
        b'[' => {
            let values: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            values.iter().find_map(|value| fragile_number(value.get()))
        }
        b'-' | b'0'..=b'9' => Some(json.trim().to_owned()).filter(|number| !stays(number)),
        _ => None,
    }
}

/// Returns true if a number keeps its value: an integer of 64 bits, or a number whose digits a double holds.
fn stays(number: &str) -> bool {
    if !number.contains(['.', 'e', 'E']) {
        return number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    }
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    let (exact, read) = (number.parse::<f64>(), serde_json::from_str::<f64>(number));
    let is_zero = |value: f64| value.abs() < f64::MIN_POSITIVE;
    significant.len() <= 15
        && matches!((exact, read), (Ok(exact), Ok(read))
            if exact.to_bits() == read.to_bits() && is_zero(exact) == significant.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(patch: &str, body: &str) -> Result<Change, EditError> {
        Editing::read(patch.as_bytes())?.change(body)
    }

    #[test]
    fn edit_changes_the_body_and_returns_the_difference() {
        let patch = r#"[{"op":"replace","path":"/detail/eventBody/wrapUpCode","value":"done"}]"#;
        let body = r#"{"id":"e-1","detail":{"eventBody":{"wrapUpCode":"dnoe","count":1.50}}}"#;
        let Ok(changed) = change(patch, body) else { unreachable!("the patch fits") };
        let expected = r#"{"detail":{"eventBody":{"count":1.5,"wrapUpCode":"done"}},"id":"e-1"}"#;
        assert_eq!(changed.body, expected);
        let lines = "-      \"wrapUpCode\": \"dnoe\"\n+      \"wrapUpCode\": \"done\"";
        assert!(changed.diff.contains(lines), "{}", changed.diff);
    }

    #[test]
    fn edit_is_refused_when_the_body_cannot_be_changed() {
        let replace = r#"[{"op":"replace","path":"/a","value":2}]"#;
        let circle =
            r#"[{"op":"move","from":"/a/b","path":"/a"},{"op":"move","from":"/a","path":"/a/b"}]"#;
        for (patch, body, error) in [
            ("{", "{}", "not a JSON Patch"),
            (r#"{"a":1}"#, "{}", "not a JSON Patch"),
            (replace, "not json", "not JSON"),
            (replace, r#"{"b":1}"#, "does not fit"),
            (replace, r#"{"a":2}"#, "does not change"),
            (circle, r#"{"a":{"b":[1]}}"#, "does not fit"),
        ] {
            let refused = change(patch, body).map_err(|it| it.to_string());
            assert!(refused.as_ref().is_err_and(|it| it.contains(error)), "{refused:?}: {error}");
        }
        for number in
            ["123456789012345678901234", "31.245270191439438", "12345678901234567.89", "1e-400"]
        {
            let body = format!(r#"{{"a":1,"n":[{{"m": {number} }}]}}"#);
            let refused = change(replace, &body).map(|it| it.body);
            assert_eq!(refused, Err(EditError::Number(number.to_owned())));
        }
    }

    #[test]
    fn edit_is_accepted_when_all_numbers_keep_their_value() {
        for body in [
            r#"{"id":"123456789012345678901234","say":"\"99999999999999999999999\\"}"#,
            r#"{"max":18446744073709551615,"min":-9223372036854775808,"e":1e22,"f":0.1,"g":-31.24500,"z":0.0}"#,
        ] {
            assert_eq!(fragile_number(body), None, "{body}");
        }
    }
}
