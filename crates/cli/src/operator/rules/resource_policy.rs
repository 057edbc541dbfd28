//! Evaluates the policy of a resource for a call of an AWS service. Statements that cannot be evaluated are named, not
//! guessed.

mod conditions;

use serde_json::{Value, json};
use wildmatch::WildMatch;

/// A call that a service makes on a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServiceCall<'a> {
    /// The service principal, such as `events.amazonaws.com`.
    pub(super) service: &'a str,
    /// The action, such as `sqs:SendMessage`.
    pub(super) action: &'a str,
    /// The ARN of the resource.
    pub(super) resource: &'a str,
    pub(super) source: CallSource<'a>,
}

/// The resource for which a service makes a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum CallSource<'a> {
    /// The service sends its ARN and its account as `aws:SourceArn` and `aws:SourceAccount`.
    Known { arn: &'a str, account: &'a str },
    /// It is not documented that the service sends a source.
    Unknown,
}

/// The answer of a policy to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    /// No statement admits the call.
    Refused {
        reason: String,
    },
    /// A statement denies the call, so that another statement cannot admit it.
    Denied {
        reason: String,
    },
    /// A statement may admit the call, but it cannot be evaluated. Another statement can admit the call for certain.
    MaybeRefused {
        reason: String,
    },
    /// A statement may deny the call, but it cannot be evaluated.
    MaybeDenied {
        reason: String,
    },
}

/// A result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    /// The element that cannot be evaluated.
    Unknown(String),
}

impl Match {
    fn of(is_match: bool) -> Self {
        if is_match { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            unknown @ Self::Unknown(_) => unknown,
        }
    }

    /// Returns true only if all match. One that does not match decides, even if others are unknown.
    fn all(matches: impl IntoIterator<Item = Self>) -> Self {
        matches.into_iter().fold(Self::Yes, |all, one| match (all, one) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (unknown @ Self::Unknown(_), _) | (Self::Yes, unknown @ Self::Unknown(_)) => unknown,
            (Self::Yes, Self::Yes) => Self::Yes,
        })
    }

    /// Returns true if at least one matches. One that matches decides, even if others are unknown.
    fn any(matches: impl IntoIterator<Item = Self>) -> Self {
        matches.into_iter().map(Self::not).fold(Self::Yes, |all, one| Self::all([all, one])).not()
    }
}

/// Returns the answer of a policy to a call. A resource without a policy admits no service.
pub(super) fn admission(policy: Option<&str>, call: &ServiceCall<'_>) -> Admission {
    let Some(text) = policy.filter(|text| !text.trim().is_empty()) else {
        return Admission::Refused { reason: "there is no policy".to_owned() };
    };
    let Ok(policy @ Value::Object(_)) = serde_json::from_str::<Value>(text) else {
        return Admission::MaybeDenied { reason: "the policy is not a JSON object".to_owned() };
    };
    let (mut maybe_denied, mut maybe_admitted, mut is_admitted) = (None, None, false);
    // The first statement that is for this service and action, but not for this resource or source.
    let mut nearest = None;
    for (index, statement) in listed(&policy["Statement"]).into_iter().enumerate() {
        let name = name(statement, index);
        let is_deny = match statement["Effect"].as_str() {
            Some("Allow") => false,
            Some("Deny") => true,
            _ => {
                let reason = format!("{name} has neither the effect Allow nor Deny");
                maybe_denied = maybe_denied.or(Some(reason));
                continue;
            }
        };
        match (applies(statement, call), is_deny) {
            (Match::Yes, true) => return Admission::Denied { reason: format!("{name} denies it") },
            (Match::Yes, false) => is_admitted = true,
            (Match::Unknown(what), true) => {
                maybe_denied =
                    maybe_denied.or(Some(format!("{name} denies it, if {what} matches")));
            }
            (Match::Unknown(what), false) => {
                let reason = format!("{name} admits it only if {what} matches");
                maybe_admitted = maybe_admitted.or(Some(reason));
            }
            (Match::No, false) if is_for(statement, call) == Match::Yes => {
                nearest =
                    nearest.or(Some(format!("{name} admits another resource or source only")));
            }
            (Match::No, _) => {}
        }
    }
    if let Some(reason) = maybe_denied {
        return Admission::MaybeDenied { reason };
    }
    if is_admitted {
        return Admission::Admitted;
    }
    if let Some(reason) = maybe_admitted {
        return Admission::MaybeRefused { reason };
    }
    let nothing = || format!("no statement admits {} for {}", call.action, call.service);
    Admission::Refused { reason: nearest.unwrap_or_else(nothing) }
}

