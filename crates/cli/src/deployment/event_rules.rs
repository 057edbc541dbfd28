//! The event buses of an account and region, their rules and the targets of the rules, as `EventBridge` has them.

mod answer_text;
pub(super) mod matching;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{EventSourceState, Rule, RuleState};
use futures_util::{StreamExt, stream};
use genesys_replay::aws::{AwsError, AwsErrorKind};
use serde_json::Value;

use crate::calls::answered;
use answer_text::AnswerText;

/// The maximum number of rules whose targets are read at once. More calls would be throttled.
const MAX_CONCURRENT_READS: usize = 4;

/// The begin of the name of a partner's bus and of a partner's event source.
const PARTNER_PREFIX: &str = "aws.partner/";

/// An event bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusFacts {
    pub name: String,
    /// Empty if the bus cannot be described.
    pub arn: String,
    /// The customer key that encrypts the bus, if there is one; the error if the bus cannot be described.
    pub key: Result<Option<String>, AwsError>,
    /// True for the bus of a partner's event source.
    pub is_partner: bool,
    /// The service that manages the bus, if there is one.
    pub managed_by: Option<String>,
}

/// A rule of an event bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFacts {
    pub name: String,
    pub arn: String,
    /// The name of the bus.
    pub bus: String,
    pub is_enabled: bool,
    /// The service that manages the rule, if there is one. Its targets cannot be changed by its owner.
    pub managed_by: Option<String>,
    /// The event pattern; `None` for a rule with a schedule only.
    pub pattern: Option<String>,
    pub targets: Result<Vec<RuleTargetFacts>, AwsError>,
}

/// A target of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTargetFacts {
    pub id: String,
    pub arn: String,
    /// The ARN of the dead-letter queue.
    pub dead_letter_queue: Option<String>,
    /// The maximum age of an event in the retry policy, in seconds.
    pub max_event_age_seconds: Option<u64>,
    /// The maximum number of retries in the retry policy.
    pub max_retries: Option<u64>,
    /// The whole target as `EventBridge` sent it, with members that this program does not know. `PutTargets` replaces a
    /// target, so a change must send all of them.
    pub definition: Value,
}

/// The buses and rules that were read.
#[derive(Clone, Debug, Default)]
pub struct BusesAndRules {
    pub buses: Vec<BusFacts>,
    pub rules: Vec<RuleFacts>,
    /// The errors of listing the rules of a bus.
    pub failures: Vec<AwsError>,
}

/// Reads buses, rules and targets. No call changes anything.
pub struct EventRulesReader {
    pub(crate) client: Client,
}

impl EventRulesReader {
    /// Reads the bus with this name, or all buses of the account and region, with all rules and targets.
    ///
    /// # Errors
    /// [`AwsError`] if the buses cannot be listed, or the named bus does not exist. Other errors are facts.
    pub async fn read(&self, bus: Option<&str>) -> Result<BusesAndRules, AwsError> {
        let buses = match bus {
            Some(name) => vec![self.named(name).await?],
            None => self.buses().await?,
        };
        let mut read = BusesAndRules::default();
        for bus in &buses {
            match self.rules(&bus.name).await {
                Ok(rules) => read.rules.extend(rules),
                Err(error) => read.failures.push(error),
            }
        }
        read.buses = buses;
        Ok(read)
    }

    /// Returns the bus with this name. Without the permission to describe it, its rules can be read nevertheless.
    async fn named(&self, name: &str) -> Result<BusFacts, AwsError> {
        match self.bus(name).await {
            Err(error) if error.kind == AwsErrorKind::Denied => Ok(BusFacts {
                name: name.to_owned(),
                arn: String::new(),
                key: Err(error),
                is_partner: name.starts_with(PARTNER_PREFIX),
                managed_by: None,
            }),
            found => found,
        }
    }

    /// Returns all buses of the account and region: the default bus, custom buses and buses of partners.
    pub async fn buses(&self) -> Result<Vec<BusFacts>, AwsError> {
        let mut buses = Vec::new();
        let mut next = None;
        loop {
            let call = self.client.list_event_buses().set_next_token(next);
            let operation = "listing the event buses (events:ListEventBuses)";
            let page = answered(operation, call.send()).await?;
            for bus in page.event_buses() {
                let (name, arn) = (bus.name().unwrap_or_default(), bus.arn().unwrap_or_default());
                let described = self.bus(name).await;
                buses.push(BusFacts {
                    name: name.to_owned(),
                    arn: arn.to_owned(),
                    key: described.and_then(|it| it.key),
                    is_partner: name.starts_with(PARTNER_PREFIX),
                    managed_by: bus.managed_by().map(str::to_owned),
                });
            }
            next = page.next_token;
            if next.is_none() {
                return Ok(buses);
            }
        }
    }

