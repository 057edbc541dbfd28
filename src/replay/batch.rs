//! A batch of records: bounded concurrency, and isolation of each record's faults.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::interrupt::isolated;
use super::invocation::{Deadline, Invocation, InvocationContext};
use super::phase::Interruption;
use super::result::EventSummary;
use super::schedule::{DuplicateGroup, IndexedEvents, Job, SequentialGroups, schedule};
use super::{LEASE_MARGIN, Outcome, Ports, RecordReport, RecordResult, Replay, log};
use crate::dead_letter::{ParsedMessage, parse};
use crate::destination::Destination;
use crate::error::with_causes;
use crate::failure::FailureCode;
use crate::ledger::Ledger;
use crate::message::Message;
use crate::queue::{Queue, VisibilityChange};

/// The visibility timeout of records that were not started: short, because their events have not failed.
const NOT_STARTED_DELAY: Duration = Duration::from_secs(5);

impl<P: Ports> Replay<P> {
    /// Handles every message of a batch and returns one report per message, in the batch's order.
    ///
    /// Ends before the invocation's deadline. Records that have not started by then return to the queue untouched.
    pub async fn batch(&self, messages: &[Message], invocation: &Invocation) -> Vec<RecordReport> {
        let _in_flight = self.shutdown.track();
        let ctx = InvocationContext {
            request_id: &invocation.request_id,
            lease_until: invocation.deadline.plus(LEASE_MARGIN),
            time: Deadline::of(invocation, self.clock.now()),
        };
        let parsed: Vec<Option<ParsedMessage<'_>>> = messages
            .iter()
            .map(|message| catch_unwind(AssertUnwindSafe(|| parse(message))).ok())
            .collect();
        // On the heap, because few batches need it.
        let indexed = Box::pin(self.indexed_events(&parsed, ctx)).await;
        let own = self.own_arns(messages, &parsed, invocation, ctx).await;
        let mut handled: Vec<(usize, RecordReport)> =
            stream::iter(schedule(messages, &parsed, &indexed, &self.destination, &own))
                .map(|lane| self.lane(messages, lane, ctx))
                .buffer_unordered(self.max_concurrency.max(1))
                .flat_map(stream::iter)
                .collect()
                .await;
        handled.sort_unstable_by_key(|(index, _)| *index);
        self.change_visibility(messages, &handled, ctx).await;
        handled.into_iter().map(|(_, handled)| handled).collect()
    }

    /// Returns the ARNs that must not be targets: this function's own and, if a message may go to a queue, the
    /// parking queue's. `schedule` adds the message's own queue for each message.
    async fn own_arns(
        &self,
        messages: &[Message],
        parsed: &[Option<ParsedMessage<'_>>],
        invocation: &Invocation,
        ctx: InvocationContext<'_>,
    ) -> Vec<String> {
        let mut own = vec![invocation.function_arn.clone()];
        let goes_to_a_queue = |parsed: &Option<ParsedMessage<'_>>| match parsed {
            Some(ParsedMessage::DeadLetter(dead_letter)) => {
                let target_arn = dead_letter.failure.target_arn.as_deref();
                matches!(self.destination.destination(target_arn, &[]), Destination::Sqs(_))
            }
            Some(ParsedMessage::Unreplayable(_)) | None => false,
        };
        let to_a_queue = messages.iter().zip(parsed).find(|(_, parsed)| goes_to_a_queue(parsed));
        if let Some(queue_arn) = to_a_queue.and_then(|(message, _)| message.queue_arn.as_deref()) {
            // On the heap, because few batches need it. Without an answer in time, no parking queue is known.
            let limits = Box::pin(self.queue_limits(queue_arn));
            let limits = timeout_at(ctx.time.cut_off(), limits).await;
            own.extend(limits.ok().and_then(|limits| limits.parking_arn));
        }
        own.retain(|arn| !arn.is_empty());
        own
    }

