//! The ledger in a `DynamoDB` table with partition key `EventId` and TTL attribute `ExpiresAt`.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnRefusal,
};

use super::{
    Claim, ClaimRequest, EventKey, Lease, Ledger, LedgerError, Reopen, Settlement, Status,
};
use crate::clock::Timestamp;
use crate::failure::FailureCode;

pub(super) type Item = HashMap<String, AttributeValue>;

/// The ledger of one table.
#[derive(Clone, Debug)]
pub struct DynamoDbLedger {
    client: Client,
    table: String,
    remember: Duration,
}

impl DynamoDbLedger {
    /// A ledger that remembers a finished event for `remember`, which must be longer than the
    /// queue's retention: a message must not outlive the memory of its event.
    #[must_use]
    pub fn new(client: Client, table: String, remember: Duration) -> Self {
        Self {
            client,
            table,
            remember,
        }
    }

    fn update(&self, key: &EventKey) -> Update {
        Update {
            request: self
                .client
                .update_item()
                .table_name(&self.table)
                .key("EventId", text(key.as_str())),
            assignments: Vec::new(),
            removals: Vec::new(),
            names: HashMap::new(),
            values: Item::new(),
        }
    }

    fn expires_at(&self, now: Timestamp) -> AttributeValue {
        number(now.plus(self.remember).as_secs())
    }
}

const IN_PROGRESS: &str = Status::InProgress.as_str();
const DEFERRED: &str = Status::Deferred.as_str();
const COMPLETED: &str = Status::Completed.as_str();
const ARCHIVED: &str = Status::Archived.as_str();
const FAILED: &str = Status::Failed.as_str();
const DISCARDED: &str = Status::Discarded.as_str();
pub(super) const REPLAYED: &str = "REPLAYED";

/// The condition of every write after a claim.
const HELD: &str = "#Owner = :owner AND #Status = :in_progress";

impl Ledger for DynamoDbLedger {
    async fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        let about = &request.about;
        let mut update = self.update(request.key);
        // `Attempts` also counts a claim that finds the event delivered; `settle` corrects it.
        update
            .set("Status", ":in_progress", text(IN_PROGRESS))
            .set("Owner", ":owner", text(&request.owner))
            .set(
                "LeaseUntil",
                ":lease_until",
                number(request.lease_until.as_millis()),
            )
            .set("ExpiresAt", ":expires_at", self.expires_at(request.now))
            .set("MessageId", ":message_id", text(about.message_id.as_str()))
            .set("Category", ":category", text(about.category))
            .set("Target", ":target", text(about.target))
            .set_once("Step", ":claimed", text("CLAIMED"))
            .set_once("FirstSeenAt", ":now_text", text(&request.now.to_string()))
            .increment("Attempts");
        if let Some(interaction_id) = about.interaction_id {
            update.set("InteractionId", ":interaction_id", text(interaction_id));
        }
        update
            .value(":deferred", text(DEFERRED))
            .value(":now", number(request.now.as_millis()));
        let mut condition = "attribute_not_exists(EventId) OR #Status = :deferred \
                             OR (#Status = :in_progress AND #LeaseUntil < :now)"
            .to_owned();
        let reopened: &[(&str, &str)] = match request.reopen {
            Reopen::Nothing => &[],
            Reopen::Failed => &[(":failed", FAILED)],
            Reopen::FailedAndArchived => &[(":failed", FAILED), (":archived", ARCHIVED)],
        };
        for (placeholder, status) in reopened {
            condition.push_str(" OR #Status = ");
            condition.push_str(placeholder);
            update.value(placeholder, text(status));
        }
        let answer = update
            .on_condition(&condition)
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match answer {
            Ok(output) => {
                let item = output.attributes.unwrap_or_default();
                Ok(Claim::Acquired(lease_of(request, &item)?))
            }
            Err(error) => match refused_item(error)? {
                // Our own write, whose first answer was lost on the way.
                item if string(&item, "Owner") == Some(&request.owner)
                    && string(&item, "Status") == Some(IN_PROGRESS) =>
                {
                    Ok(Claim::Acquired(lease_of(request, &item)?))
                }
                item => refusal(&item, request.now),
            },
        }
    }

    async fn next_attempt(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let next = Lease {
            attempt: lease.attempt.saturating_add(1),
            ..lease.clone()
        };
        let mut update = self.update(&lease.key);
        update.set("Attempts", ":attempts", number(next.attempt));
        // The SDK may have sent this twice, and the first copy may arrive when the worker is further on.
        let condition = format!("{HELD} AND #Attempts <= :attempts");
        let held = update.held_by(lease).on_condition(&condition);
        held.send().await.map_err(refused)?;
        Ok(next)
    }

    async fn checkpoint(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let next = Lease {
            delivered: Some(lease.attempt),
            ..lease.clone()
        };
        let mut update = self.update(&lease.key);
        update.set_delivered(&next);
        update.fenced(lease).send().await.map_err(refused)?;
        Ok(next)
    }

    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let (status, code) = match settlement {
            Settlement::Completed(code) => (COMPLETED, code),
            Settlement::Archived(code) => (ARCHIVED, Some(code)),
            Settlement::Failed(code) => (FAILED, Some(code)),
            Settlement::Deferred(code) => (DEFERRED, Some(code)),
        };
        let mut update = self.update(&lease.key);
        update
            .set("Status", ":status", text(status))
            .set("ProcessedAt", ":now_text", text(&now.to_string()))
            .set("ExpiresAt", ":expires_at", self.expires_at(now))
            .set_delivered(lease);
        // A claim that found the event delivered was no attempt. Otherwise the count stands as it is: it
        // never goes back.
        if let Some(attempt) = lease.delivered {
            update.set("Attempts", ":attempts", number(attempt));
        }
        match code {
            Some(code) => update.set("FailureCode", ":code", text(code.as_str())),
            None => update.remove("FailureCode"),
        };
        match update.fenced(lease).send().await.map_err(refused_item) {
            Ok(_) => Ok(()),
            Err(Err(unavailable)) => Err(unavailable),
            // Our own write, whose first answer was lost on the way.
            Err(Ok(item))
                if string(&item, "Owner") == Some(&lease.owner)
                    && string(&item, "Status") == Some(status) =>
            {
                Ok(())
            }
            Err(Ok(_)) => Err(LedgerError::LeaseLost),
        }
    }
}