/// Returns the policy with this statement, in place of one with the same `Sid`. Keeps all other statements.
///
/// # Errors
/// The policy is not a JSON object. The caller must not replace it.
pub(super) fn with_statement(
    policy: Option<&str>,
    statement: &Value,
) -> Result<Value, serde_json::Error> {
    let mut policy = parsed(policy)?;
    let mut statements = listed(&policy["Statement"]);
    statements.retain(|other| other["Sid"] != statement["Sid"]);
    statements.push(statement);
    policy["Statement"] = Value::Array(statements.into_iter().cloned().collect());
    Ok(policy)
}

/// Returns the statement with this `Sid`.
pub(super) fn own_statement(policy: &Value, sid: &str) -> Option<Value> {
    listed(&policy["Statement"]).into_iter().find(|it| it["Sid"] == sid).cloned()
}

/// Returns the policy as JSON; an empty policy without a policy.
pub(super) fn parsed(policy: Option<&str>) -> Result<Value, serde_json::Error> {
    match policy.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => serde_json::from_str(text).map(Value::Object),
        None => Ok(json!({ "Version": "2012-10-17" })),
    }
}

/// Returns the name of a statement in sentences.
fn name(statement: &Value, index: usize) -> String {
    match statement["Sid"].as_str() {
        Some(sid) => format!("the statement {sid}"),
        None => format!("statement {}", index + 1),
    }
}

fn applies(statement: &Value, call: &ServiceCall<'_>) -> Match {
    let resource = match (&statement["Resource"], &statement["NotResource"]) {
        (Value::Null, _) => Match::Unknown("NotResource".to_owned()),
        (resource, Value::Null) => pattern_match(resource, call.resource, "Resource"),
        (_, _) => Match::Unknown("Resource beside NotResource".to_owned()),
    };
    let condition = conditions::matches(&statement["Condition"], call);
    Match::all([is_for(statement, call), resource, condition])
}

/// Returns true if principal and action of a statement are those of the call.
fn is_for(statement: &Value, call: &ServiceCall<'_>) -> Match {
    let action = match (&statement["Action"], &statement["NotAction"]) {
        (Value::Null, _) => Match::Unknown("NotAction".to_owned()),
        (action, Value::Null) => {
            // Actions are compared without case.
            let is_match = |pattern: &str| {
                WildMatch::new(&pattern.to_lowercase()).matches(&call.action.to_lowercase())
            };
            text_match(action, "Action", is_match)
        }
        (_, _) => Match::Unknown("Action beside NotAction".to_owned()),
    };
    let principal = match (&statement["Principal"], &statement["NotPrincipal"]) {
        (Value::Null, _) => Match::Unknown("NotPrincipal".to_owned()),
        (principal, Value::Null) => principal_match(principal, call.service),
        (_, _) => Match::Unknown("Principal beside NotPrincipal".to_owned()),
    };
    Match::all([action, principal])
}

/// `*` and `{"AWS": "*"}` are everyone, also a service.
fn principal_match(principal: &Value, service: &str) -> Match {
    match principal {
        Value::String(text) => Match::of(text == "*"),
        Value::Object(kinds) => Match::any(kinds.iter().map(|(kind, names)| match kind.as_str() {
            "AWS" => text_match(names, "Principal", |name| name == "*"),
            "Service" => text_match(names, "Principal", |name| name == service),
            _ => Match::No,
        })),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Match::Unknown("Principal".to_owned())
        }
    }
}

/// Compares a text with patterns, in which `*` stands for any text and `?` for one character.
fn pattern_match(patterns: &Value, text: &str, element: &str) -> Match {
    text_match(patterns, element, |pattern| WildMatch::new(pattern).matches(text))
}

fn text_match(values: &Value, element: &str, is_match: impl Fn(&str) -> bool) -> Match {
    Match::any(listed(values).into_iter().map(|value| match value.as_str() {
        // A policy variable stands for a text that only AWS has.
        Some(text) if text.contains("${") => Match::Unknown(format!("{element} {text}")),
        Some(text) => Match::of(is_match(text)),
        None => Match::Unknown(element.to_owned()),
    }))
}

/// Returns the values of an element. IAM accepts one value in place of a list.
pub(super) fn listed(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value],
    }
}

#[cfg(test)]
mod tests;
