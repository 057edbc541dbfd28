//! The replay of one message, before the function receives the others.

use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use genesys_replay::aws::AwsError;
use genesys_replay::ledger::Status;
use serde_json::Value;

use super::step::{SetupStep, StepChange, StepName};
use super::{SetupRun, Stopped};
use crate::calls::answered;
use crate::deployment::functions::DeployedFunction;
use crate::ledger::dynamodb::DynamoDbReader;
use crate::ledger::{LedgerReader, Record};
use crate::operator::classified_message::ClassifiedMessage;
use crate::operator::pause::DrainChange;
use crate::operator::remedy::remedy;
use crate::operator::trace::{EventTrace, TraceSubject};
use crate::queue::QueueReader;
use crate::queue::one_message::{OneMessage, receive_one};
use crate::queue::sqs::SqsReader;

/// The visibility timeout beyond the function's timeout: for the call and its answer.
const SPARE_TIME: Duration = Duration::from_secs(30);

/// The end of the replay of one message.
enum Ending {
    /// The event was delivered, now or earlier.
    Delivered(String),
    /// The event was not delivered: the reason and the next action.
    Failed { found: String, hint: String },
}

impl SetupRun<'_> {
    /// Replays one message of the queue by an invocation of the function. Deletes it when the function is finished with it,
    /// as an event source mapping does.
    pub(super) async fn replay_first_message(&mut self) -> Result<(), Stopped> {
        let name = StepName::FirstMessage;
        let (function, mapping) = self.function(name).await?;
        if DrainChange::Resume.is_made(mapping.state) {
            let found = "the function already receives the messages of the queue";
            return self.settle(SetupStep::done(name, found));
        }
        let queue = match SqsReader::find(self.tools.sqs.clone(), &mapping.queue_arn).await {
            Ok(queue) => queue,
            Err(error) => return self.fail(name, &error),
        };
        let facts = match queue.facts().await {
            Ok(facts) => facts,
            Err(error) => return self.fail(name, &error),
        };
        if facts.visible == 0 {
            let found = format!("{} has no message to replay", facts.name());
            return self.settle(SetupStep::done(name, found));
        }
        let what = format!("one message of {}", facts.name());
        let change = StepChange::new(what, None, format!("replayed by {}", function.name));
        let found = format!("about {} messages wait in {}", facts.visible, facts.name());
        let step = SetupStep::planned(name, found, vec![change]);
        if self.has_open_changes() {
            return self.settle(step);
        }
        if !self.is_approved(&step) {
            return self.keep(step);
        }
        let step = match self.replay_one(&function, &queue).await {
            Ok(Ending::Delivered(found)) => {
                return self.applied(SetupStep { found, ..step }, Ok(()), "");
            }
            Ok(Ending::Failed { found, hint }) => SetupStep::problem(name, found, hint),
            Err(error) => SetupStep::problem(name, error.to_string(), remedy(error.kind)),
        };
        self.settle(step)
    }

    async fn replay_one(
        &mut self,
        function: &DeployedFunction,
        queue: &SqsReader,
    ) -> Result<Ending, AwsError> {
        let settings = match function.variables.operator() {
            Ok(settings) => settings,
            Err(error) => {
                let hint =
                    "genesys-replay doctor; correct the parameters, deploy, and run setup again";
                return Ok(Ending::Failed { found: error.to_string(), hint: hint.to_owned() });
            }
        };
        let hidden = function.timeout + SPARE_TIME;
        let received = receive_one(&self.tools.sqs, queue.url(), queue.arn(), hidden).await?;
        let Some(OneMessage { message, event }) = received else {
            return Ok(Ending::Failed {
                found: "no message was received: another program reads the queue, or all messages wait for their next attempt".to_owned(),
                hint: "run setup again".to_owned(),
            });
        };
        let operation = format!("calling {} (lambda:InvokeFunction)", function.name);
        let call = self.tools.invocations.invoke().function_name(&function.name);
        let answer =
            answered(&operation, call.payload(Blob::new(event.to_string())).send()).await?;
        let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
        let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
        let page = "read its log: genesys-replay doctor and genesys-replay trace --logs; the message is again in the queue";
        if let Some(error) = answer.function_error() {
            let reason = payload["errorMessage"].as_str().unwrap_or(error);
            let found = format!("the function failed: {reason}");
            return Ok(Ending::Failed { found, hint: page.to_owned() });
        }
        let Some(failures) = payload["batchItemFailures"].as_array() else {
            let found = "the function's answer has no batchItemFailures".to_owned();
            return Ok(Ending::Failed { found, hint: page.to_owned() });
        };
        let is_returned =
            failures.iter().any(|it| it["itemIdentifier"].as_str() == Some(message.id.as_str()));
        let classified = ClassifiedMessage::of(&message, &settings.target);
        let (key, event_id) = (classified.key.to_string(), classified.event_id().to_owned());
        let is_event = classified.event().is_some();
        let ledger = DynamoDbReader::new(self.tools.dynamodb.clone(), settings.table);
        let record = ledger.find(&[&key]).await?.into_iter().next();
        let mut trace = EventTrace::of(TraceSubject::Event(event_id.clone()));
        trace.complete_from_ledger(&ledger, &[key]).await;
        self.report.trace = trace.events(self.tools.clock.now());
        if is_returned {
            let code =
                record.and_then(|it| it.failure_code).unwrap_or_else(|| "INTERNAL".to_owned());
            return Ok(Ending::Failed {
                found: format!(
                    "the event {event_id} was not delivered: {code}; the message is in the queue"
                ),
                hint: format!(
                    "genesys-replay explain {code}; repair the cause, then run setup again"
                ),
            });
        }
        let deleted = queue.delete(std::slice::from_ref(&message)).await;
        let ending = ending(&event_id, is_event, record.as_ref());
        Ok(match (ending, deleted.first()) {
            // Received once more, the message ends as a duplicate.
            (Ending::Delivered(found), Some(error)) => {
                Ending::Delivered(format!("{found}; {error}, and ends as a duplicate"))
            }
            (ending, _) => ending,
        })
    }
}

/// Returns the ending of a message that the function is finished with, by its ledger item.
fn ending(event_id: &str, is_event: bool, record: Option<&Record>) -> Ending {
    let code = record.and_then(|it| it.failure_code.as_deref());
    let archived = |code: &str| Ending::Failed {
        found: format!("the event {event_id} was archived: {code}"),
        hint: format!(
            "genesys-replay explain {code}; repair the cause, deploy, and run setup again, which replays another message; plan and apply send the archived one again"
        ),
    };
    match record.and_then(|it| it.status) {
        Some(Status::Completed) => {
            let target = record.map(|it| it.target.as_str()).unwrap_or_default();
            Ending::Delivered(format!("the event {event_id} was delivered to {target}"))
        }
        None if !is_event => archived("NOT_AN_EVENT"),
        // Archived before the claim: the first delivery failed as malformed.
        None => archived("PAYLOAD_MALFORMED"),
        Some(
            Status::Archived
            | Status::Failed
            | Status::InProgress
            | Status::Deferred
            | Status::Discarded,
        ) => archived(code.unwrap_or("INTERNAL")),
    }
}
