//! The steps about an existing dead-letter queue: the choice, its other readers, the targets of its dead letters, and its
//! attributes.

use std::collections::BTreeSet;

use genesys_replay::aws::AwsError;
use genesys_replay::destination::{AllowedTargets, Arn};

use super::attributes::{POLICY, changes, key, required, risks};
use super::queue_choice::{
    DerivedTargets, QueueChoice, SeveralQueues, TargetOfRule, candidates, choose,
};
use super::step::{SetupStep, StepName};
use super::{QueueWish, SetupRun, Stopped};
use crate::calls::answered;
use crate::deployment::event_rules::{BusFacts, BusesAndRules};
use crate::operator::rules::Admission;
use crate::operator::rules::queue_policy::{admits, with_sources};
use crate::queue::QueueReader;
use crate::queue::sqs::SqsReader;

/// The begin of the names of Genesys Cloud's buses and event sources.
const GENESYS_SOURCE: &str = "aws.partner/genesys.com";

/// The maximum length of the template's parameter `AllowedTargets`.
const MAX_ALLOWED_TARGETS_CHARS: usize = 2_000;

/// AWS's own key of SQS, whose policy does not allow `EventBridge`.
const SQS_KEY: &str = "alias/aws/sqs";

impl SetupRun<'_> {
    pub(super) async fn choose_queue(&mut self) -> Result<(), Stopped> {
        let name = StepName::Queue;
        let read = match self.tools.rules.read(self.wishes.bus.as_deref()).await {
            Ok(read) => read,
            Err(error) => return self.fail(name, &error),
        };
        let mut notes: Vec<String> = unread(&read).map(ToString::to_string).collect();
        self.targets = rule_targets(&read);
        let configured = self.parameter("DeadLetterQueueArn").map(str::to_owned);
        let choice = match (&self.wishes.queue, configured) {
            (QueueWish::Created, _) => QueueChoice::Created,
            (QueueWish::Named(queue), _) => QueueChoice::Existing { arn: queue.clone() },
            (QueueWish::OfTheRules, Some(arn)) => QueueChoice::Existing { arn },
            (QueueWish::OfTheRules, None) => match choose(&candidates(&self.targets)) {
                Ok(choice) => choice,
                Err(SeveralQueues(queues)) => {
                    let chosen = self.person.choose(&queues).and_then(|index| queues.get(index));
                    let Some(chosen) = chosen else {
                        let found = queues.iter().map(|queue| {
                            let rules: Vec<&str> = queue.rules.iter().map(String::as_str).collect();
                            format!("{} (of {})", Arn::resource_of(&queue.arn), rules.join(", "))
                        });
                        let found: Vec<String> = found.collect();
                        let found = format!("several queues fit: {}", found.join("; "));
                        return self.refuse(name, found, "name one: --queue, or --create-queue");
                    };
                    QueueChoice::Existing { arn: chosen.arn.clone() }
                }
            },
        };
        let QueueChoice::Existing { arn: named } = choice else {
            self.deployment.parameters.remove("DeadLetterQueueArn");
            let found = "no rule has a dead-letter queue here: the stack creates one";
            let found = if self.wishes.queue == QueueWish::Created {
                "the stack creates one"
            } else {
                found
            };
            return self.settle(SetupStep::done(name, found).with_notes(notes));
        };
        let reader = match SqsReader::find(self.tools.sqs.clone(), &named).await {
            Ok(reader) => reader,
            Err(error) => return self.fail(name, &error),
        };
        let facts = match reader.facts().await {
            Ok(facts) => facts,
            Err(error) => return self.fail(name, &error),
        };
        if facts.fifo {
            let found =
                format!("{} is a FIFO queue, to which EventBridge cannot send", facts.name());
            return self.refuse(name, found, "name a standard queue: --queue");
        }
        match self.is_created_by_stack(&facts.arn).await {
            Ok(true) => {
                let found = format!("{} of the stack", facts.name());
                return self.settle(SetupStep::done(name, found).with_notes(notes));
            }
            Ok(false) => {}
            Err(error) => return self.fail(name, &error),
        }
        self.attributes = match self.tools.attributes.read(reader.url()).await {
            Ok(attributes) => attributes,
            Err(error) => return self.fail(name, &error),
        };
        self.queue_url = Some(reader.url().to_owned());
        self.queue = QueueChoice::Existing { arn: facts.arn.clone() };
        self.set_parameter("DeadLetterQueueArn", facts.arn.clone());
        if let Some(key) = key(&self.attributes).map(str::to_owned) {
            self.add_key(&key, &mut notes).await?;
        }
        notes.extend(risks(&self.attributes));
        let rules: BTreeSet<&str> = self
            .targets
            .iter()
            .filter(|it| it.dead_letter_queue.as_ref() == Some(&facts.arn))
            .map(|it| it.rule.as_str())
            .collect();
        let rules: Vec<&str> = rules.into_iter().collect();
        let of = if rules.is_empty() {
            notes.push(
                "no rule of this account and region sends dead letters to this queue: genesys-replay doctor rules"
                    .to_owned(),
            );
            String::new()
        } else {
            format!(", of the rules {}", rules.join(", "))
        };
        let found = format!("{} with about {} messages{of}", facts.name(), facts.depth());
        self.settle(SetupStep::done(name, found).with_notes(notes))
    }

    /// Returns true for the queue that the stack created. As `DeadLetterQueueArn`, it would no longer belong to the stack.
    async fn is_created_by_stack(&self, arn: &str) -> Result<bool, AwsError> {
        let stack = self.tools.stacks.read(&self.deployment.stack).await?;
        Ok(stack.is_some_and(|stack| {
            stack.parameters.get("DeadLetterQueueArn").is_some_and(String::is_empty)
                && stack.output("DeadLetterQueueArn") == Some(arn)
        }))
    }

    /// Adds the key of the queue to the keys that the function may use.
    async fn add_key(&mut self, key: &str, notes: &mut Vec<String>) -> Result<(), Stopped> {
        if key.contains(SQS_KEY) {
            let found = format!(
                "the queue is encrypted with {SQS_KEY}: EventBridge cannot send to it, and its events are lost"
            );
            let hint =
                "use keys of SQS or your own key: genesys-replay doctor rules prints the command";
            return self.refuse(StepName::Queue, found, hint);
        }
        let operation = format!("reading the key {key} (kms:DescribeKey)");
        let described = answered(&operation, self.tools.keys.describe_key().key_id(key).send());
        let arn = described.await.map(|found| {
            let arn = found.key_metadata().and_then(|it| it.arn());
            arn.unwrap_or(key).to_owned()
        });
        match arn {
            Ok(arn) => {
                let known = self.parameter("KeyArns").unwrap_or_default();
                if !known.split(',').any(|it| it == arn) {
                    let mut keys: Vec<&str> =
                        known.split(',').filter(|it| !it.is_empty()).collect();
                    keys.push(&arn);
                    let keys = keys.join(",");
                    self.set_parameter("KeyArns", keys);
                }
            }
            Err(error) => notes
                .push(format!("{error}: add the ARN of the key yourself: --parameter KeyArns=…")),
        }
        Ok(())
    }

    /// Looks for other functions that read the queue. Each of them would take messages.
    pub(super) async fn check_readers(&mut self) -> Result<(), Stopped> {
        let name = StepName::Readers;
        let QueueChoice::Existing { arn } = self.queue.clone() else {
            return self.settle(SetupStep::done(name, "a new queue has no readers"));
        };
        let mappings = self.tools.mappings.of_queue(&arn).await;
        let mappings = match mappings {
            Ok(mappings) => mappings,
            Err(error) => return self.fail(name, &error),
        };
        let stack = self.tools.stacks.read(&self.deployment.stack).await;
        let own = match stack {
            Ok(stack) => stack.and_then(|it| it.output("ReplayFunctionName").map(str::to_owned)),
            Err(error) => return self.fail(name, &error),
        };
        let others = mappings.iter().filter(|mapping| {
            let is_own = own.as_ref().is_some_and(|own| mapping.function_name() == own);
            !is_own && !mapping.mapping.state.is_off()
        });
        let others: Vec<_> = others.collect();
        let Some(first) = others.first() else {
            return self.settle(SetupStep::done(name, "no other function reads the queue"));
        };
        let names: Vec<&str> = others.iter().map(|it| it.function_name()).collect();
        let found = format!("another function reads the queue: {}", names.join(", "));
        let hint = format!(
            "stop it first: aws lambda update-event-source-mapping --uuid {} --no-enabled",
            first.mapping.uuid
        );
        self.refuse(name, found, hint)
    }

    pub(super) async fn derive_targets(&mut self) -> Result<(), Stopped> {
        let name = StepName::Targets;
        if let Some(target) = self.parameter("ReplayTarget").filter(|it| *it != "original") {
            let found = format!("ReplayTarget is {target}");
            return self.settle(SetupStep::done(name, found));
        }
        let derived = DerivedTargets::of(&self.targets, &self.queue);
        let unsupported = derived.unsupported.iter().map(|arn| {
            format!("{arn}: the function cannot deliver to this kind of target (genesys-replay explain TARGET_UNSUPPORTED)")
        });
        let mut notes: Vec<String> = unsupported.collect();
        let given = self.parameter("AllowedTargets").unwrap_or_default().to_owned();
        let patterns: Vec<&str> = given.split(',').filter(|it| !it.is_empty()).collect();
        let allowed = AllowedTargets::only(patterns.iter().copied());
        let is_named = self.wishes.parameters.contains_key("AllowedTargets");
        let missing = derived.deliverable.iter().map(String::as_str);
        let missing: Vec<&str> =
            missing.filter(|arn| given != "*" && !allowed.contains(arn)).collect();
        if is_named {
            notes.extend(missing.iter().map(|arn| {
                format!("{arn} is a target of the rules, and AllowedTargets does not contain it")
            }));
        } else if !missing.is_empty() {
            let all: Vec<&str> = patterns.iter().chain(&missing).copied().collect();
            let all = all.join(",");
            if all.chars().count() > MAX_ALLOWED_TARGETS_CHARS {
                let found = format!(
                    "the ARNs of the targets have more than {MAX_ALLOWED_TARGETS_CHARS} characters"
                );
                let hint = "name patterns: --parameter 'AllowedTargets=arn:aws:lambda:*:*:function:crm-*,…'";
                return self.refuse(name, found, hint);
            }
            self.set_parameter("AllowedTargets", all);
        }
        let Some(allowed) = self.parameter("AllowedTargets").map(str::to_owned) else {
            let found = "the rules have no target that the function can deliver to";
            let hint = "name the targets: --parameter AllowedTargets=<ARN>, or another target of all events: --parameter ReplayTarget=<ARN or URL>";
            return self.refuse(name, found, hint);
        };
        if let Err(error) = self.allow_connections(&derived).await {
            return self.fail(name, &error);
        }
        let count = allowed.split(',').count();
        let found = format!("{count} allowed: {allowed}");
        self.settle(SetupStep::done(name, found).with_notes(notes))
    }

    /// Adds the connections of API destinations to those whose secrets the function may read.
    async fn allow_connections(&mut self, derived: &DerivedTargets) -> Result<(), AwsError> {
        let known = self.parameter("ConnectionNames").unwrap_or_default().to_owned();
        let mut names: Vec<String> =
            known.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect();
        for destination in derived.api_destinations() {
            if let Some(connection) = self.tools.rules.connection_of(&destination).await?
                && !names.contains(&connection)
            {
                names.push(connection);
            }
        }
        let names = names.join(",");
        if names != known {
            self.set_parameter("ConnectionNames", names);
        }
        Ok(())
    }

    /// Returns the ARNs under which the rules send their dead letters to a queue.
    fn dead_letter_sources(&self, queue_arn: &str) -> BTreeSet<String> {
        let targets = self.targets.iter();
        let targets = targets.filter(|it| it.dead_letter_queue.as_deref() == Some(queue_arn));
        targets.flat_map(|it| it.sources.iter().cloned()).collect()
    }

    /// Sets the attributes that the function and `EventBridge` need before the deployment.
    pub(super) async fn set_queue_attributes(&mut self) -> Result<(), Stopped> {
        let name = StepName::QueueAttributes;
        let (QueueChoice::Existing { arn }, Some(url)) =
            (self.queue.clone(), self.queue_url.clone())
        else {
            return self.settle(SetupStep::done(name, "the stack sets those of a new queue"));
        };
        let mut values = required(&self.attributes, &self.deployment.parameters);
        let present = self.attributes.get(POLICY).map(String::as_str);
        let mut notes = Vec::new();
        let mut missing = BTreeSet::new();
        for source in self.dead_letter_sources(&arn) {
            match admits(present, &arn, &source) {
                Admission::Admitted => {}
                Admission::Refused { .. } | Admission::MaybeRefused { .. } => {
                    missing.insert(source);
                }
                Admission::Denied { reason } | Admission::MaybeDenied { reason } => {
                    notes.push(format!(
                        "the queue's policy may refuse dead letters of {source}: {reason} (genesys-replay doctor rules)"
                    ));
                }
            }
        }
        if !missing.is_empty() {
            let missing: Vec<String> = missing.into_iter().collect();
            let policy = match with_sources(present, &arn, &missing) {
                Ok(policy) => policy,
                Err(error) => {
                    let found = format!("the queue's policy cannot be read: {error}");
                    return self.refuse(name, found, "repair the policy of the queue");
                }
            };
            values.insert(POLICY.to_owned(), policy.to_string());
        }
        let changes = changes(&self.attributes, &values);
        let found = if changes.is_empty() {
            "visibility timeout, message size and policy are as needed".to_owned()
        } else {
            let names: Vec<&str> = changes.iter().map(|it| it.what.as_str()).collect();
            names.join(", ")
        };
        let step = SetupStep::planned(name, found, changes).with_notes(notes);
        if !self.is_approved(&step) {
            return self.keep(step);
        }
        let made = self.tools.attributes.set(&url, &values).await;
        if made.is_ok() {
            self.attributes.extend(values);
        }
        self.applied_by_aws(step, made)
    }
}

