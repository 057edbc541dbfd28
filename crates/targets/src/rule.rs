//! The parameters of a rule's targets, as `EventBridge` has them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_eventbridge::operation::list_targets_by_rule::ListTargetsByRuleError;
use aws_sdk_eventbridge::types::Target;
use genesys_replay::clock::Clock;
use genesys_replay::destination::Arn;
use genesys_replay::digest;
use genesys_replay::failure::Disposition;
use genesys_replay::target::{Delivery, DeliveryError, RuleTarget};
use lru::LruCache;

use crate::aws::{AwsTargets, delivery_error};
use crate::refreshed::{DESCRIPTION_TTL, LoadError, Refreshed};

/// The maximum number of rules whose targets are cached.
const MAX_RULES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The maximum number of pages of a rule's targets. A rule has five targets by default, and a page has up to 100.
const MAX_PAGES: usize = 10;

/// The parameters of one target of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetParameters {
    /// The values of each `*` in a path, in order.
    pub(crate) path_values: Vec<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) query: BTreeMap<String, String>,
    /// The JSON path of the partition key of a Kinesis record.
    pub(crate) partition_key: Option<String>,
    /// The message group of a FIFO queue.
    pub(crate) group: Option<String>,
}

impl From<&Target> for TargetParameters {
    fn from(target: &Target) -> Self {
        let http = target.http_parameters();
        let sorted = |map: Option<&std::collections::HashMap<String, String>>| {
            map.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Self {
            path_values: http.map(|http| http.path_parameter_values().to_vec()).unwrap_or_default(),
            headers: sorted(http.and_then(|http| http.header_parameters())),
            query: sorted(http.and_then(|http| http.query_string_parameters())),
            partition_key: target
                .kinesis_parameters()
                .map(|kinesis| kinesis.partition_key_path().to_owned()),
            group: target
                .sqs_parameters()
                .and_then(|sqs| sqs.message_group_id())
                .map(str::to_owned),
        }
    }
}

/// The targets of one rule, with their ARNs.
type Targets = Vec<(String, TargetParameters)>;

/// The targets of rules, cached for five minutes.
pub struct EventRules {
    by_arn: Mutex<LruCache<String, Arc<Refreshed<Targets>>>>,
    clock: Arc<dyn Clock>,
}

impl EventRules {
    /// Creates an empty cache.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { by_arn: Mutex::new(LruCache::new(MAX_RULES)), clock }
    }

    /// Returns the HTTP parameters of the delivery's target in its rule. They are empty without a rule, or if the rule does
    /// not exist any more.
    ///
    /// # Errors
    /// The parameters cannot be read. The target may need them.
    pub(crate) async fn http_parameters(
        &self,
        aws: &AwsTargets,
        target: &Arn,
        delivery: &Delivery<'_>,
    ) -> Result<TargetParameters, DeliveryError> {
        delivery.progress.preparing();
        // Rule and target are in one account. The rule is found by its name, so one of another account is not used.
        let is_own = |rule: &str| {
            Arn::parse(rule).is_some_and(|rule| {
                (rule.account(), rule.region()) == (target.account(), target.region())
            })
        };
        let Some(rule_target) = delivery.rule_target.filter(|it| is_own(it.rule_arn)) else {
            return Ok(TargetParameters::default());
        };
        self.parameters(aws, rule_target, delivery).await
    }

    /// Returns the parameters of the delivery's target in its rule. They are empty if the function may not read the rule, or
    /// if the rule does not have the target: the target has a default for them.
    ///
    /// # Errors
    /// `EventBridge` did not answer. Another attempt would have other parameters.
    pub(crate) async fn optional_parameters(
        &self,
        aws: &AwsTargets,
        delivery: &Delivery<'_>,
    ) -> Result<TargetParameters, DeliveryError> {
        let Some(rule_target) = delivery.rule_target else {
            return Ok(TargetParameters::default());
        };
        delivery.progress.preparing();
        let found = self.parameters(aws, rule_target, delivery).await;
        delivery.progress.sending();
        match found {
            Err(error) if error.disposition == Disposition::Operator => {
                let (rule, error) = (rule_target.rule_arn, error.reason);
                tracing::warn!(rule, error, "rule not readable, default parameters used");
                Ok(TargetParameters::default())
            }
            found => found,
        }
    }

