//! The alarms: metrics, thresholds and notifications.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::TestResult;
use crate::code::{self, Metric};
use crate::conditions::Parameters;
use crate::document::{INGEST, REPLAY, Template, parking_queue_name, queue_name};

const KIND: &str = "AWS::CloudWatch::Alarm";

/// The alarms and their metrics, for each kind of endpoint.
const WATCHED: [(&str, &str); 22] = [
    ("ArchivedAlarm", "GivenUp"),
    ("ExpiringAlarm", "Expiring"),
    ("FunctionErrorsAlarm", "Errors"),
    ("GenesysThrottledAlarm", "GenesysThrottled"),
    ("InFlightNearLimitAlarm", "InFlightNearLimit"),
    ("IngestErrorsAlarm", "Errors"),
    ("IngestRefusedAlarm", "Refused"),
    ("IngestRefusedByAwsAlarm", "4xx"),
    ("IngestRefusedByAwsAlarm", "Url4xxCount"),
    ("IngestThrottledAlarm", "Throttles"),
    ("IngestUnauthenticatedAlarm", "Unauthenticated"),
    ("IngestUnavailableAlarm", "Unavailable"),
    ("LostDeadLettersAlarm", "InvocationsFailedToBeSentToDlq"),
    ("LostEventsAlarm", "FailedInvocations"),
    ("OldestMessageAlarm", "ApproximateAgeOfOldestMessage"),
    ("OperatorAlarm", "NeedsOperator"),
    ("ParkingQueueAlarm", "ApproximateNumberOfMessagesVisible"),
    ("PartnerSilentAlarm", "Events"),
    ("RecursionAlarm", "RecursiveInvocationsDropped"),
    ("TokenThrottledAlarm", "TokensThrottled"),
    ("UnaccountedAlarm", "Unaccounted"),
    ("UpstreamAlarm", "BreakersOpened"),
];

impl Template {
    fn number(&self, alarm: &str, property: &str) -> Result<u64, String> {
        let query = self.property(alarm, "Metrics/0");
        let value = match self.property(alarm, property) {
            Value::Null if property == "Period" => &query[property],
            Value::Object(reference) => match reference.get("Ref").and_then(Value::as_str) {
                Some(parameter) => self.parameter(parameter, "MaxValue"),
                None => &Value::Null,
            },
            value @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)) => value,
        };
        value.as_u64().ok_or_else(|| format!("{alarm}: {property} is {value}"))
    }

    /// Returns the evaluation range of an alarm, in seconds.
    fn evaluation_seconds(&self, alarm: &str) -> Result<u64, String> {
        Ok(self.number(alarm, "Period")? * self.number(alarm, "EvaluationPeriods")?)
    }

    /// Returns the number of breaching periods of an alarm.
    fn needed(&self, alarm: &str) -> Result<u64, String> {
        if self.property(alarm, "DatapointsToAlarm").is_null() {
            return self.number(alarm, "EvaluationPeriods");
        }
        self.number(alarm, "DatapointsToAlarm")
    }
}

/// Alarms on a query of Metrics Insights.
const BY_QUERY: [&str; 2] = ["LostDeadLettersAlarm", "LostEventsAlarm"];

/// Returns the metric of an alarm on a query, after a check of the query.
fn queried(
    template: &Template,
    alarm: &str,
    given: &Parameters,
    known: &code::Units,
) -> Result<String, Box<dyn std::error::Error>> {
    let queries = template.property(alarm, "Metrics").as_array().ok_or(alarm)?;
    let [query] = &queries[..] else {
        return Err(format!("{alarm}: {queries:?}").into());
    };
    let sub = template.chosen(&query["Expression"]["Fn::Sub"], given)?;
    let text = sub[0].as_str().ok_or(alarm)?;
    let name = text.strip_prefix("SELECT SUM(").and_then(|text| text.split(')').next());
    let name = name.ok_or(text)?;
    assert_eq!(text, format!(r#"SELECT SUM({name}) FROM "AWS/Events"${{OfRule}}"#), "{alarm}");
    let metric = Metric::new("AWS/Events", name, &["RuleName"]);
    assert_eq!(known.get(&metric).map(String::as_str), Some("Count"), "{alarm}");
    // CloudWatch's limit for such an alarm.
    assert!(template.evaluation_seconds(alarm)? <= 3 * 3_600, "{alarm}");
    Ok(name.to_owned())
}

/// Returns the description of an alarm.
fn description<'t>(template: &'t Template, alarm: &str) -> Result<&'t str, String> {
    let text = template.property(alarm, "AlarmDescription");
    let text = text.as_str().or_else(|| text["Fn::Sub"].as_str());
    text.ok_or_else(|| format!("{alarm} has no description"))
}