/// Returns the errors of the parts that were not read.
fn unread(read: &BusesAndRules) -> impl Iterator<Item = &AwsError> {
    let rules = read.rules.iter().filter_map(|rule| rule.targets.as_ref().err());
    read.failures.iter().chain(rules)
}

fn rule_targets(read: &BusesAndRules) -> Vec<TargetOfRule> {
    let targets = read.rules.iter().filter(|rule| rule.is_enabled).flat_map(|rule| {
        let pattern = rule.pattern.as_deref().unwrap_or_default();
        let is_genesys = rule.bus.starts_with(GENESYS_SOURCE) || pattern.contains(GENESYS_SOURCE);
        let bus = read.buses.iter().find(|bus| bus.name == rule.bus);
        let sender = bus.filter(|bus| sends_under_its_own_arn(bus)).map(|bus| bus.arn.clone());
        rule.targets.iter().flatten().map(move |target| TargetOfRule {
            rule: rule.name.clone(),
            is_genesys,
            target: target.arn.clone(),
            dead_letter_queue: target.dead_letter_queue.clone(),
            sources: [rule.arn.clone()].into_iter().chain(sender.clone()).collect(),
        })
    });
    targets.collect()
}

/// Returns true for a bus with a customer key and for a managed bus of a partner: their dead letters have the ARN of the bus
/// as source, not that of the rule.
fn sends_under_its_own_arn(bus: &BusFacts) -> bool {
    !matches!(bus.key, Ok(None)) || (bus.is_partner && bus.managed_by.is_some())
}