    /// Returns the bus with this name.
    ///
    /// # Errors
    /// [`AwsError`], also if the bus does not exist.
    pub async fn bus(&self, name: &str) -> Result<BusFacts, AwsError> {
        let operation = format!("describing the event bus {name} (events:DescribeEventBus)");
        let call = self.client.describe_event_bus().name(name);
        let found = answered(&operation, call.send()).await?;
        let name = found.name().unwrap_or(name);
        Ok(BusFacts {
            name: name.to_owned(),
            arn: found.arn().ok_or_else(|| AwsError::incomplete(operation, "ARN"))?.to_owned(),
            key: Ok(found.kms_key_identifier().filter(|key| !key.is_empty()).map(str::to_owned)),
            is_partner: name.starts_with(PARTNER_PREFIX),
            managed_by: found.managed_by().map(str::to_owned),
        })
    }

    /// Returns all rules of a bus with their targets, in the order of `EventBridge`.
    pub async fn rules(&self, bus: &str) -> Result<Vec<RuleFacts>, AwsError> {
        let rules = list_rules(&self.client, bus).await?;
        let rules = stream::iter(rules).map(|rule| self.with_targets(bus, rule));
        Ok(rules.buffered(MAX_CONCURRENT_READS).collect().await)
    }

    async fn with_targets(&self, bus: &str, rule: Rule) -> RuleFacts {
        let name = rule.name.unwrap_or_default();
        RuleFacts {
            targets: self.targets(bus, &name).await,
            name,
            arn: rule.arn.unwrap_or_default(),
            bus: bus.to_owned(),
            is_enabled: rule.state != Some(RuleState::Disabled),
            managed_by: rule.managed_by.filter(|it| !it.is_empty()),
            pattern: rule.event_pattern,
        }
    }

    /// Returns all targets of a rule.
    pub async fn targets(&self, bus: &str, rule: &str) -> Result<Vec<RuleTargetFacts>, AwsError> {
        let operation =
            format!("reading the targets of the rule {rule} (events:ListTargetsByRule)");
        let mut targets = Vec::new();
        let mut next = None;
        loop {
            let text = AnswerText::default();
            let call = self.client.list_targets_by_rule().rule(rule).event_bus_name(bus);
            let call = call.set_next_token(next).customize().interceptor(text.clone());
            let page = answered(&operation, call.send()).await?;
            let definitions = text.members("Targets");
            if definitions.len() != page.targets().len() {
                return Err(AwsError::incomplete(operation, "targets as JSON"));
            }
            targets.extend(definitions.into_iter().filter_map(RuleTargetFacts::of));
            next = page.next_token;
            if next.is_none() {
                return Ok(targets);
            }
        }
    }

    /// Returns the names of the partner event sources that have no bus yet: their events are lost.
    pub async fn sources_without_bus(&self) -> Result<Vec<String>, AwsError> {
        let operation = "listing the partner event sources (events:ListEventSources)";
        let mut names = Vec::new();
        let mut next = None;
        loop {
            let call = self.client.list_event_sources().set_next_token(next);
            let page = answered(operation, call.send()).await?;
            let sources = page.event_sources().iter();
            let pending = sources.filter(|it| it.state() == Some(&EventSourceState::Pending));
            names.extend(pending.filter_map(|it| it.name()).map(str::to_owned));
            next = page.next_token;
            if next.is_none() {
                return Ok(names);
            }
        }
    }
}

impl RuleTargetFacts {
    /// Reads a target in the form of `PutTargets`. Returns `None` without id or ARN, which `EventBridge` requires.
    pub fn of(definition: Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let retries = &definition["RetryPolicy"];
        Some(Self {
            id: text(&definition["Id"])?,
            arn: text(&definition["Arn"])?,
            dead_letter_queue: text(&definition["DeadLetterConfig"]["Arn"]),
            max_event_age_seconds: retries["MaximumEventAgeInSeconds"].as_u64(),
            max_retries: retries["MaximumRetryAttempts"].as_u64(),
            definition,
        })
    }
}

/// Returns all rules of a bus.
async fn list_rules(client: &Client, bus: &str) -> Result<Vec<Rule>, AwsError> {
    let operation = format!("listing the rules of {bus} (events:ListRules)");
    let mut rules = Vec::new();
    let mut next = None;
    loop {
        let call = client.list_rules().event_bus_name(bus).set_next_token(next);
        let page = answered(&operation, call.send()).await?;
        rules.extend(page.rules.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            return Ok(rules);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_read_from_its_definition() {
        let definition = serde_json::json!({
            "Id": "crm",
            "Arn": "arn:aws:lambda:eu-central-1:271828182845:function:crm",
            "DeadLetterConfig": { "Arn": "arn:aws:sqs:eu-central-1:271828182845:dlq" },
            "RetryPolicy": { "MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60 },
            "NewParameters": { "A": [1] },
        });
        let target = RuleTargetFacts::of(definition.clone());
        let expected = RuleTargetFacts {
            id: "crm".to_owned(),
            arn: "arn:aws:lambda:eu-central-1:271828182845:function:crm".to_owned(),
            dead_letter_queue: Some("arn:aws:sqs:eu-central-1:271828182845:dlq".to_owned()),
            max_event_age_seconds: Some(60),
            max_retries: Some(0),
            definition,
        };
        assert_eq!(target, Some(expected));
        assert_eq!(RuleTargetFacts::of(serde_json::json!({ "Id": "crm" })), None);
    }
}
