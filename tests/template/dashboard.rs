//! The dashboards: they show existing metrics only, and all of them.

use std::collections::BTreeSet;
use std::error::Error;

use genesys_replay_lambda::lambda::metrics::CATEGORY;
use genesys_replay_telemetry::metrics::NAMESPACE;
use serde_json::{Value, json};

use crate::TestResult;
use crate::code::{self, CATEGORIES, Metric, Units};
use crate::conditions::Parameters;
use crate::document::{Template, plain, queue_name};

/// The width of a dashboard, in `CloudWatch`'s units.
const COLUMNS: u64 = 24;

/// A dashboard and its function.
struct Board {
    resource: &'static str,
    /// The value of the dimension of the function's metrics.
    function: &'static str,
    /// The `IngestEndpoint` of the test.
    endpoint: &'static str,
    /// Further parameters of the test.
    given: &'static [(&'static str, &'static str)],
    log_group: &'static str,
    queries: &'static [&'static str],
    emitted: fn() -> Result<Units, Box<dyn Error>>,
}

const REPLAY: Board = Board {
    resource: "Dashboard",
    function: "${ReplayFunction}",
    endpoint: "none",
    given: &[("PartnerEventSourceName", "aws.partner/genesys.com/cloud/acme/events")],
    log_group: "${ReplayLogGroup}",
    queries: &["FailuresQuery", "SlowestRecordsQuery"],
    emitted: code::emitted,
};

/// The dashboard without the alarms and the event source of optional parameters.
const REPLAY_ALONE: Board = Board { given: &[("WatchedRuleName", "none")], ..REPLAY };

const INGEST: Board = Board {
    resource: "IngestDashboard",
    function: "${IngestFunction}",
    endpoint: "function-url",
    given: &[],
    log_group: "${IngestLogGroup}",
    queries: &["IngestRefusalsQuery"],
    emitted: code::emitted_by_ingest,
};

const INGEST_BEHIND_API: Board = Board { endpoint: "http-api", ..INGEST };

/// Returns the widgets. A `${name}` inside the JSON is replaced by a parameter's default, by the endpoint's part of a
/// row, or by a text that does not depend on a stack. All others stay.
fn widgets(template: &Template, board: &Board) -> Result<Vec<Value>, Box<dyn Error>> {
    let body = &template.property(board.resource, "DashboardBody")["Fn::Sub"];
    let text = body[0].as_str().ok_or("the dashboard has no body")?;
    let mut given = vec![("IngestEndpoint", board.endpoint)];
    given.extend(board.given);
    let given = Parameters::new(&given);
    let names = template.chosen(&body[1], &given)?;
    let body = names
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| {
            let computed = template.computed(value);
            let text = computed.as_ref().unwrap_or(&value["Fn::Sub"]).as_str()?;
            Some((format!("${{{name}}}"), text.to_owned()))
        })
        .fold(text.to_owned(), |text, (name, part)| text.replace(&name, &part));
    let default = template.parameter("OldestMessageAlarmSeconds", "Default");
    let number = ":${OldestMessageAlarmSeconds}";
    let body: Value = serde_json::from_str(&body.replace(number, &format!(":{default}")))?;
    let widgets = body["widgets"].as_array().ok_or("no widgets")?;
    Ok(widgets.clone())
}

fn of_type<'w>(widgets: &'w [Value], kind: &str) -> Vec<&'w Value> {
    let of_type = widgets.iter().filter(|widget| widget["type"] == kind);
    of_type.map(|widget| &widget["properties"]).collect()
}

/// The value of a row whose query chooses the values.
const ANY: &str = "*";

/// A row of a graph.
struct Row {
    metric: Metric,
    values: Vec<String>,
    statistic: String,
}

impl Row {
    fn category(&self) -> Option<&str> {
        let names = self.metric.dimensions.iter();
        let mut pairs = names.zip(&self.values);
        pairs.find_map(|(name, value)| (name == CATEGORY).then_some(value.as_str()))
    }
}

/// Returns the row of a query of Metrics Insights or of a search, by the metric that it shows.
fn queried(expression: &str) -> Result<Row, String> {
    let of_rule = "SELECT SUM(";
    let (name, dimension) = if let Some((_, rest)) = expression.split_once(of_rule) {
        (rest.split(')').next(), "RuleName")
    } else {
        let quoted = expression.split('"').nth(1);
        (quoted.filter(|_| expression.starts_with("SEARCH('{AWS/Events,")), "EventSourceName")
    };
    let name = name.ok_or_else(|| expression.to_owned())?;
    Ok(Row {
        metric: Metric::new("AWS/Events", name, &[dimension]),
        values: vec![ANY.to_owned()],
        statistic: "Sum".to_owned(),
    })
}