#[test]
fn alarms_watch_one_existing_metric_each() -> TestResult {
    let template = Template::read()?;
    let known = code::metrics()?;
    let mut watched = BTreeSet::new();
    for endpoint in ["function-url", "http-api"] {
        let given = Parameters::new(&[("IngestEndpoint", endpoint)]);
        for alarm in template.of_type(KIND) {
            if BY_QUERY.contains(&alarm) {
                watched.insert((alarm, queried(&template, alarm, &given, &known)?));
                continue;
            }
            let of_alarm = template.at(&format!("Resources/{alarm}/Properties"));
            let properties = template.chosen(of_alarm, &given)?;
            let dimensions = properties["Dimensions"].as_array().ok_or(alarm)?;
            let text = |property| properties[property].as_str().ok_or(alarm);
            let names: Vec<_> = dimensions.iter().filter_map(|one| one["Name"].as_str()).collect();
            let metric = Metric::new(text("Namespace")?, text("MetricName")?, &names);
            let unit = known.get(&metric).ok_or(format!("{alarm}: {metric:?}"))?;
            // The statistic of a count is the sum. The statistic of a repeatedly measured state is its worst value.
            let statistic = if unit == "Count" { "Sum" } else { "Maximum" };
            assert_eq!(text("Statistic")?, statistic, "{alarm}");

            let of_ingest = alarm.starts_with("Ingest");
            let value = match (metric.namespace.as_str(), alarm) {
                ("AWS/SQS", "ParkingQueueAlarm") => parking_queue_name(),
                ("AWS/SQS", _) => template.chosen(&queue_name(), &given)?,
                ("AWS/ApiGateway", _) => json!({ "Ref": "IngestApi" }),
                ("AWS/Events", _) => json!({ "Ref": "PartnerEventSourceName" }),
                _ => json!({ "Ref": if of_ingest { INGEST } else { REPLAY } }),
            };
            assert_eq!(dimensions[0]["Value"], value, "{alarm}");
            // No metric math, because the section of an alarm explains one metric.
            assert!(properties["Metrics"].is_null(), "{alarm}");
            watched.insert((alarm, metric.name));
        }
    }
    let watched: Vec<_> = watched.iter().map(|(alarm, metric)| (*alarm, metric.as_str())).collect();
    assert_eq!(watched, WATCHED);
    Ok(())
}

#[test]
fn alarm_on_refusals_by_aws_follows_the_ingest_endpoint() -> TestResult {
    let template = Template::read()?;
    for (endpoint, namespace) in [("function-url", "AWS/Lambda"), ("http-api", "AWS/ApiGateway")] {
        let given = Parameters::new(&[("IngestEndpoint", endpoint)]);
        let watched = template.property("IngestRefusedByAwsAlarm", "Namespace");
        assert_eq!(template.chosen(watched, &given)?, namespace, "{endpoint}");
    }
    Ok(())
}

#[test]
fn alarms_have_a_meaning_and_a_link() -> TestResult {
    let template = Template::read()?;
    for alarm in template.of_type(KIND) {
        let text = description(&template, alarm)?;
        let anchor = format!("See docs/OPERATIONS.md#{}", alarm.to_lowercase());
        let meaning = text.strip_suffix(&anchor).ok_or(text)?;
        assert!(meaning.trim().ends_with(['.', '?']), "{text}");
        assert!(meaning.len() > 80, "{text}");
        // CloudWatch's limit, with space for inserted names.
        assert!(text.len() < 900, "{alarm}");
    }
    Ok(())
}

#[test]
fn alarms_have_a_section_in_operations_md() -> TestResult {
    let template = Template::read()?;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md"))?;
    let headings: BTreeSet<_> = page
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim())
        .collect();
    for alarm in template.of_type(KIND) {
        assert!(headings.contains(alarm), "no heading {alarm}");
    }
    Ok(())
}

