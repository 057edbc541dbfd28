//! The parameter `ReplayEnabled`: whether the event source mapping is enabled.

use serde_json::json;

use crate::TestResult;
use crate::conditions::Parameters;
use crate::document::Template;

const EXISTING: (&str, &str) =
    ("DeadLetterQueueArn", "arn:aws:sqs:eu-central-1:123456789012:dead-letters");

#[test]
fn existing_queue_is_not_drained_before_replay_enabled_is_true() -> TestResult {
    let template = Template::read()?;
    assert_eq!(template.parameter("ReplayEnabled", "Default"), "auto");
    assert_eq!(
        template.parameter("ReplayEnabled", "AllowedValues"),
        &json!(["auto", "true", "false"])
    );
    let enabled = template.event_source("Enabled");
    for (given, expected) in [
        (vec![], true),
        (vec![EXISTING], false),
        (vec![("ReplayEnabled", "auto")], true),
        (vec![("ReplayEnabled", "auto"), EXISTING], false),
        (vec![("ReplayEnabled", "true")], true),
        (vec![("ReplayEnabled", "true"), EXISTING], true),
        (vec![("ReplayEnabled", "false")], false),
        (vec![("ReplayEnabled", "false"), EXISTING], false),
    ] {
        let chosen = template.chosen(enabled, &Parameters::new(&given))?;
        assert_eq!(chosen, expected, "{given:?}");
    }
    Ok(())
}
