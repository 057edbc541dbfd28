//! A batch of records: bounded concurrency, and one record's fault is its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::result::EventSummary;
use super::schedule::{DuplicateGroup, IndexedEvents, Job, SequentialGroups, schedule};
use super::shutdown::SHUTDOWN_CLEANUP_TIME;
use super::task::{Aborted, InvocationContext, RecordTask};
use super::{
    Deadline, Invocation, LEASE_MARGIN, Outcome, Ports, RecordReport, RecordResult, Replay, log,
};
use crate::dead_letter::{ParsedMessage, parse};
use crate::error::with_causes;
use crate::failure::FailureCode;
use crate::ledger::Ledger;
use crate::message::Message;
use crate::queue::{Queue, VisibilityChange};

/// What was not begun comes back after this long: soon, since nothing is wrong with it.
const NOT_STARTED_DELAY: Duration = Duration::from_secs(5);

/// What a panic comes down to.
const PANIC_REASON: &str = "a fault in this program; please report it";

impl<P: Ports> Replay<P> {
    /// Handles every message of a batch; the answer is in the batch's order, one entry for each.
    ///
    /// Ends before the invocation's deadline: what has not started by then goes back untouched.
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
        let indexed = self.indexed_events(&parsed, ctx).await;
        let own = self.own_arns(messages, invocation).await;
        let mut handled: Vec<(usize, RecordReport)> = stream::iter(schedule(
            messages,
            &parsed,
            &indexed,
            &self.destination,
            &own,
        ))
        .map(|lane| self.lane(messages, lane, ctx))
        .buffer_unordered(self.max_concurrency.max(1))
        .flat_map(stream::iter)
        .collect()
        .await;
        handled.sort_unstable_by_key(|(index, _)| *index);
        self.change_visibility(messages, &handled, ctx).await;
        handled.into_iter().map(|(_, handled)| handled).collect()
    }

    /// The ARNs that are no target: those of this function and, where SQS has moved a message from another
    /// queue, of the parking queue. The message's own queue is added for each message.
    async fn own_arns(&self, messages: &[Message], invocation: &Invocation) -> Vec<String> {
        let mut own = vec![invocation.function_arn.clone()];
        let moved = messages.iter().find(|it| it.moved_from().is_some());
        if let Some(queue_arn) = moved.and_then(|message| message.queue_arn.as_deref()) {
            own.extend(self.queue_limits(queue_arn).await.parking_arn);
        }
        own.retain(|arn| !arn.is_empty());
        own
    }

    /// Finds the events of failure records that do not name them: by the id of the delivery that failed.
    async fn indexed_events(
        &self,
        parsed: &[Option<ParsedMessage<'_>>],
        ctx: InvocationContext<'_>,
    ) -> IndexedEvents {
        let mut found = IndexedEvents::new();
        if !ctx
            .time
            .allows_start(self.ledger_latency.checkpoint_margin())
        {
            return found;
        }
        for parsed in parsed.iter().flatten() {
            let ParsedMessage::DeadLetter(letter) = parsed else {
                continue;
            };
            let report = letter.report.as_ref();
            let id = report.and_then(|report| report.delivery_id.as_ref());
            if let (None, Some(id)) = (&letter.event_id, id)
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

    /// Handles the groups of a lane in order; the first that comes back stops the rest.
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
        // Groups are made of the batch's own messages.
        let Some(message) = messages.get(group.primary) else {
            return Vec::new();
        };
        let deferred = |code, reason| {
            let after = self.delay_by_receive_count(message);
            RecordResult::from(Outcome::Deferred { after, code }).with_reason(reason)
        };
        let result = match &group.job {
            Job::Replay(task) => {
                // On the heap: the steps of a record together would be the largest part of the stack.
                let record = Box::pin(self.record(task, ctx));
                self.run_isolated(message, ctx, Some(task), record).await
            }
            Job::ArchiveUnparseable(why) => {
                let kept = self.archive_unparseable(message, *why);
                self.run_isolated(message, ctx, None, kept).await
            }
            Job::ParsePanicked => deferred(FailureCode::Internal, PANIC_REASON),
            Job::Unknown(reason) => deferred(FailureCode::LedgerUnavailable, reason),
        };
        let result = self.ended(message, group, ctx, result).await;
        report(messages, group, &result, started.elapsed())
    }

    /// The verdict on a group, with the end of the message's retention in view.
    async fn ended(
        &self,
        message: &Message,
        group: &DuplicateGroup<'_>,
        ctx: InvocationContext<'_>,
        result: RecordResult,
    ) -> RecordResult {
        let task = group.job.task();
        let result = Box::pin(self.before_expiry(message, ctx, task, result)).await;
        match task {
            Some(task) => result.with_skipped_mark(task.take_skipped_mark()),
            None => result,
        }
    }

    /// What becomes of a group behind one that returns to the queue.
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
            .with_reason("an earlier message of the group has to come first");
        let result = self.ended(message, group, ctx, result).await;
        report(messages, group, &result, Duration::ZERO)
    }

    /// Keeps a record within the invocation's time, and its panic within the record.
    async fn run_isolated(
        &self,
        message: &Message,
        ctx: InvocationContext<'_>,
        task: Option<&RecordTask<'_>>,
        record: impl Future<Output = RecordResult>,
    ) -> RecordResult {
        let not_attempted = |reason: &str| {
            let (after, code) = (NOT_STARTED_DELAY, FailureCode::OutOfTime);
            RecordResult::from(Outcome::NotAttempted { after, code }).with_reason(reason)
        };
        if self.shutdown.is_requested() {
            return not_attempted("the process is about to end");
        }
        if !ctx
            .time
            .allows_start(self.ledger_latency.checkpoint_margin())
        {
            return not_attempted("the deadline is too near to start");
        }
        let (code, reason) = tokio::select! {
            // What has ended is not cut off.
            biased;
            ended = AssertUnwindSafe(record).catch_unwind() => match ended {
                Ok(result) => return result,
                Err(_panic) => (FailureCode::Internal, PANIC_REASON),
            },
            reason = self.cut_off(task, ctx) => (FailureCode::OutOfTime, reason),
        };
        let cut_off = match task {
            Some(task) => self.clean_up(task, code, self.cleanup_deadline(ctx)).await,
            None => Aborted::NoEffect,
        };
        let outcome = match cut_off {
            // Coming back would mean to deliver it again.
            Aborted::DeliveredUnrecorded => Outcome::Replayed,
            Aborted::NoEffect | Aborted::MaybeDelivered => Outcome::Deferred {
                after: self.delay_by_receive_count(message),
                code,
            },
        };
        RecordResult {
            possible_duplicate: matches!(cut_off, Aborted::MaybeDelivered),
            warning_code: matches!(cut_off, Aborted::DeliveredUnrecorded)
                .then_some(FailureCode::LedgerUnavailable),
            ..RecordResult::from(outcome).with_reason(reason)
        }
    }

    /// Waits until a record has to stop, and returns the reason.
    async fn cut_off(
        &self,
        task: Option<&RecordTask<'_>>,
        ctx: InvocationContext<'_>,
    ) -> &'static str {
        let reason = tokio::select! {
            // At the same moment, always the same reason: a simulated run has to repeat exactly.
            biased;
            () = sleep_until(ctx.time.cut_off()) => "cut off just before the deadline",
            () = self.shutdown.grace_expired() => "cut off because the process is about to end",
        };
        if let Some(task) = task {
            // A checkpoint under way is not dropped and sent again, because that takes its time twice.
            // Out of time, the record's phase shows that it is missing.
            let _ = timeout_at(self.cleanup_deadline(ctx), task.checkpoint_done()).await;
        }
        reason
    }

    /// When nothing but the answer may be left to do; soon, once the process is about to end.
    pub(super) fn cleanup_deadline(&self, ctx: InvocationContext<'_>) -> Instant {
        let end = ctx.time.cleanup_deadline();
        if self.shutdown.is_requested() {
            end.min(Instant::now() + SHUTDOWN_CLEANUP_TIME)
        } else {
            end
        }
    }

    /// Tells the queue how long each message that comes back shall stay away.
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

/// One entry for each message of a group, said and answered: what the first one's outcome means for those after it.
fn report(
    messages: &[Message],
    group: &DuplicateGroup<'_>,
    result: &RecordResult,
    duration: Duration,
) -> Vec<(usize, RecordReport)> {
    let task = group.job.task();
    let event = task.map(|task| EventSummary::of(task.letter, &task.destination));
    let duplicate = || {
        RecordResult::from(result.outcome.for_duplicate())
            .with_reason("follows another message of the batch with the same event")
    };
    std::iter::once((group.primary, result.clone()))
        .chain(group.duplicates.iter().map(|index| (*index, duplicate())))
        .filter_map(|(index, result)| {
            let message = messages.get(index)?;
            let handled = RecordReport::new(message, event.clone(), result, duration);
            // Said at once: an invocation that is killed later takes nothing of it along.
            log::record_handled(&handled);
            Some((index, handled))
        })
        .collect()
}