#[test]
fn alarms_notify_at_begin_and_end() -> TestResult {
    let template = Template::read()?;
    let topic =
        json!({ "Fn::If": ["CreatesTopic", { "Ref": "AlarmTopic" }, { "Ref": "AlarmTopicArn" }] });
    let notified = json!({ "Fn::If": ["Notifies", [topic], { "Ref": "AWS::NoValue" }] });
    for alarm in template.of_type(KIND) {
        for actions in ["AlarmActions", "OKActions"] {
            assert_eq!(template.property(alarm, actions), &notified, "{alarm}");
        }
        for muted in ["ActionsEnabled", "InsufficientDataActions"] {
            assert!(template.property(alarm, muted).is_null(), "{alarm}");
        }
    }
    assert_eq!(
        template.at("Outputs/AlarmTopicArn"),
        &json!({
            "Description": "Topic of the alarms; subscribe to it",
            "Condition": "Notifies",
            "Value": topic,
        })
    );
    assert_eq!(
        template.at("Conditions/CreatesTopic"),
        &json!({ "Fn::Equals": [{ "Ref": "AlarmTopicArn" }, ""] })
    );
    assert_eq!(
        template.at("Conditions/Notifies"),
        &json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": "AlarmTopicArn" }, "none"] }] })
    );
    Ok(())
}

#[test]
fn alarms_treat_missing_data_as_not_breaching() -> TestResult {
    let template = Template::read()?;
    for alarm in template.of_type(KIND) {
        let missing = template.property(alarm, "TreatMissingData");
        let expected = match alarm {
            // An inactive queue has no data points, also when it has messages.
            "ParkingQueueAlarm" => "ignore",
            // EventBridge writes no zero.
            "PartnerSilentAlarm" => "breaching",
            _ => "notBreaching",
        };
        assert_eq!(missing, expected, "{alarm}");
    }
    Ok(())
}

#[test]
fn alarms_are_within_the_limits_of_cloudwatch() -> TestResult {
    let template = Template::read()?;
    for alarm in template.of_type(KIND) {
        let period = template.number(alarm, "Period")?;
        assert_eq!(period % 60, 0, "{alarm}");
        let max_days = if period >= 3_600 { 7 } else { 1 };
        assert!(template.evaluation_seconds(alarm)? <= max_days * 24 * 3_600, "{alarm}");
        let needed = template.needed(alarm)?;
        assert!(needed >= 1, "{alarm}");
        assert!(needed <= template.number(alarm, "EvaluationPeriods")?, "{alarm}");
    }
    Ok(())
}

#[test]
fn alarm_thresholds_are_their_parameters() -> TestResult {
    let template = Template::read()?;
    let compared = |alarm| {
        let operator = template.property(alarm, "ComparisonOperator").clone();
        (operator, template.property(alarm, "Threshold").clone())
    };
    let parameter = |name: &str| json!({ "Ref": name });
    for alarm in template.of_type(KIND) {
        let expected = match alarm {
            "OldestMessageAlarm" => {
                (json!("GreaterThanThreshold"), parameter("OldestMessageAlarmSeconds"))
            }
            "ArchivedAlarm" => {
                (json!("GreaterThanOrEqualToThreshold"), parameter("ArchivedAlarmCount"))
            }
            "IngestRefusedAlarm" | "IngestRefusedByAwsAlarm" => {
                (json!("GreaterThanOrEqualToThreshold"), parameter("IngestRefusedAlarmCount"))
            }
            "PartnerSilentAlarm" => (json!("LessThanOrEqualToThreshold"), json!(0)),
            // The threshold of all others is zero.
            _ => (json!("GreaterThanThreshold"), json!(0)),
        };
        assert_eq!(compared(alarm), expected, "{alarm}");
    }
    Ok(())
}

#[test]
fn alarms_ignore_a_dead_letter_that_is_retried() -> TestResult {
    let template = Template::read()?;
    let number = |parameter, attribute| {
        let value: &Value = template.parameter(parameter, attribute);
        value.as_u64().ok_or(format!("{parameter}: {value}"))
    };
    // The age in SQS excludes messages after three receives: two delays come before that. A third delay and the
    // longest invocation are the margin.
    let base = number("BackoffBaseSeconds", "Default")?;
    let waits = base + 2 * base + 4 * base + 900;
    assert!(number("OldestMessageAlarmSeconds", "Default")? > waits);
    // The alarm comes long before the end of retention.
    let kept = template.number("DeadLetterQueue", "MessageRetentionPeriod")?;
    assert!(2 * number("OldestMessageAlarmSeconds", "MaxValue")? <= kept);
    assert!(template.needed("OldestMessageAlarm")? >= 2);
    // One archived event is normal.
    assert!(number("ArchivedAlarmCount", "Default")? > 1);
    Ok(())
}

