//! The rules of an event bus that may match the events of this function.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::RuleState;
use genesys_replay::aws::AwsError;
use serde_json::Value;

use super::list_rules;

/// The source of the events that this function sends to a bus.
const SOURCE: &str = "genesys-replay";

/// Returns true if an enabled rule of the bus may match. A bus without one accepts events and does nothing.
pub(in crate::deployment) async fn may_match(client: &Client, bus: &str) -> Result<bool, AwsError> {
    let rules = list_rules(client, bus).await?;
    Ok(rules.iter().any(|rule| {
        let is_enabled = !matches!(rule.state(), Some(RuleState::Disabled));
        is_enabled && rule.event_pattern().is_some_and(takes)
    }))
}

/// Returns true if a pattern may match an event of our source. Returns false only if the pattern lists other literal
/// sources.
fn takes(pattern: &str) -> bool {
    let pattern: Value = serde_json::from_str(pattern).unwrap_or_default();
    let Some(sources) = pattern["source"].as_array() else {
        return true;
    };
    sources.iter().any(|source| match source {
        Value::String(source) => source == SOURCE,
        // A prefix, a suffix or a wildcard, which is not evaluated here.
        Value::Object(_) => true,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_takes_our_source_unless_it_lists_others() {
        for (pattern, expected) in [
            (r#"{"source":["genesys-replay"]}"#, true),
            (r#"{"source":["other","genesys-replay"]}"#, true),
            (r#"{"source":[{"prefix":"genesys"}]}"#, true),
            (r#"{"detail-type":["t"]}"#, true),
            (r#"{"source":["aws.partner/genesys.com/x"]}"#, false),
            (r#"{"source":[]}"#, false),
        ] {
            assert_eq!(takes(pattern), expected, "{pattern}");
        }
    }
}
