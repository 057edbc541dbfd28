//! The ledger in a `DynamoDB` table with partition key `EventId` and TTL attribute `ExpiresAt`.

pub mod item;
mod update;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::MAX_TARGET_BYTES;
use genesys_replay::failure::{Accepted, FailureCode};
use genesys_replay::ledger::{
    Claim, ClaimRequest, EventKey, ItemState, Lease, Ledger, LedgerError, ReopenPolicy, Settlement,
};

use self::item::{
    ARCHIVED, CLAIMED, COMPLETED, CONFIGURATION_ANSWERS, DEFERRED, EVENT_KEY, FAILED, IN_PROGRESS,
    Item, MAYBE_DELIVERED, NOT_BEFORE, REPLAYED, UNANSWERED_ATTEMPTS, integer, item_state,
    lease_of, number, refusal, string, text,
};
use self::update::{HELD, Update, refused, refused_item};

/// The ledger of one table.
#[derive(Clone, Debug)]
pub struct DynamoDbLedger {
    client: Client,
    table: String,
    remember: Duration,
}

impl DynamoDbLedger {
    /// Creates a ledger that keeps finished events for `remember`. This time must be longer than the queue's
    /// retention: a message must not outlive the ledger item of its event.
    #[must_use]
    pub fn new(client: Client, table: String, remember: Duration) -> Self {
        Self { client, table, remember }
    }

    fn update(&self, key: &EventKey) -> Update {
        let request = self.client.update_item().table_name(&self.table);
        Update::new(request.key("EventId", text(key.as_str())))
    }

    async fn get(&self, key: &EventKey) -> Result<Option<Item>, LedgerError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("EventId", text(key.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| LedgerError::Unavailable(error.into()))?;
        Ok(answer.item)
    }

    fn expires_at(&self, now: Timestamp) -> AttributeValue {
        number(now.plus(self.remember).as_secs())
    }
}

/// The statuses that a claim may reopen, besides new, deferred and abandoned events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reopening {
    Nothing,
    /// Events whose worker died, perhaps during a delivery.
    Abandoned,
    /// Rejected events without an archive: their rounds count on.
    Failed,
    /// Rejected events of an operator replay: their rounds begin again at 1.
    Rejected,
}

