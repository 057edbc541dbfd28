//! Conditional writes of one item, and the meaning of their rejections.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure as OnRefusal};
use genesys_replay::ledger::{Lease, LedgerError};

use super::item::{
    CONFIGURATION_ANSWERS, IN_PROGRESS, Item, MAYBE_DELIVERED, REPLAYED, UNANSWERED_ATTEMPTS,
    number, text,
};

/// The condition of every write after a claim.
pub(super) const HELD: &str = "#Owner = :owner AND #Status = :in_progress";

/// A builder of one `UpdateItem`. Every attribute name is a placeholder, because names like `Status` and
/// `Owner` are reserved words of the expression language.
pub(super) struct Update {
    request: UpdateItemFluentBuilder,
    assignments: Vec<String>,
    removals: Vec<String>,
    names: HashMap<String, String>,
    values: Item,
}

impl Update {
    pub(super) fn new(request: UpdateItemFluentBuilder) -> Self {
        Self {
            request,
            assignments: Vec::new(),
            removals: Vec::new(),
            names: HashMap::new(),
            values: Item::new(),
        }
    }

    pub(super) fn set(
        &mut self,
        name: &str,
        placeholder: &str,
        value: AttributeValue,
    ) -> &mut Self {
        self.assign(name, placeholder, (placeholder, value))
    }

    /// Sets an attribute unless the item already has it.
    pub(super) fn set_once(
        &mut self,
        name: &str,
        placeholder: &str,
        value: AttributeValue,
    ) -> &mut Self {
        let operand = format!("if_not_exists(#{name}, {placeholder})");
        self.assign(name, &operand, (placeholder, value))
    }

    /// Adds one to a count; a missing count becomes 1.
    pub(super) fn increment(&mut self, name: &str) -> &mut Self {
        let operand = format!("if_not_exists(#{name}, :zero) + :one");
        self.value(":zero", number(0_u32));
        self.assign(name, &operand, (":one", number(1_u32)))
    }

    pub(super) fn remove(&mut self, name: &str) -> &mut Self {
        self.removals.push(format!("#{name}"));
        self.name(name)
    }

    /// Writes the attempts with an uncertain result or an uncertain cause.
    pub(super) fn set_uncertain(&mut self, lease: &Lease) -> &mut Self {
        if lease.maybe_delivered {
            self.set(MAYBE_DELIVERED, ":true", AttributeValue::Bool(true));
        }
        let answers = lease.answers;
        for (name, placeholder, count) in [
            (CONFIGURATION_ANSWERS, ":configuration", answers.configuration),
            (UNANSWERED_ATTEMPTS, ":unanswered", answers.unanswered),
        ] {
            if count > 0 {
                self.set(name, placeholder, number(count));
            }
        }
        self
    }

    /// Writes that the target accepted, if the lease has an accepted attempt.
    pub(super) fn set_delivered(&mut self, lease: &Lease) -> &mut Self {
        let Some(attempt) = lease.delivered else {
            return self;
        };
        self.set("Step", ":replayed", text(REPLAYED));
        self.set("DeliveredAttempt", ":delivered", number(attempt));
        if let Some(receipt) = &lease.receipt {
            let at = number(receipt.at.as_millis());
            self.set("DeliveredAt", ":delivered_at", at);
            if let Some(id) = &receipt.delivery_id {
                self.set("DeliveryId", ":delivery_id", text(id));
            }
        }
        self
    }

    pub(super) fn assign(
        &mut self,
        name: &str,
        operand: &str,
        value: (&str, AttributeValue),
    ) -> &mut Self {
        self.assignments.push(format!("#{name} = {operand}"));
        self.name(name).value(value.0, value.1)
    }

    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.names.insert(format!("#{name}"), name.to_owned());
        self
    }

    pub(super) fn value(&mut self, placeholder: &str, value: AttributeValue) -> &mut Self {
        self.values.insert(placeholder.to_owned(), value);
        self
    }

    /// Returns the request. If `condition` does not hold, the write is rejected with the current item.
    pub(super) fn on_condition(self, condition: &str) -> UpdateItemFluentBuilder {
        let mut expression = format!("SET {}", self.assignments.join(", "));
        if !self.removals.is_empty() {
            expression.push_str(" REMOVE ");
            expression.push_str(&self.removals.join(", "));
        }
        self.request
            .update_expression(expression)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values(Some(self.values))
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
    }

    /// Returns the request. If the lease does not hold any more, the write is rejected.
    pub(super) fn fenced(self, lease: &Lease) -> UpdateItemFluentBuilder {
        self.held_by(lease).on_condition(HELD)
    }

    /// Adds the names and values of the condition [`HELD`].
    pub(super) fn held_by(mut self, lease: &Lease) -> Self {
        self.name("Owner")
            .name("Status")
            .value(":owner", text(&lease.owner))
            .value(":in_progress", text(IN_PROGRESS));
        self
    }
}

pub(super) fn refused(error: SdkError<UpdateItemError>) -> LedgerError {
    refused_item(error).map_or_else(|unavailable| unavailable, |_| LedgerError::LeaseLost)
}

/// Returns the item that rejected the write. Returns an error if the cause was not the condition.
pub(super) fn refused_item(error: SdkError<UpdateItemError>) -> Result<Item, LedgerError> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
            Ok(refusal.item.clone().unwrap_or_default())
        }
        // An attribute has another type than ours. Only this item is at fault.
        Some(other) if is_wrong_type(other) => Err(LedgerError::Unreadable("Attempts")),
        Some(_) | None => Err(LedgerError::Unavailable(error.into())),
    }
}

/// Returns true if an operand of the update has another type in the item. A table with another key also
/// causes a `ValidationException`, but with another message.
fn is_wrong_type(error: &UpdateItemError) -> bool {
    error.code() == Some("ValidationException")
        && error.message().is_some_and(|message| message.contains("operand"))
}