/// An `UpdateItem` in the making: every attribute is written by its own name through a placeholder,
/// since names like `Status` and `Owner` are words of the expression language.
struct Update {
    request: UpdateItemFluentBuilder,
    assignments: Vec<String>,
    removals: Vec<String>,
    names: HashMap<String, String>,
    values: Item,
}

impl Update {
    fn set(&mut self, name: &str, placeholder: &str, value: AttributeValue) -> &mut Self {
        self.assign(name, placeholder, (placeholder, value))
    }

    /// Sets an attribute unless the item has it.
    fn set_once(&mut self, name: &str, placeholder: &str, value: AttributeValue) -> &mut Self {
        let operand = format!("if_not_exists(#{name}, {placeholder})");
        self.assign(name, &operand, (placeholder, value))
    }

    /// Counts from 1.
    fn increment(&mut self, name: &str) -> &mut Self {
        let operand = format!("if_not_exists(#{name}, :zero) + :one");
        self.value(":zero", number(0_u32));
        self.assign(name, &operand, (":one", number(1_u32)))
    }

    fn remove(&mut self, name: &str) -> &mut Self {
        self.removals.push(format!("#{name}"));
        self.name(name)
    }

    /// Writes down that the target accepted, if it did.
    fn set_delivered(&mut self, lease: &Lease) -> &mut Self {
        if let Some(attempt) = lease.delivered {
            self.set("Step", ":replayed", text(REPLAYED));
            self.set("DeliveredAttempt", ":delivered", number(attempt));
        }
        self
    }

    fn assign(&mut self, name: &str, operand: &str, value: (&str, AttributeValue)) -> &mut Self {
        self.assignments.push(format!("#{name} = {operand}"));
        self.name(name).value(value.0, value.1)
    }

    fn name(&mut self, name: &str) -> &mut Self {
        self.names.insert(format!("#{name}"), name.to_owned());
        self
    }

    fn value(&mut self, placeholder: &str, value: AttributeValue) -> &mut Self {
        self.values.insert(placeholder.to_owned(), value);
        self
    }

    /// The request, to be refused with the item as it is unless `condition` holds.
    fn on_condition(self, condition: &str) -> UpdateItemFluentBuilder {
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
    fn fenced(self, lease: &Lease) -> UpdateItemFluentBuilder {
        self.held_by(lease).on_condition(HELD)
    }

    /// What the condition [`HELD`] needs.
    fn held_by(mut self, lease: &Lease) -> Self {
        self.name("Owner")
            .name("Status")
            .value(":owner", text(&lease.owner))
            .value(":in_progress", text(IN_PROGRESS));
        self
    }
}

fn refused(error: SdkError<UpdateItemError>) -> LedgerError {
    refused_item(error).map_or_else(|unavailable| unavailable, |_| LedgerError::LeaseLost)
}

/// The item whose state refused the write; an error when it was not the condition that failed.
fn refused_item(error: SdkError<UpdateItemError>) -> Result<Item, LedgerError> {
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

fn lease_of(request: &ClaimRequest<'_>, item: &Item) -> Result<Lease, LedgerError> {
    let attempt = integer(item, "Attempts").and_then(|count| u32::try_from(count).ok());
    let attempt = attempt.ok_or(LedgerError::Unreadable("Attempts"))?;
    let delivered = (string(item, "Step") == Some(REPLAYED)).then(|| {
        integer(item, "DeliveredAttempt")
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(attempt)
    });
    Ok(Lease {
        key: request.key.clone(),
        owner: request.owner.clone(),
        attempt,
        delivered,
        first_seen: string(item, "FirstSeenAt")
            .and_then(Timestamp::parse)
            .unwrap_or(request.now),
    })
}

/// What the state of an item that cannot be claimed says.
fn refusal(item: &Item, now: Timestamp) -> Result<Claim, LedgerError> {
    match string(item, "Status") {
        Some(COMPLETED | ARCHIVED | DISCARDED) => Ok(Claim::AlreadyDone),
        Some(FAILED) => Ok(Claim::GivenUp(
            string(item, "FailureCode")
                .and_then(FailureCode::parse)
                .unwrap_or(FailureCode::Internal),
        )),
        Some(IN_PROGRESS) => match integer(item, "LeaseUntil") {
            Some(until) => Ok(Claim::HeldUntil(Timestamp::from_millis(until))),
            None => Err(LedgerError::Unreadable("LeaseUntil")),
        },
        // Deferred between our write and the look at it: the next delivery takes it.
        Some(DEFERRED) => Ok(Claim::HeldUntil(now)),
        Some(_) | None => Err(LedgerError::Unreadable("Status")),
    }
}

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

pub(super) fn string<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(super) fn integer(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}