impl DynamoDbLedger {
    async fn take(
        &self,
        request: &ClaimRequest<'_>,
        reopening: Reopening,
    ) -> Result<Result<Lease, Item>, LedgerError> {
        let about = &request.about;
        let mut update = self.update(request.key);
        // `Attempts` also counts a claim that finds the event delivered; `settle` corrects the count.
        update
            .set("Status", ":in_progress", text(IN_PROGRESS))
            .set("Owner", ":owner", text(&request.owner))
            .set("LeaseUntil", ":lease_until", number(request.lease_until.as_millis()))
            .set("ExpiresAt", ":expires_at", self.expires_at(request.now))
            .set("MessageId", ":message_id", text(about.message_id.as_str()))
            .set("Category", ":category", text(about.category))
            .set("Target", ":target", text(about.target))
            .set_once("Step", ":claimed", text(CLAIMED))
            .set_once("FirstSeenAt", ":now_text", text(&request.now.to_string()))
            .remove(NOT_BEFORE)
            .increment("Attempts");
        if let Some(interaction_id) = about.interaction_id {
            update.set("InteractionId", ":interaction_id", text(interaction_id));
        }
        // Both come from outside, and an item has a maximum size.
        let details = [("EventType", about.event_type), ("OriginalTarget", about.original_target)];
        for (name, value) in details {
            if let Some(value) = value.filter(|value| value.len() <= MAX_TARGET_BYTES) {
                let placeholder = format!(":{name}");
                update.set(name, &placeholder, text(value));
            }
        }
        if let Some(replay) = &about.replay {
            // They describe the last operator replay together, so none of an earlier one stays.
            let note =
                [("PlanId", Some(replay.plan)), ("By", replay.by), ("Reason", replay.reason)];
            for (name, value) in note {
                match value.filter(|value| !value.is_empty() && value.len() <= MAX_TARGET_BYTES) {
                    Some(value) => update.set(name, &format!(":{name}"), text(value)),
                    None => update.remove(name),
                };
            }
        }
        let now = number(request.now.as_millis());
        let condition = if reopening == Reopening::Rejected {
            update
                .set("Rounds", ":first", number(1_u32))
                .set("RetrySince", ":now", now)
                .remove(CONFIGURATION_ANSWERS)
                .remove(UNANSWERED_ATTEMPTS)
                .value(":failed", text(FAILED))
                .value(":archived", text(ARCHIVED));
            "#Status = :failed OR #Status = :archived".to_owned()
        } else {
            update.set_once("Rounds", ":first", number(1_u32)).set_once("RetrySince", ":now", now);
            let not_delivered = if request.is_failure_record {
                update.value(":replayed", text(REPLAYED));
                " AND NOT #Step = :replayed"
            } else {
                ""
            };
            if reopening == Reopening::Abandoned {
                update.set(MAYBE_DELIVERED, ":true", AttributeValue::Bool(true));
                format!("#Status = :in_progress AND #LeaseUntil < :now{not_delivered}")
            } else {
                update.value(":deferred", text(DEFERRED));
                let due = if request.ignores_delay {
                    ""
                } else {
                    " AND (attribute_not_exists(#NotBefore) OR #NotBefore <= :now)"
                };
                let mut open = format!("(#Status = :deferred{due}{not_delivered})");
                if reopening == Reopening::Failed {
                    update.value(":failed", text(FAILED));
                    open.push_str(" OR #Status = :failed");
                }
                format!("attribute_not_exists(EventId) OR {open}")
            }
        };
        let answer =
            update.on_condition(&condition).return_values(ReturnValue::AllNew).send().await;
        match answer {
            Ok(output) => {
                let item = output.attributes.unwrap_or_default();
                Ok(Ok(lease_of(request, &item)?))
            }
            Err(error) => match refused_item(error)? {
                // Our own write, whose first answer was lost.
                item if string(&item, "Owner") == Some(&request.owner)
                    && string(&item, "Status") == Some(IN_PROGRESS) =>
                {
                    Ok(Ok(lease_of(request, &item)?))
                }
                item => Ok(Err(item)),
            },
        }
    }
}

