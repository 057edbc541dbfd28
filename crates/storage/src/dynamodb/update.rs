//! Conditional writes of one item, and the meaning of their refusals.

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

/// An `UpdateItem` in the making: every attribute is written by its own name through a placeholder,
/// since names like `Status` and `Owner` are words of the expression language.
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

    /// Sets an attribute unless the item has it.
    pub(super) fn set_once(
        &mut self,
        name: &str,
        placeholder: &str,
        value: AttributeValue,
    ) -> &mut Self {
        let operand = format!("if_not_exists(#{name}, {placeholder})");
        self.assign(name, &operand, (placeholder, value))
    }

    /// Counts from 1.
    pub(super) fn increment(&mut self, name: &str) -> &mut Self {
        let operand = format!("if_not_exists(#{name}, :zero) + :one");
        self.value(":zero", number(0_u32));
        self.assign(name, &operand, (":one", number(1_u32)))
    }

    pub(super) fn remove(&mut self, name: &str) -> &mut Self {
        self.removals.push(format!("#{name}"));
        self.name(name)
    }

    /// Writes down the attempts whose fate or cause is not certain.
    pub(super) fn set_uncertain(&mut self, lease: &Lease) -> &mut Self {
        if lease.maybe_delivered {
            self.set(MAYBE_DELIVERED, ":true", AttributeValue::Bool(true));
        }
        let answers = lease.answers;
        for (name, placeholder, count) in [
            (
                CONFIGURATION_ANSWERS,
                ":configuration",
                answers.configuration,
            ),
            (UNANSWERED_ATTEMPTS, ":unanswered", answers.unanswered),
        ] {
            if count > 0 {
                self.set(name, placeholder, number(count));
            }
        }
        self
    }

    /// Writes down that the target accepted, if it did.
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

    /// The request, to be refused with the item as it is unless `condition` holds.
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

    /// The request, to be refused unless the lease still holds.
    pub(super) fn fenced(self, lease: &Lease) -> UpdateItemFluentBuilder {
        self.held_by(lease).on_condition(HELD)
    }

    /// What the condition [`HELD`] needs.
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

/// The item whose state refused the write; an error when it was not the condition that failed.
pub(super) fn refused_item(error: SdkError<UpdateItemError>) -> Result<Item, LedgerError> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
            Ok(refusal.item.clone().unwrap_or_default())
        }
        // An attribute of another type than ours: this item's fault, and no other's.
        Some(other) if is_wrong_type(other) => Err(LedgerError::Unreadable("Attempts")),
        Some(_) | None => Err(LedgerError::Unavailable(error.into())),
    }
}

/// Returns true if an operand of the update has another type in the item. A table with another key is a
/// `ValidationException`, too, but says so in other words.
fn is_wrong_type(error: &UpdateItemError) -> bool {
    error.code() == Some("ValidationException")
        && error
            .message()
            .is_some_and(|message| message.contains("operand"))
}
