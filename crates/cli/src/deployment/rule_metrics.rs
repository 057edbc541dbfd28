//! The lost events of rules, from the metrics of `EventBridge` in `CloudWatch`.

use std::time::Duration;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat};
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;

use super::metrics::MetricsClient;
use crate::calls::answered;

const DAY: Duration = Duration::from_secs(86_400);

/// The time before now of which the losses are read: the maximum retention of a queue.
pub const LOSSES_WINDOW_DAYS: u32 = 14;

/// The resolution of the metrics, in seconds.
const PERIOD_SECONDS: i32 = 3_600;

/// The maximum number of rules in one call, which may have 500 queries.
const MAX_RULES_PER_CALL: usize = 250;

/// The bus on which a rule's metrics have no dimension for the bus.
const DEFAULT_BUS: &str = "default";

/// Sums of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventSums {
    pub last_day: u64,
    /// Within [`LOSSES_WINDOW_DAYS`].
    pub last_days: u64,
}

/// The events of one rule that its targets did not get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleLosses {
    /// The events that were not written to the dead-letter queue (`InvocationsFailedToBeSentToDlq`): they are lost.
    pub not_sent_to_queue: EventSums,
    /// The events that failed for good (`FailedInvocations`): lost without a dead-letter queue.
    pub failed: EventSums,
}

impl MetricsClient {
    /// Reads the losses of rules, each named by its bus and its name, in their order.
    pub async fn rule_losses(
        &self,
        rules: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Vec<RuleLosses>, AwsError> {
        let mut losses = Vec::new();
        for rules in rules.chunks(MAX_RULES_PER_CALL) {
            losses.extend(self.losses_of_chunk(rules, now).await?);
        }
        Ok(losses)
    }

    async fn losses_of_chunk(
        &self,
        rules: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Vec<RuleLosses>, AwsError> {
        let operation = "reading the losses of rules (cloudwatch:GetMetricData)";
        let queries: Vec<MetricDataQuery> =
            rules.iter().enumerate().flat_map(|(index, rule)| queries(index, *rule)).collect();
        let at = |time: Timestamp| {
            DateTime::from_millis(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
        };
        let begin = now.minus(DAY * LOSSES_WINDOW_DAYS);
        let mut losses = vec![RuleLosses::default(); rules.len()];
        let mut next = None;
        loop {
            let call =
                self.cloudwatch.get_metric_data().set_metric_data_queries(Some(queries.clone()));
            let call = call.start_time(at(begin)).end_time(at(now)).set_next_token(next);
            let answer = answered(operation, call.send()).await?;
            for result in answer.metric_data_results() {
                let id = result.id().unwrap_or_default();
                let Some((metric, index)) = id.rsplit_once('_') else { continue };
                let Some(losses) = index.parse().ok().and_then(|it: usize| losses.get_mut(it))
                else {
                    continue;
                };
                let sums = if metric == "failed" {
                    &mut losses.failed
                } else {
                    &mut losses.not_sent_to_queue
                };
                add(sums, result, now);
            }
            next = answer.next_token;
            if next.is_none() {
                return Ok(losses);
            }
        }
    }
}

fn queries(index: usize, (bus, rule): (&str, &str)) -> [MetricDataQuery; 2] {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    [("failed", "FailedInvocations"), ("not_sent", "InvocationsFailedToBeSentToDlq")].map(
        |(id, name)| {
            let mut metric = Metric::builder().namespace("AWS/Events").metric_name(name);
            if bus != DEFAULT_BUS {
                metric = metric.dimensions(dimension("EventBusName", bus));
            }
            let metric = metric.dimensions(dimension("RuleName", rule)).build();
            let stat = MetricStat::builder().metric(metric).period(PERIOD_SECONDS).stat("Sum");
            MetricDataQuery::builder().id(format!("{id}_{index}")).metric_stat(stat.build()).build()
        },
    )
}

/// Adds the points of one page of a result.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "EventBridge writes whole counts, and the cast saturates"
)]
fn add(sums: &mut EventSums, result: &MetricDataResult, now: Timestamp) {
    let a_day_ago = now.minus(DAY);
    for (at, value) in result.timestamps().iter().zip(result.values()) {
        let count = value.round() as u64;
        let at = at.to_millis().ok().and_then(|at| u64::try_from(at).ok());
        let at = at.map(Timestamp::from_millis);
        sums.last_days += count;
        if at.is_some_and(|at| at >= a_day_ago) {
            sums.last_day += count;
        }
    }
}
