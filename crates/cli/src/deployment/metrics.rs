//! The metrics of the last minutes, from `CloudWatch`.

use std::time::Duration;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat};
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;

use crate::calls::answered;

/// The time before now of which the metrics are read: the maximum time for which a circuit without a retry-after stays
/// open.
pub const METRICS_WINDOW: Duration = Duration::from_secs(15 * 60);

/// The resolution of the metrics, in seconds.
const PERIOD_SECONDS: i32 = 60;

/// The sum of a metric in one minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricPoint {
    /// The begin of the minute.
    pub at: Timestamp,
    pub value: f64,
}

/// The metrics of one function and its queues within [`METRICS_WINDOW`]. Each list has the minutes with data, the
/// oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecentMetrics {
    pub records: Vec<MetricPoint>,
    pub replayed: Vec<MetricPoint>,
    pub duplicates: Vec<MetricPoint>,
    pub archived: Vec<MetricPoint>,
    pub deferred: Vec<MetricPoint>,
    pub returned: Vec<MetricPoint>,
    pub not_attempted: Vec<MetricPoint>,
    pub circuits_opened: Vec<MetricPoint>,
    /// The age of the oldest message in the queue, in seconds.
    pub oldest_seconds: Vec<MetricPoint>,
    /// The age of the oldest message in the parking queue, in seconds.
    pub oldest_parked_seconds: Vec<MetricPoint>,
}

/// The metrics of a function: the id of the query, and the name in the namespace `GenesysReplay`.
const OF_FUNCTION: [(&str, &str); 8] = [
    ("records", "Records"),
    ("replayed", "Replayed"),
    ("duplicates", "Duplicates"),
    ("archived", "Archived"),
    ("deferred", "Deferred"),
    ("returned", "Returned"),
    ("not_attempted", "NotAttempted"),
    ("circuits", "BreakersOpened"),
];

/// Reads metrics.
pub struct MetricsClient {
    pub(crate) cloudwatch: aws_sdk_cloudwatch::Client,
}

impl MetricsClient {
    /// Reads the metrics of the function with this name and of its queues, by name. A metric without data has no points.
    pub async fn recent(
        &self,
        function: &str,
        queue: &str,
        parking: Option<&str>,
        now: Timestamp,
    ) -> Result<RecentMetrics, AwsError> {
        let operation = "reading the metrics (cloudwatch:GetMetricData)";
        let mut queries: Vec<MetricDataQuery> = OF_FUNCTION
            .map(|(id, name)| query(id, "GenesysReplay", name, ("FunctionName", function), "Sum"))
            .into();
        let oldest = |id, queue| {
            let name = "ApproximateAgeOfOldestMessage";
            query(id, "AWS/SQS", name, ("QueueName", queue), "Maximum")
        };
        queries.push(oldest("oldest", queue));
        queries.extend(parking.map(|parking| oldest("oldest_parked", parking)));
        let at = |time: Timestamp| {
            DateTime::from_millis(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
        };
        // Begins at a whole minute, so that no minute is cut.
        let begin = Timestamp::from_millis(now.minus(METRICS_WINDOW).as_millis() / 60_000 * 60_000);
        let call = self.cloudwatch.get_metric_data().set_metric_data_queries(Some(queries));
        // One page has 100,800 points; these are 160.
        let call = call.start_time(at(begin)).end_time(at(now));
        let answer = answered(operation, call.send()).await?;
        let mut recent = RecentMetrics::default();
        for result in answer.metric_data_results() {
            let list = match result.id().unwrap_or_default() {
                "records" => &mut recent.records,
                "replayed" => &mut recent.replayed,
                "duplicates" => &mut recent.duplicates,
                "archived" => &mut recent.archived,
                "deferred" => &mut recent.deferred,
                "returned" => &mut recent.returned,
                "not_attempted" => &mut recent.not_attempted,
                "circuits" => &mut recent.circuits_opened,
                "oldest" => &mut recent.oldest_seconds,
                "oldest_parked" => &mut recent.oldest_parked_seconds,
                _ => continue,
            };
            *list = points(result);
        }
        Ok(recent)
    }
}

fn query(
    id: &str,
    namespace: &str,
    name: &str,
    (dimension, value): (&str, &str),
    statistic: &str,
) -> MetricDataQuery {
    let dimension = Dimension::builder().name(dimension).value(value).build();
    let metric = Metric::builder().namespace(namespace).metric_name(name).dimensions(dimension);
    let stat = MetricStat::builder().metric(metric.build()).period(PERIOD_SECONDS).stat(statistic);
    MetricDataQuery::builder().id(id).metric_stat(stat.build()).build()
}

/// Returns the points of an answer, the oldest first.
fn points(result: &MetricDataResult) -> Vec<MetricPoint> {
    let times = result.timestamps().iter().filter_map(|at| at.to_millis().ok());
    let times = times.filter_map(|at| u64::try_from(at).ok()).map(Timestamp::from_millis);
    let values = result.values().iter().copied();
    let mut points: Vec<MetricPoint> =
        times.zip(values).map(|(at, value)| MetricPoint { at, value }).collect();
    points.sort_by_key(|point| point.at);
    points
}