fn rows(template: &Template, board: &Board) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for properties in of_type(&widgets(template, board)?, "metric") {
        let mut previous: Vec<&str> = Vec::new();
        for row in properties["metrics"].as_array().into_iter().flatten() {
            if let Some(expression) = row[0]["expression"].as_str() {
                rows.push(queried(expression)?);
                continue;
            }
            let mut words: Vec<_> =
                row.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            // CloudWatch's abbreviation: the words of the row before, except the last ones.
            if words.first() == Some(&"...") {
                let same = previous.len().checked_sub(words.len() - 1);
                let same = previous.get(..same.ok_or("a row is too long")?);
                words.splice(..1, same.into_iter().flatten().copied());
            }
            previous.clone_from(&words);
            let [namespace, name, ref dimensions @ ..] = words[..] else {
                return Err(format!("no metric: {row}").into());
            };
            let options = row.as_array().and_then(|row| row.last());
            let own = options.and_then(|options| options["stat"].as_str());
            let statistic = own.or(properties["stat"].as_str()).ok_or("no statistic")?;
            let every_other = |from| dimensions.iter().skip(from).step_by(2).copied();
            rows.push(Row {
                metric: Metric::new(namespace, name, &every_other(0).collect::<Vec<_>>()),
                values: every_other(1).map(str::to_owned).collect(),
                statistic: statistic.to_owned(),
            });
        }
    }
    Ok(rows)
}

#[test]
fn dashboard_graphs_show_existing_metrics() -> TestResult {
    let template = Template::read()?;
    let known = code::metrics()?;
    for board in [REPLAY, REPLAY_ALONE, INGEST, INGEST_BEHIND_API] {
        for row in rows(&template, &board)? {
            let metric = &row.metric;
            let unit = known.get(metric).ok_or(format!("{metric:?}"))?;
            let statistic = row.statistic.as_str();
            // The statistic of a count is the sum, of a state its worst value, of times their percentiles.
            let fits = match unit.as_str() {
                "Count" => statistic == "Sum",
                "Milliseconds" => ["p50", "p95", "p99", "Maximum"].contains(&statistic),
                _ => statistic == "Maximum",
            };
            assert!(fits, "{statistic} of {metric:?}, in {unit}");
            let first = row.values.first().ok_or("no dimension")?;
            let expected = match metric.namespace.as_str() {
                "AWS/SQS" => &["${DeadLetters}", "${ParkingQueue.QueueName}"][..],
                "AWS/ApiGateway" => &["${IngestApi}"],
                "AWS/Events" => &[ANY, "${PartnerEventSourceName}"],
                _ => &[board.function],
            };
            assert!(expected.contains(&first.as_str()), "{first} of {metric:?}");
            if let Some(category) = row.category() {
                assert!(CATEGORIES.contains(&category), "{category}");
            }
        }
    }
    Ok(())
}

#[test]
fn dashboard_shows_every_metric_of_the_code() -> TestResult {
    let template = Template::read()?;
    let mut own = 0;
    for board in [REPLAY, INGEST] {
        let shown: BTreeSet<_> = rows(&template, &board)?
            .into_iter()
            .map(|row| {
                let category = row.category().map(str::to_owned);
                (row.metric, category)
            })
            .collect();
        for metric in (board.emitted)()?.into_keys() {
            let by_category = metric.dimensions.iter().any(|name| name == CATEGORY);
            let categories: Vec<_> = if by_category {
                CATEGORIES.map(|name| Some(name.to_owned())).to_vec()
            } else {
                vec![None]
            };
            for category in categories {
                let row = (metric.clone(), category);
                assert!(shown.contains(&row), "{row:?}");
            }
        }
        let of_the_code = shown.iter().filter(|(metric, _)| metric.namespace == NAMESPACE);
        own += of_the_code.count();
    }
    assert!(own > 6 * CATEGORIES.len());
    Ok(())
}

#[test]
fn dashboard_shows_refusals_by_aws_beside_our_own() -> TestResult {
    let template = Template::read()?;
    for (board, of_aws) in [(INGEST, "Url4xxCount"), (INGEST_BEHIND_API, "4xx")] {
        let widgets = widgets(&template, &board)?;
        let names: Vec<Vec<_>> = of_type(&widgets, "metric")
            .into_iter()
            .map(|properties| {
                let rows = properties["metrics"].as_array().into_iter().flatten();
                rows.filter_map(|row| row[1].as_str()).collect()
            })
            .collect();
        // The first excludes the two after it. The last is the number of requests that reached the function.
        let together = vec![of_aws, "Refused", "Unauthenticated", "Requests"];
        assert!(names.contains(&together), "{names:?}");
    }
    Ok(())
}

#[test]
fn dashboard_shows_latency_percentiles() -> TestResult {
    let template = Template::read()?;
    for (board, name, expected) in [
        (REPLAY, "RecordLatency", ["p50", "p95", "Maximum"]),
        (INGEST, "RequestLatency", ["p50", "p99", "Maximum"]),
    ] {
        let statistics: Vec<_> = rows(&template, &board)?
            .into_iter()
            .filter(|row| row.metric.name == name)
            .map(|row| row.statistic)
            .collect();
        assert_eq!(statistics, expected);
    }
    Ok(())
}