#[test]
fn alarm_on_errors_ignores_one_failed_invocation() -> TestResult {
    let template = Template::read()?;
    assert_eq!(template.needed("FunctionErrorsAlarm")?, 2);
    let hour = template.evaluation_seconds("FunctionErrorsAlarm")?;
    for timeout in [30, 60, 120, 300] {
        // The time until the message of a failed batch returns and fails again.
        let path = format!("Mappings/VisibilityTimeout/{timeout}/Seconds");
        let back = template.at(&path).as_u64().ok_or(path)?;
        assert!(back + template.number("FunctionErrorsAlarm", "Period")? < hour);
    }
    Ok(())
}

#[test]
fn alarms_last_from_one_attempt_to_the_next() -> TestResult {
    let template = Template::read()?;
    let longest = template.parameter("BackoffMaxSeconds", "Default").as_u64();
    let longest = longest.ok_or("no longest backoff")?;
    for alarm in ["OperatorAlarm", "TokenThrottledAlarm"] {
        assert_eq!(template.needed(alarm)?, 1, "{alarm}");
        let rest = template.evaluation_seconds(alarm)? - template.number(alarm, "Period")?;
        assert!(rest > longest, "{alarm}");
    }
    // A single 429 is normal.
    assert!(template.needed("GenesysThrottledAlarm")? > 2);
    assert!(template.evaluation_seconds("GenesysThrottledAlarm")? > longest);
    Ok(())
}

#[test]
fn alarms_ignore_a_request_that_is_retried() -> TestResult {
    let template = Template::read()?;
    for alarm in ["IngestErrorsAlarm", "IngestUnavailableAlarm"] {
        assert_eq!(template.needed(alarm)?, 2, "{alarm}");
    }
    // A reached rate limit is normal, and scans of the endpoint end within minutes.
    for alarm in [
        "IngestThrottledAlarm",
        "IngestUnauthenticatedAlarm",
        "IngestRefusedAlarm",
        "IngestRefusedByAwsAlarm",
    ] {
        assert_eq!(template.needed(alarm)?, 3, "{alarm}");
    }
    // Some senders retry rarely: at once, after minutes, after half an hour.
    assert!(template.evaluation_seconds("IngestUnauthenticatedAlarm")? >= 3_600);
    let everyday = template.parameter("IngestRefusedAlarmCount", "Default");
    assert!(everyday.as_u64() > Some(1), "{everyday}");
    Ok(())
}

#[test]
fn alarms_before_the_queue_exist_only_when_asked_for() -> TestResult {
    let template = Template::read()?;
    let rule = ("WatchedRuleName", "genesys");
    let source = ("PartnerEventSourceName", "aws.partner/genesys.com/cloud/acme/events");
    for (given, rules, partner) in [
        (vec![], true, false),
        (vec![rule], true, false),
        (vec![("WatchedRuleName", "none")], false, false),
        (vec![source], true, true),
    ] {
        let existing = template.existing("Resources", &Parameters::new(&given))?;
        for alarm in BY_QUERY {
            assert_eq!(existing.contains_key(alarm), rules, "{given:?}");
        }
        assert_eq!(existing.contains_key("PartnerSilentAlarm"), partner, "{given:?}");
        assert!(existing.contains_key("RecursionAlarm"), "{given:?}");
    }
    Ok(())
}

#[test]
fn alarms_on_rules_watch_one_rule_when_named() -> TestResult {
    let template = Template::read()?;
    for alarm in BY_QUERY {
        let filter = &template.property(alarm, "Metrics/0/Expression/Fn::Sub/1/OfRule");
        for (given, expected) in [
            (vec![], json!("")),
            (
                vec![("WatchedRuleName", "genesys")],
                json!({ "Fn::Sub": " WHERE RuleName = '${WatchedRuleName}'" }),
            ),
        ] {
            assert_eq!(template.chosen(filter, &Parameters::new(&given))?, expected, "{alarm}");
        }
    }
    // The name becomes a part of the query.
    let pattern = template.parameter("WatchedRuleName", "AllowedPattern");
    assert_eq!(pattern, "^[A-Za-z0-9._-]{0,64}$");
    Ok(())
}
