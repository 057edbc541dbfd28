//! The saved queries of Logs Insights.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::document::Template;
use crate::{TestResult, code};

const KIND: &str = "AWS::Logs::QueryDefinition";

/// The fields of every line: from the invocation's span, the subscriber and `CloudWatch` Logs.
const OF_EVERY_LINE: [&str; 7] =
    ["@message", "@timestamp", "level", "message", "request_id", "timestamp", "xray_trace_id"];

/// The words of the language that the queries keep to.
const WORDS: [&str; 18] = [
    "and",
    "as",
    "asc",
    "avg",
    "by",
    "count",
    "count_distinct",
    "desc",
    "fields",
    "filter",
    "ispresent",
    "latest",
    "like",
    "limit",
    "max",
    "min",
    "sort",
    "stats",
];

impl Template {
    pub(crate) fn query(&self, name: &str) -> Result<String, String> {
        let query = self.computed(self.property(name, "QueryString"));
        let query = query.as_ref().and_then(Value::as_str);
        query.map_or_else(|| Err(format!("{name} has no query")), |query| Ok(query.to_owned()))
    }
}

/// A query without its quoted texts, and those texts.
fn taken_apart(query: &str) -> (String, Vec<&str>) {
    let parts = query.split('"').enumerate();
    let (texts, rest): (Vec<_>, Vec<_>) = parts.partition(|(number, _)| number % 2 == 1);
    let rest: Vec<_> = rest.into_iter().map(|(_, part)| part).collect();
    (rest.join(" "), texts.into_iter().map(|(_, text)| text).collect())
}

#[test]
fn queries_use_fields_that_the_code_writes() -> TestResult {
    let template = Template::read()?;
    let lines = code::log_fields()?;
    let written: BTreeSet<_> = lines.values().flatten().chain(&OF_EVERY_LINE).copied().collect();
    for name in template.of_type(KIND) {
        let query = template.query(name)?;
        let (rest, _) = taken_apart(&query);
        let is_of_a_word = |letter: char| letter.is_ascii_alphanumeric() || "_@.".contains(letter);
        let words: Vec<_> =
            rest.split(|letter| !is_of_a_word(letter)).filter(|word| !word.is_empty()).collect();
        let aliases: BTreeSet<_> =
            words.windows(2).filter(|pair| pair[0] == "as").map(|pair| pair[1]).collect();
        let mut asked = 0;
        for word in words {
            let number = word.parse::<u32>().is_ok();
            if number || WORDS.contains(&word) || aliases.contains(word) {
                continue;
            }
            assert!(written.contains(word), "{name}: {word}");
            asked += 1;
        }
        assert!(asked > 2, "{name}");
    }
    Ok(())
}

#[test]
fn queries_filter_messages_that_the_code_writes() -> TestResult {
    let template = Template::read()?;
    let lines = code::log_fields()?;
    for name in ["FailuresQuery", "IngestRefusalsQuery", "SlowestRecordsQuery"] {
        let query = template.query(name)?;
        let (_, texts) = taken_apart(&query);
        let [message] = texts[..] else {
            return Err(format!("{name}: {texts:?}").into());
        };
        assert!(lines.contains_key(message), "{name}: {message}");
    }
    Ok(())
}

#[test]
fn queries_are_stages_on_lines_of_their_own() -> TestResult {
    let template = Template::read()?;
    let names = template.of_type(KIND);
    assert_eq!(
        names,
        ["EventHistoryQuery", "FailuresQuery", "IngestRefusalsQuery", "SlowestRecordsQuery"]
    );
    for name in names {
        for (number, line) in template.query(name)?.lines().enumerate() {
            let stage = if number == 0 { Some(line) } else { line.strip_prefix("| ") };
            let command = stage.and_then(|stage| stage.split(' ').next());
            let known = ["fields", "filter", "stats", "sort", "limit"];
            assert!(command.is_some_and(|command| known.contains(&command)), "{name}: {line}");
        }
        let group = if name == "IngestRefusalsQuery" { "IngestLogGroup" } else { "ReplayLogGroup" };
        assert_eq!(template.property(name, "LogGroupNames"), &json!([{ "Ref": group }]), "{name}");
        let title = template.property(name, "Name");
        let title = title["Fn::Sub"].as_str().ok_or(name)?;
        assert!(title.starts_with("genesys-replay/${AWS::StackName}/"), "{title}");
    }
    Ok(())
}

/// The names of the results of a `stats` stage: its aliases and the fields that it groups by.
fn results_of(stage: &str) -> Result<BTreeSet<&str>, String> {
    let (aggregates, groups) = stage.split_once(" by ").unwrap_or((stage, ""));
    let mut results: BTreeSet<_> = groups.split(", ").filter(|one| !one.is_empty()).collect();
    for aggregate in aggregates.split(", ") {
        let (_, alias) =
            aggregate.split_once(" as ").ok_or_else(|| format!("no alias: {aggregate}"))?;
        results.insert(alias);
    }
    Ok(results)
}

#[test]
fn query_sorts_by_a_result_when_it_aggregates() -> TestResult {
    let template = Template::read()?;
    let mut sorted = 0;
    for name in template.of_type(KIND) {
        let mut results = None;
        let query = template.query(name)?;
        for line in query.lines() {
            match line.trim_start_matches("| ").split_once(' ') {
                Some(("stats", stage)) => results = Some(results_of(stage)?),
                Some(("sort", stage)) => {
                    let (field, direction) = stage.split_once(' ').ok_or(line)?;
                    assert!(["asc", "desc"].contains(&direction), "{name}: {line}");
                    if let Some(results) = &results {
                        assert!(results.contains(field), "{name}: {line}");
                        sorted += 1;
                    }
                }
                Some(("limit", stage)) => assert!(stage.parse::<u32>().is_ok(), "{name}: {line}"),
                // After `stats`, the fields of the lines are gone.
                _ => assert!(results.is_none(), "{name}: {line}"),
            }
        }
    }
    assert!(sorted >= 2, "only {sorted} queries aggregate and sort");
    Ok(())
}

#[test]
fn history_query_filters_by_event_id_in_time_order() -> TestResult {
    let template = Template::read()?;
    let query = template.query("EventHistoryQuery")?;
    assert!(query.contains("\n| filter event_id = \"EVENT_ID\"\n"));
    assert!(query.contains("\n| sort @timestamp asc\n"));
    Ok(())
}

#[test]
fn failures_query_counts_by_code_with_an_action() -> TestResult {
    let template = Template::read()?;
    let query = template.query("FailuresQuery")?;
    for part in
        ["count(*) as ", "latest(reason) as ", "latest(what_to_do) as ", "by failure_code, outcome"]
    {
        assert!(query.contains(part), "{part}");
    }
    Ok(())
}

#[test]
fn refusals_query_counts_by_problem_and_path_with_an_action() -> TestResult {
    let template = Template::read()?;
    let query = template.query("IngestRefusalsQuery")?;
    for part in [
        " and ispresent(problem)\n",
        "count(*) as ",
        "latest(reason) as ",
        "latest(what_to_do) as ",
        "by problem, route",
    ] {
        assert!(query.contains(part), "{part}");
    }
    Ok(())
}

#[test]
fn operations_md_shows_the_queries() -> TestResult {
    let template = Template::read()?;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md"))?;
    for query in template.of_type(KIND) {
        assert!(page.contains(&template.query(query)?), "{query}");
    }
    Ok(())
}