impl Ledger for DynamoDbLedger {
    async fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        let reopening = match request.reopen {
            ReopenPolicy::Never | ReopenPolicy::FailedAndArchived => Reopening::Nothing,
            ReopenPolicy::Failed => Reopening::Failed,
        };
        let item = match self.take(request, reopening).await? {
            Ok(lease) => return Ok(Claim::Acquired(lease)),
            Err(item) => item,
        };
        let lease_until = integer(&item, "LeaseUntil").map(Timestamp::from_millis);
        if string(&item, "Status") == Some(IN_PROGRESS)
            && lease_until.is_some_and(|until| until < request.now)
        {
            return match self.take(request, Reopening::Abandoned).await? {
                Ok(lease) => Ok(Claim::Acquired(lease)),
                Err(item) => refusal(&item, request),
            };
        }
        let is_rejected = matches!(string(&item, "Status"), Some(FAILED | ARCHIVED));
        if request.reopen != ReopenPolicy::FailedAndArchived || !is_rejected {
            return refusal(&item, request);
        }
        match self.take(request, Reopening::Rejected).await? {
            Ok(lease) => Ok(Claim::Acquired(lease)),
            Err(item) => refusal(&item, request),
        }
    }

    async fn begin_round(
        &self,
        request: &ClaimRequest<'_>,
        accepted: &Accepted,
        not_before: Timestamp,
    ) -> Result<(), LedgerError> {
        let now = request.now;
        let round = accepted.round.saturating_add(1);
        let code = FailureCode::FailedAfterAcceptance.as_str();
        let mut update = self.update(request.key);
        update
            .set("Status", ":deferred", text(DEFERRED))
            .set("Step", ":claimed", text(CLAIMED))
            .set("Owner", ":owner", text(&request.owner))
            .set("MessageId", ":message_id", text(request.about.message_id.as_str()))
            .set("Rounds", ":round", number(round))
            .set(NOT_BEFORE, ":not_before", number(not_before.as_millis()))
            .set("RetrySince", ":now", number(now.as_millis()))
            .set("FailureCode", ":code", text(code))
            .set("ProcessedAt", ":now_text", text(&now.to_string()))
            .set("ExpiresAt", ":expires_at", self.expires_at(now))
            .remove("DeliveryId")
            .remove("DeliveredAt")
            .remove("DeliveredAttempt")
            .remove(MAYBE_DELIVERED)
            .remove(CONFIGURATION_ANSWERS)
            .remove(UNANSWERED_ATTEMPTS)
            .name("LeaseUntil")
            .value(":replayed", text(REPLAYED))
            .value(":completed", text(COMPLETED))
            .value(":in_progress", text(IN_PROGRESS));
        let receipt = accepted.receipt.as_ref();
        let same_id = match receipt.and_then(|it| it.delivery_id.as_ref()) {
            Some(id) => {
                update.value(":id", text(id));
                "#DeliveryId = :id"
            }
            None => "attribute_not_exists(#DeliveryId)",
        };
        let same_time = match receipt {
            Some(receipt) => {
                update.value(":at", number(receipt.at.as_millis()));
                "#DeliveredAt = :at"
            }
            None => "attribute_not_exists(#DeliveredAt)",
        };
        let condition = format!(
            "#Step = :replayed AND {same_id} AND {same_time} AND (#Status = :completed \
             OR #Status = :deferred OR (#Status = :in_progress AND #LeaseUntil < :now))"
        );
        match update.on_condition(&condition).send().await {
            Ok(_) => Ok(()),
            Err(error) => match refused_item(error)? {
                // Our own write, whose first answer was lost.
                item if string(&item, "Owner") == Some(&request.owner)
                    && integer(&item, "Rounds") == Some(round.into())
                    && string(&item, "Step") == Some(CLAIMED) =>
                {
                    Ok(())
                }
                _ => Err(LedgerError::LeaseLost),
            },
        }
    }

    async fn index_delivery(
        &self,
        delivery_id: &str,
        key: &EventKey,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("EventId", text(EventKey::of_delivery(delivery_id).as_str()))
            .update_expression("SET #EventKey = :key, #ExpiresAt = :expires_at")
            .expression_attribute_names("#EventKey", EVENT_KEY)
            .expression_attribute_names("#ExpiresAt", "ExpiresAt")
            .expression_attribute_values(":key", text(key.as_str()))
            .expression_attribute_values(":expires_at", self.expires_at(now))
            .send()
            .await
            .map_err(refused)?;
        Ok(())
    }

    async fn look_up(&self, key: &EventKey) -> Result<Option<ItemState>, LedgerError> {
        let item = self.get(key).await?;
        Ok(item.map(|item| item_state(&item, Timestamp::from_millis(0))))
    }

    async fn find_delivery(&self, delivery_id: &str) -> Result<Option<EventKey>, LedgerError> {
        let item = self.get(&EventKey::of_delivery(delivery_id)).await?;
        let item = item.unwrap_or_default();
        Ok(string(&item, EVENT_KEY).map(EventKey::stored))
    }

    async fn next_attempt(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let next = Lease { attempt: lease.attempt.saturating_add(1), ..lease.clone() };
        let mut update = self.update(&lease.key);
        update.set("Attempts", ":attempts", number(next.attempt)).set_uncertain(lease);
        // The SDK may have sent this write twice. The first copy may arrive after a later attempt was
        // counted.
        let condition = format!("{HELD} AND #Attempts <= :attempts");
        let held = update.held_by(lease).on_condition(&condition);
        held.send().await.map_err(refused)?;
        Ok(next)
    }

    async fn checkpoint(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let next = Lease { delivered: Some(lease.attempt), ..lease.clone() };
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
            .set_uncertain(lease)
            .set_delivered(lease);
        // A claim that found the event delivered was not an attempt. Otherwise the count stays unchanged: it
        // never decreases.
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
            // Our own write, whose first answer was lost.
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