    /// Returns the parameters of a rule's target. They are empty if the rule does not exist any more. The target has the ARN
    /// in the dead letter or, after a redirect, that of the destination.
    ///
    /// # Errors
    /// `EventBridge` did not answer or denied the call, or the rule does not have one target with this ARN.
    async fn parameters(
        &self,
        aws: &AwsTargets,
        target: RuleTarget<'_>,
        delivery: &Delivery<'_>,
    ) -> Result<TargetParameters, DeliveryError> {
        let rule = Arn::parse(target.rule_arn);
        let Some((rule, (bus, name))) =
            rule.as_ref().and_then(|rule| Some((rule, bus_and_name(rule)?)))
        else {
            return Ok(TargetParameters::default());
        };
        let load = Box::pin(list(aws, rule, bus, name));
        let targets = self.of(rule).get(load).await?.value;
        if targets.is_empty() {
            tracing::warn!(
                rule = target.rule_arn,
                "rule without targets, event delivered without the parameters of a rule"
            );
            return Ok(TargetParameters::default());
        }
        let with_arn = |arn: &str| {
            let matching = targets.iter().filter(|(other, _)| other == arn);
            matching.map(|(_, parameters)| parameters).collect::<Vec<_>>()
        };
        let mut matching = with_arn(target.target_arn);
        if matching.is_empty() {
            matching = with_arn(delivery.destination.key_part());
        }
        let fault = match matching.split_first() {
            Some((first, others)) if others.iter().all(|other| other == first) => {
                return Ok((*first).clone());
            }
            Some(_) => "has several targets with this ARN and different parameters",
            None => "does not have this target any more, so its parameters are not known",
        };
        Err(LoadError::misconfigured(format!("the rule {name} {fault}")).into())
    }

    fn of(&self, rule: &Arn) -> Arc<Refreshed<Targets>> {
        let mut by_arn = self.by_arn.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Refreshed::new(DESCRIPTION_TTL, Arc::clone(&self.clock)));
        Arc::clone(by_arn.get_or_insert(rule.as_str().to_owned(), new))
    }
}

async fn list(
    aws: &AwsTargets,
    rule: &Arn,
    bus: Option<&str>,
    name: &str,
) -> Result<(Targets, String), LoadError> {
    let clients = aws.of(rule);
    let mut targets = Vec::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let call = clients.event_bridge.list_targets_by_rule().rule(name);
        let call = call.set_event_bus_name(bus.map(str::to_owned)).set_next_token(next);
        let page = match call.send().await {
            Ok(page) => page,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(ListTargetsByRuleError::is_resource_not_found_exception) =>
            {
                break;
            }
            Err(error) => return Err(delivery_error("EventBridge", error).into()),
        };
        targets.extend(page.targets().iter().map(|it| (it.arn().to_owned(), it.into())));
        next = page.next_token().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    let digest = digest::hexadecimal(&format!("{targets:?}"));
    Ok((targets, digest))
}

/// Returns the bus and the name of a rule: `rule/<name>` on the default bus, else `rule/<bus>/<name>`. The name of a partner
/// bus has slashes.
fn bus_and_name(rule: &Arn) -> Option<(Option<&str>, &str)> {
    let path = rule.resource().strip_prefix("rule/").filter(|_| rule.service() == "events")?;
    let (bus, name) = match path.rsplit_once('/') {
        Some((bus, name)) => (Some(bus), name),
        None => (None, path),
    };
    (!name.is_empty() && bus != Some("")).then_some((bus, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_has_a_bus_and_a_name() {
        let partner = "aws.partner/genesys.com/cloud/o-1/s-1";
        for (resource, expected) in [
            ("rule/crm".to_owned(), Some((None, "crm"))),
            ("rule/orders/crm".to_owned(), Some((Some("orders"), "crm"))),
            (format!("rule/{partner}/crm"), Some((Some(partner), "crm"))),
            ("rule/".to_owned(), None),
            ("rule//crm".to_owned(), None),
            ("event-bus/crm".to_owned(), None),
        ] {
            let arn = Arn::parse(&format!("arn:aws:events:eu-west-1:271828182845:{resource}"));
            assert_eq!(arn.as_ref().and_then(bus_and_name), expected, "{resource}");
        }
    }
}