#[test]
fn dashboard_shows_both_queues_and_an_existing_one() -> TestResult {
    let template = Template::read()?;
    let names = &template.property("Dashboard", "DashboardBody")["Fn::Sub"][1];
    assert_eq!(names["DeadLetters"], queue_name());
    let shown: BTreeSet<_> = rows(&template, &REPLAY)?
        .into_iter()
        .filter(|row| row.metric.namespace == "AWS/SQS")
        .map(|row| (row.values.concat(), row.metric.name))
        .collect();
    let shown: Vec<_> = shown.iter().map(|(queue, name)| (queue.as_str(), name.as_str())).collect();
    let (dead_letters, parking) = ("${DeadLetters}", "${ParkingQueue.QueueName}");
    assert_eq!(
        shown,
        [
            (dead_letters, "ApproximateAgeOfOldestMessage"),
            (dead_letters, "ApproximateNumberOfMessagesNotVisible"),
            (dead_letters, "ApproximateNumberOfMessagesVisible"),
            (parking, "ApproximateAgeOfOldestMessage"),
            (parking, "ApproximateNumberOfMessagesVisible"),
        ]
    );
    Ok(())
}

#[test]
fn dashboard_shows_every_alarm_with_its_section() -> TestResult {
    let template = Template::read()?;
    for board in [REPLAY, REPLAY_ALONE, INGEST] {
        let widgets = widgets(&template, &board)?;
        let [status] = of_type(&widgets, "alarm")[..] else {
            return Err("one widget with the alarms' states".into());
        };
        let [text] = of_type(&widgets, "text")[..] else {
            return Err("one widget of text".into());
        };
        let text = text["markdown"].as_str().ok_or("no text")?;
        assert!(text.contains("docs/OPERATIONS.md"));
        // The alarms of this dashboard's function that exist with its parameters.
        let mut given = vec![("IngestEndpoint", board.endpoint)];
        given.extend(board.given);
        let existing = template.existing("Resources", &Parameters::new(&given))?;
        let of_ingest = |name: &str| name.starts_with("Ingest");
        let alarms: Vec<_> = existing
            .into_iter()
            .filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm")
            .map(|(name, _)| name)
            .filter(|alarm| of_ingest(alarm) == of_ingest(board.resource))
            .collect();
        let shown = status["alarms"].as_array().ok_or("no alarms")?;
        assert_eq!(shown.len(), alarms.len());
        for alarm in alarms {
            let arn = json!(format!("${{{alarm}.Arn}}"));
            assert!(shown.contains(&arn), "{alarm}");
            let section = format!("`#{}`", alarm.to_lowercase());
            assert!(text.contains(&section), "{section}");
        }
    }
    Ok(())
}

#[test]
fn dashboard_shows_the_log_by_the_saved_queries() -> TestResult {
    let template = Template::read()?;
    for board in [REPLAY, INGEST] {
        let widgets = widgets(&template, &board)?;
        let shown: Vec<_> = of_type(&widgets, "log")
            .into_iter()
            .map(|properties| properties["query"].clone())
            .collect();
        let expected = board
            .queries
            .iter()
            .map(|name| {
                let query = template.query(name)?;
                Ok::<_, String>(json!(format!("SOURCE '{}' | {query}", board.log_group)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        assert_eq!(shown, expected);
    }
    Ok(())
}

#[test]
fn dashboard_widgets_do_not_overlap_and_have_a_region() -> TestResult {
    let template = Template::read()?;
    let mut titles = BTreeSet::new();
    for board in [REPLAY, INGEST] {
        let mut taken = BTreeSet::new();
        for widget in widgets(&template, &board)? {
            let at = |name: &str| widget[name].as_u64().ok_or(format!("{widget}"));
            let (x, y, width, height) = (at("x")?, at("y")?, at("width")?, at("height")?);
            assert!(width > 0 && height > 0 && x + width <= COLUMNS, "{widget}");
            for column in x..x + width {
                for line in y..y + height {
                    assert!(taken.insert((column, line)), "{column}, {line}: {widget}");
                }
            }
            let properties = &widget["properties"];
            if widget["type"] == "metric" || widget["type"] == "log" {
                assert_eq!(properties["region"], "${AWS::Region}", "{widget}");
            }
            // A runbook refers to a widget by its title.
            let title = &properties["title"];
            assert!(title.is_null() || titles.insert(plain(title)), "{title}");
        }
    }
    Ok(())
}

#[test]
fn dashboard_name_has_the_stack_and_the_region() -> TestResult {
    let template = Template::read()?;
    for (board, name, output) in [
        (REPLAY, "${AWS::StackName}-${AWS::Region}", "DashboardName"),
        (INGEST, "${AWS::StackName}-ingest-${AWS::Region}", "IngestDashboardName"),
    ] {
        assert_eq!(template.property(board.resource, "DashboardName"), &json!({ "Fn::Sub": name }));
        // No reference, because cfn-lint does not find it in the included file.
        assert_eq!(
            template.at(&format!("Outputs/{output}/Value")),
            template.property(board.resource, "DashboardName")
        );
    }
    Ok(())
}