    /// Finds the events of failure records that do not name their event, by the id of the failed delivery.
    async fn indexed_events(
        &self,
        parsed: &[Option<ParsedMessage<'_>>],
        ctx: InvocationContext<'_>,
    ) -> IndexedEvents {
        let mut found = IndexedEvents::new();
        if !ctx.time.allows_start(self.ledger_latency.checkpoint_margin()) {
            return found;
        }
        for parsed in parsed.iter().flatten() {
            let ParsedMessage::DeadLetter(dead_letter) = parsed else {
                continue;
            };
            let report = dead_letter.report.as_ref();
            let id = report.and_then(|report| report.delivery_id.as_ref());
            if let (None, Some(id)) = (&dead_letter.event_id, id)
                && !found.contains_key(id)
            {
                let call = self.ledger.find_delivery(id);
                let call = timeout_at(ctx.time.cut_off(), self.ledger_latency.measure(call));
                let answer = match call.await {
                    Ok(answer) => answer.map_err(|error| with_causes(&error)),
                    Err(_elapsed) => {
                        Err("the ledger did not answer before the deadline".to_owned())
                    }
                };
                found.insert(id.clone(), answer);
            }
        }
        found
    }

    /// Handles the groups of a lane in order and stops at the first group that returns to the queue.
    async fn lane(
        &self,
        messages: &[Message],
        lane: SequentialGroups<'_>,
        ctx: InvocationContext<'_>,
    ) -> Vec<(usize, RecordReport)> {
        let mut handled = Vec::new();
        let mut stopped_for = None;
        for group in lane.groups {
            let done = match stopped_for {
                None => self.group(messages, &group, ctx).await,
                Some(after) => self.stopped(messages, &group, after, ctx).await,
            };
            let back = done.iter().map(|(_, handled)| handled.result.outcome);
            if let Some(outcome) = back.into_iter().find(|outcome| outcome.returns_to_queue()) {
                stopped_for = Some(outcome.retry_delay().unwrap_or(NOT_STARTED_DELAY));
            }
            handled.extend(done);
        }
        handled
    }

    async fn group(
        &self,
        messages: &[Message],
        group: &DuplicateGroup<'_>,
        ctx: InvocationContext<'_>,
    ) -> Vec<(usize, RecordReport)> {
        let started = Instant::now();
        // Not reached: the indexes of a group come from this batch.
        let Some(message) = messages.get(group.primary) else {
            return Vec::new();
        };
        let result = self.job(message, &group.job, ctx).await;
        let result = self.ended(message, group, ctx, result).await;
        report(messages, group, &result, started.elapsed())
    }

    /// Returns the result of a record that must not start any more.
    fn not_started(&self, ctx: InvocationContext<'_>) -> Option<RecordResult> {
        let margin = self.ledger_latency.checkpoint_margin();
        let reason = if self.shutdown.is_requested() {
            "the process is shutting down"
        } else if !ctx.time.allows_start(margin) {
            "the deadline is too near to start"
        } else {
            return None;
        };
        let (after, code) = (NOT_STARTED_DELAY, FailureCode::OutOfTime);
        let not_started = RecordResult::from(Outcome::NotAttempted { after, code });
        Some(RecordResult { is_brief: true, ..not_started.with_reason(reason) })
    }

    async fn job(
        &self,
        message: &Message,
        job: &Job<'_>,
        ctx: InvocationContext<'_>,
    ) -> RecordResult {
        let not_started = || self.not_started(ctx);
        match job {
            Job::Replay(_) | Job::ArchiveUnparseable(_) if let Some(result) = not_started() => {
                result
            }
            // A panic in a step is cleaned up; after a panic between two steps the lease ends by itself.
            Job::Replay(task) => match isolated(self.process(task, ctx)).await {
                Ok(result) => result,
                Err(cause) => self.interrupted(message, cause),
            },
            Job::ArchiveUnparseable(why) => {
                let archiving = self.archive_unparseable(message, why);
                match self.until_interrupted(ctx, archiving).await {
                    Ok(result) => result,
                    Err(cause) => self.interrupted(message, cause),
                }
            }
            Job::ParsePanicked => self.interrupted(message, Interruption::Panic),
            Job::Unknown(reason) => {
                let (after, code) =
                    (self.delay_by_receive_count(message), FailureCode::LedgerUnavailable);
                RecordResult::from(Outcome::Deferred { after, code }).with_reason(reason)
            }
        }
    }

    /// Adjusts the result of a group for the queue's backlog, and for the end of its message's retention and receives.
    async fn ended(
        &self,
        message: &Message,
        group: &DuplicateGroup<'_>,
        ctx: InvocationContext<'_>,
        result: RecordResult,
    ) -> RecordResult {
        if result.outcome.retry_delay().is_none() {
            return result;
        }
        // On the heap, because few records return to the queue.
        let result = Box::pin(self.with_backlog(message, ctx, result)).await;
        Box::pin(self.before_expiry(message, ctx, group.job.task(), result)).await
    }

    /// Returns the reports of a group behind a group that returns to the queue.
    async fn stopped(
        &self,
        messages: &[Message],
        group: &DuplicateGroup<'_>,
        after: Duration,
        ctx: InvocationContext<'_>,
    ) -> Vec<(usize, RecordReport)> {
        let Some(message) = messages.get(group.primary) else {
            return Vec::new();
        };
        let code = FailureCode::GroupStopped;
        let result = RecordResult::from(Outcome::NotAttempted { after, code })
            .with_reason("an earlier message of the group must be handled first");
        let result = self.ended(message, group, ctx, result).await;
        report(messages, group, &result, Duration::ZERO)
    }

    /// Sets the visibility timeouts of the messages that return to the queue with a delay.
    async fn change_visibility(
        &self,
        messages: &[Message],
        handled: &[(usize, RecordReport)],
        ctx: InvocationContext<'_>,
    ) {
        let changes: Vec<VisibilityChange<'_>> = handled
            .iter()
            .filter_map(|(index, handled)| {
                let message = messages.get(*index)?;
                Some(VisibilityChange {
                    queue_arn: message.queue_arn.as_deref()?,
                    message_id: &message.id,
                    receipt_handle: message.receipt_handle.as_deref()?,
                    after: handled.result.outcome.retry_delay()?,
                })
            })
            .collect();
        if changes.is_empty() {
            return;
        }
        let call = self.queue.change_visibility(&changes);
        match timeout_at(self.cleanup_deadline(ctx), call).await {
            Ok(failures) => failures.iter().for_each(log::visibility_not_changed),
            Err(_elapsed) => log::visibility_cut_off(changes.len()),
        }
    }
}

/// Logs and returns one report per message of a group. The outcome of a duplicate follows from the primary's outcome.
fn report(
    messages: &[Message],
    group: &DuplicateGroup<'_>,
    result: &RecordResult,
    duration: Duration,
) -> Vec<(usize, RecordReport)> {
    let task = group.job.task();
    let event = task.map(|task| EventSummary::of(task.dead_letter, &task.destination));
    let duplicate = || {
        RecordResult::from(result.outcome.for_duplicate())
            .with_reason("follows another message of the batch with the same event")
    };
    std::iter::once((group.primary, result.clone()))
        .chain(group.duplicates.iter().map(|index| (*index, duplicate())))
        .filter_map(|(index, result)| {
            let message = messages.get(index)?;
            let handled = RecordReport::new(message, event.clone(), result, duration);
            // Log now: if Lambda kills the process later, this line is already written.
            log::record_handled(&handled);
            Some((index, handled))
        })
        .collect()
}
