//! Evaluates the conditions of a statement for a call of a service.

use serde_json::Value;
use wildmatch::WildMatch;

use super::{CallSource, Match, ServiceCall, listed};

/// The value of a condition key in a call.
enum KeyValue<'a> {
    Is(&'a str),
    /// The call has the key, or does not have it. Its value is not known here.
    Unknown,
}

/// Returns true if all conditions match.
pub(super) fn matches(condition: &Value, call: &ServiceCall<'_>) -> Match {
    match condition {
        Value::Null => Match::Yes,
        Value::Object(operators) => Match::all(operators.iter().flat_map(|(operator, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(move |(key, values)| one(operator, key, values, call))
        })),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Match::Unknown("Condition".to_owned())
        }
    }
}

/// Evaluates one key. Each key of our call has one value, so `ForAnyValue:` is the operator without it.
fn one(operator: &str, key: &str, values: &Value, call: &ServiceCall<'_>) -> Match {
    let unknown = || Match::Unknown(format!("the condition {operator} {key}"));
    let KeyValue::Is(actual) = value(key, call) else {
        return unknown();
    };
    let operator = operator.trim_end_matches("IfExists");
    let operator = operator.trim_start_matches("ForAnyValue:").trim_start_matches("ForAllValues:");
    let compare = |is_match: &dyn Fn(&str) -> Option<bool>| {
        Match::any(listed(values).into_iter().map(|value| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return unknown(),
            };
            let is_match =
                Some(text.as_str()).filter(|text| !text.contains("${")).and_then(is_match);
            is_match.map_or_else(unknown, Match::of)
        }))
    };
    let equals = |text: &str| Some(text == actual);
    let equals_ignoring_case = |text: &str| Some(text.eq_ignore_ascii_case(actual));
    let like = |text: &str| Some(WildMatch::new(text).matches(actual));
    let arn_like = |text: &str| arn_like(text, actual);
    match operator {
        "StringEquals" => compare(&equals),
        "StringNotEquals" => compare(&equals).not(),
        "StringEqualsIgnoreCase" | "Bool" => compare(&equals_ignoring_case),
        "StringNotEqualsIgnoreCase" => compare(&equals_ignoring_case).not(),
        "StringLike" => compare(&like),
        "StringNotLike" => compare(&like).not(),
        "ArnLike" | "ArnEquals" => compare(&arn_like),
        "ArnNotLike" | "ArnNotEquals" => compare(&arn_like).not(),
        // The key is there.
        "Null" => compare(&|text| Some(text.eq_ignore_ascii_case("false"))),
        _ => unknown(),
    }
}

/// Returns the value of a key. Names of keys are compared without case.
fn value<'a>(key: &str, call: &ServiceCall<'a>) -> KeyValue<'a> {
    match (key.to_lowercase().as_str(), call.source) {
        ("aws:sourcearn", CallSource::Known { arn, .. }) => KeyValue::Is(arn),
        ("aws:sourceaccount", CallSource::Known { account, .. }) => KeyValue::Is(account),
        ("aws:securetransport" | "aws:principalisawsservice", _) => KeyValue::Is("true"),
        ("aws:principalservicename", _) => KeyValue::Is(call.service),
        _ => KeyValue::Unknown,
    }
}

/// Compares an ARN with a pattern, part by part, as `ArnLike` and `ArnEquals` do. Returns `None` for a pattern without
/// the six parts of an ARN.
fn arn_like(pattern: &str, arn: &str) -> Option<bool> {
    let parts = |text: &str| text.splitn(6, ':').map(str::to_owned).collect::<Vec<_>>();
    let (patterns, parts) = (parts(pattern), parts(arn));
    if patterns.len() != 6 || parts.len() != 6 {
        return None;
    }
    let mut pairs = patterns.iter().zip(&parts);
    Some(pairs.all(|(pattern, part)| WildMatch::new(pattern).matches(part)))
}
