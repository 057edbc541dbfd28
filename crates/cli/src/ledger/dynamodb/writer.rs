//! Writes the ledger's items to `DynamoDB`.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use genesys_replay::aws::AwsError;
use genesys_replay::ledger::Status;
use genesys_replay_storage::dynamodb::item::{Item, NOT_BEFORE, REPLAYED, text};

use crate::calls::answered;
use crate::ledger::{ClosingDecision, ExpectedItem, LedgerWriter, UnclaimedItem};

/// The attribute with the id of the last plan that sent, discarded or restored the event.
pub(super) const PLAN_ID: &str = "PlanId";

/// The attributes with the reason of that plan, and with its operator.
pub(super) const REASON: &str = "Reason";
pub(super) const OPERATOR: &str = "By";

/// The error code of a refused conditional write.
const REFUSED: &str = "ConditionalCheckFailedException";

/// A writer of one table.
#[derive(Clone, Debug)]
pub struct DynamoDbWriter {
    client: Client,
    table: String,
    /// The retention of finished items.
    remember: Duration,
}

/// A conditional write that is being made. Every attribute name is a placeholder, because `Status` and `Owner` are
/// reserved words.
#[derive(Default)]
struct Write {
    assignments: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: Item,
}

impl Write {
    fn set(&mut self, name: &str, value: AttributeValue) -> &mut Self {
        self.assignments.push(format!("#{name} = :{name}"));
        self.values.insert(format!(":{name}"), value);
        self.name(name)
    }

    fn name(&mut self, name: &str) -> &mut Self {
        self.names.insert(format!("#{name}"), name.to_owned());
        self
    }

    /// Adds a condition on one attribute; `#` and `:` stand for its name and its value.
    fn only_if(&mut self, condition: &str, name: &str, value: AttributeValue) -> &mut Self {
        let condition = condition.replace('#', &format!("#{name}"));
        self.conditions.push(condition.replace(':', &format!(":expected{name}")));
        self.values.insert(format!(":expected{name}"), value);
        self.name(name)
    }

    /// Adds the condition that the item is in this state.
    fn only_from(&mut self, expected: ExpectedItem<'_>) -> &mut Self {
        let attempts = match expected.attempts {
            0 => "(attribute_not_exists(#) OR # = :)",
            _ => "# = :",
        };
        self.only_if("# = :", "Status", text(expected.status.as_str()));
        self.only_if(attempts, "Attempts", number(expected.attempts));
        if expected.message_id.is_empty() {
            self.conditions.push("attribute_not_exists(#MessageId)".to_owned());
            self.name("MessageId")
        } else {
            self.only_if("# = :", "MessageId", text(expected.message_id))
        }
    }
}

fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

/// Returns true for a write, and false for a refused one.
fn written<T>(answer: Result<T, AwsError>) -> Result<bool, AwsError> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.detail.as_deref() == Some(REFUSED) => Ok(false),
        Err(error) => Err(error),
    }
}

impl DynamoDbWriter {
    pub(crate) fn new(client: Client, table: String, remember: Duration) -> Self {
        Self { client, table, remember }
    }

    fn operation(&self) -> String {
        format!("writing to the table {}", self.table)
    }

    /// Begins a write of a finished item.
    fn closing(&self, status: Status, decision: &ClosingDecision<'_>) -> Write {
        let expires = decision.now.plus(self.remember).as_secs();
        let mut write = Write::default();
        write
            .set("Status", text(status.as_str()))
            .set(PLAN_ID, text(decision.plan))
            .set(REASON, text(decision.reason))
            .set(OPERATOR, text(decision.by))
            .set("ProcessedAt", text(&decision.now.to_string()))
            .set("ExpiresAt", number(expires));
        write
    }

    async fn update(&self, key: &str, write: Write, removal: &str) -> Result<bool, AwsError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("EventId", text(key))
            .update_expression(format!("SET {}{removal}", write.assignments.join(", ")))
            .condition_expression(write.conditions.join(" AND "))
            .set_expression_attribute_names(Some(write.names))
            .set_expression_attribute_values(Some(write.values));
        written(answered(&self.operation(), call.send()).await)
    }
}

impl LedgerWriter for DynamoDbWriter {
    async fn discard(
        &self,
        key: &str,
        expected: ExpectedItem<'_>,
        decision: &ClosingDecision<'_>,
    ) -> Result<bool, AwsError> {
        let mut write = self.closing(Status::Discarded, decision);
        write.only_from(expected);
        write.only_if("(attribute_not_exists(#) OR # <> :)", "Step", text(REPLAYED));
        if expected.status == Status::InProgress {
            // A worker may have claimed the event since the plan was made.
            let ended = "(attribute_not_exists(#) OR # < :)";
            write.only_if(ended, "LeaseUntil", number(decision.now.as_millis()));
        }
        write.name(NOT_BEFORE);
        self.update(key, write, &format!(" REMOVE #{NOT_BEFORE}")).await
    }

    async fn create_discarded(
        &self,
        key: &str,
        new: &UnclaimedItem<'_>,
        decision: &ClosingDecision<'_>,
    ) -> Result<bool, AwsError> {
        let mut write = self.closing(Status::Discarded, decision);
        write
            .set("MessageId", text(new.message_id))
            .set("Category", text(new.category))
            .set("Target", text(new.target))
            .set("FirstSeenAt", text(&new.first_seen.to_string()));
        for (name, value) in
            [("FailureCode", new.failure_code), ("InteractionId", new.interaction_id)]
        {
            if let Some(value) = value {
                write.set(name, text(value));
            }
        }
        write.conditions.push("attribute_not_exists(EventId)".to_owned());
        self.update(key, write, "").await
    }

    async fn restore(
        &self,
        key: &str,
        expected: ExpectedItem<'_>,
        decision: &ClosingDecision<'_>,
    ) -> Result<bool, AwsError> {
        let mut write = self.closing(Status::Archived, decision);
        write.only_from(expected);
        self.update(key, write, "").await
    }

    async fn forget_unclaimed(&self, key: &str) -> Result<bool, AwsError> {
        let call = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("EventId", text(key))
            .condition_expression("#Status = :discarded AND attribute_not_exists(#Owner)")
            .expression_attribute_names("#Status", "Status")
            .expression_attribute_names("#Owner", "Owner")
            .expression_attribute_values(":discarded", text(Status::Discarded.as_str()));
        written(answered(&self.operation(), call.send()).await)
    }
}
