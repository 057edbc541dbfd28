//! The dashboard: what it shows is there, and what is there is shown.

use std::collections::BTreeSet;
use std::error::Error;

use genesys_replay::telemetry::metrics::{CATEGORY, NAMESPACE};
use serde_json::{Value, json};

use crate::TestResult;
use crate::code::{self, CATEGORIES, Metric};
use crate::document::{Template, queue_name};

/// The width of a dashboard, in `CloudWatch`'s units.
const COLUMNS: u64 = 24;

/// The widgets, with every `${name}` as it stands; where a number has to be, a parameter's default.
fn widgets(template: &Template) -> Result<Vec<Value>, Box<dyn Error>> {
    let body = &template.property("Dashboard", "DashboardBody")["Fn::Sub"][0];
    let body = body.as_str().ok_or("the dashboard has no body")?;
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

/// One row of a graph.
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

fn rows(template: &Template) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for properties in of_type(&widgets(template)?, "metric") {
        for row in properties["metrics"].as_array().into_iter().flatten() {
            let words: Vec<_> = row
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
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
fn every_graph_shows_a_metric_that_somebody_writes() -> TestResult {
    let template = Template::read()?;
    let known = code::metrics()?;
    for row in rows(&template)? {
        let metric = &row.metric;
        let unit = known.get(metric).ok_or(format!("{metric:?}"))?;
        let statistic = row.statistic.as_str();
        // A count is added up; of a state the worst moment counts; of times their spread is told.
        let fits = match unit.as_str() {
            "Count" => statistic == "Sum",
            "Milliseconds" => ["p50", "p95", "Maximum"].contains(&statistic),
            _ => statistic == "Maximum",
        };
        assert!(fits, "{statistic} of {metric:?}, in {unit}");
        let first = row.values.first().ok_or("no dimension")?;
        let expected = match metric.namespace.as_str() {
            "AWS/SQS" => &["${DeadLetters}", "${ParkingQueue.QueueName}"][..],
            _ => &["${ReplayFunction}"],
        };
        assert!(expected.contains(&first.as_str()), "{first} of {metric:?}");
        if let Some(category) = row.category() {
            assert!(CATEGORIES.contains(&category), "{category}");
        }
    }
    Ok(())
}

#[test]
fn everything_that_the_code_counts_is_shown() -> TestResult {
    let template = Template::read()?;
    let shown: BTreeSet<_> = rows(&template)?
        .into_iter()
        .map(|row| {
            let category = row.category().map(str::to_owned);
            (row.metric, category)
        })
        .collect();
    for metric in code::emitted()?.into_keys() {
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
    let own = shown
        .iter()
        .filter(|(metric, _)| metric.namespace == NAMESPACE);
    assert!(own.count() > 6 * CATEGORIES.len());
    Ok(())
}

#[test]
fn the_times_of_records_are_told_by_their_spread() -> TestResult {
    let template = Template::read()?;
    let statistics: Vec<_> = rows(&template)?
        .into_iter()
        .filter(|row| row.metric.name == "RecordLatency")
        .map(|row| row.statistic)
        .collect();
    assert_eq!(statistics, ["p50", "p95", "Maximum"]);
    Ok(())
}

#[test]
fn both_queues_are_shown_also_one_that_the_stack_does_not_own() -> TestResult {
    let template = Template::read()?;
    let names = &template.property("Dashboard", "DashboardBody")["Fn::Sub"][1];
    assert_eq!(names, &json!({ "DeadLetters": queue_name() }));
    let shown: BTreeSet<_> = rows(&template)?
        .into_iter()
        .filter(|row| row.metric.namespace == "AWS/SQS")
        .map(|row| (row.values.concat(), row.metric.name))
        .collect();
    let shown: Vec<_> = shown
        .iter()
        .map(|(queue, name)| (queue.as_str(), name.as_str()))
        .collect();
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
fn every_alarm_is_shown_with_the_section_that_explains_it() -> TestResult {
    let template = Template::read()?;
    let widgets = widgets(&template)?;
    let [status] = of_type(&widgets, "alarm")[..] else {
        return Err("one widget with the alarms' states".into());
    };
    let [text] = of_type(&widgets, "text")[..] else {
        return Err("one widget of text".into());
    };
    let text = text["markdown"].as_str().ok_or("no text")?;
    assert!(text.contains("docs/OPERATIONS.md"));
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    let shown = status["alarms"].as_array().ok_or("no alarms")?;
    assert_eq!(shown.len(), alarms.len());
    for alarm in alarms {
        let arn = json!(format!("${{{alarm}.Arn}}"));
        assert!(shown.contains(&arn), "{alarm}");
        let section = format!("`#{}`", alarm.to_lowercase());
        assert!(text.contains(&section), "{section}");
    }
    Ok(())
}

#[test]
fn the_log_is_shown_by_the_saved_queries() -> TestResult {
    let template = Template::read()?;
    let widgets = widgets(&template)?;
    let shown: Vec<_> = of_type(&widgets, "log")
        .into_iter()
        .map(|properties| properties["query"].clone())
        .collect();
    let expected = ["FailuresQuery", "SlowestRecordsQuery"]
        .map(|name| {
            let query = template.query(name)?;
            Ok::<_, String>(json!(format!("SOURCE '${{ReplayLogGroup}}' | {query}")))
        })
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    assert_eq!(shown, expected);
    Ok(())
}

#[test]
fn widgets_have_a_place_of_their_own_and_a_region() -> TestResult {
    let template = Template::read()?;
    let mut taken = BTreeSet::new();
    for widget in widgets(&template)? {
        let at = |name: &str| widget[name].as_u64().ok_or(format!("{widget}"));
        let (x, y, width, height) = (at("x")?, at("y")?, at("width")?, at("height")?);
        assert!(width > 0 && height > 0 && x + width <= COLUMNS, "{widget}");
        for column in x..x + width {
            for line in y..y + height {
                assert!(taken.insert((column, line)), "{column}, {line}: {widget}");
            }
        }
        if widget["type"] == "metric" || widget["type"] == "log" {
            assert_eq!(widget["properties"]["region"], "${AWS::Region}", "{widget}");
        }
    }
    Ok(())
}

#[test]
fn the_dashboard_is_found_by_the_stack_and_stands_beside_those_of_other_regions() -> TestResult {
    let template = Template::read()?;
    assert_eq!(
        template.property("Dashboard", "DashboardName"),
        &json!({ "Fn::Sub": "${AWS::StackName}-${AWS::Region}" })
    );
    assert_eq!(
        template.at("Outputs/DashboardName/Value"),
        &json!({ "Ref": "Dashboard" })
    );
    Ok(())
}
