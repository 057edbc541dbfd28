//! A batch of records: bounded concurrency, and one record's fault is its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::lanes::{Group, IndexedEvents, Lane, Task, lanes};
use super::outcome::EventFacts;
use super::stop::LAST_MOMENT;
use super::work::{CutOff, Frame, Work};
use super::{Handled, Invocation, LEASE_MARGIN, Outcome, Ports, Replay, TimeBox, Verdict, log};
use crate::dead_letter::{Opened, open};
use crate::error::with_causes;
use crate::failure::FailureCode;
use crate::ledger::Ledger;
use crate::message::Message;
use crate::queue::{Postponement, Queue};

/// What was not begun comes back after this long: soon, since nothing is wrong with it.
const SOON: Duration = Duration::from_secs(5);

/// What a panic comes down to.
const FAULT: &str = "a fault in this program; please report it";

impl<P: Ports> Replay<P> {
    /// Handles every message of a batch; the answer is in the batch's order, one entry for each.
    ///
    /// Ends before the invocation's deadline: what has not started by then goes back untouched.
    pub async fn batch(&self, messages: &[Message], invocation: &Invocation) -> Vec<Handled> {
        let _in_flight = self.stop.enter();
        let frame = Frame {
            request_id: &invocation.request_id,
            lease_until: invocation.deadline.plus(LEASE_MARGIN),
            time: TimeBox::of(invocation, self.clock.now()),
        };
        let opened: Vec<Option<Opened<'_>>> = messages
            .iter()
            .map(|message| catch_unwind(AssertUnwindSafe(|| open(message))).ok())
            .collect();
        let indexed = self.indexed_events(&opened, frame).await;
        let own = self.own_arns(messages, invocation).await;
        let mut handled: Vec<(usize, Handled)> =
            stream::iter(lanes(messages, &opened, &indexed, &self.destination, &own))
                .map(|lane| self.lane(messages, lane, frame))
                .buffer_unordered(self.max_concurrency.max(1))
                .flat_map(stream::iter)
                .collect()
                .await;
        handled.sort_unstable_by_key(|(index, _)| *index);
        self.postpone(messages, &handled, frame).await;
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
        opened: &[Option<Opened<'_>>],
        frame: Frame<'_>,
    ) -> IndexedEvents {
        let mut found = IndexedEvents::new();
        if !frame
            .time
            .allows_start(self.ledger_latency.checkpoint_margin())
        {
            return found;
        }
        for opened in opened.iter().flatten() {
            let Opened::DeadLetter(letter) = opened else {
                continue;
            };
            let report = letter.report.as_ref();
            let id = report.and_then(|report| report.delivery_id.as_ref());
            if let (None, Some(id)) = (&letter.event_id, id)
                && !found.contains_key(id)
            {
                let call = self.ledger.find_delivery(id);
                let call = timeout_at(frame.time.cut_off(), self.ledger_latency.measure(call));
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
        lane: Lane<'_>,
        frame: Frame<'_>,
    ) -> Vec<(usize, Handled)> {
        let mut handled = Vec::new();
        let mut stopped_for = None;
        for group in lane.groups {
            let done = match stopped_for {
                None => self.group(messages, &group, frame).await,
                Some(after) => self.stopped(messages, &group, after, frame).await,
            };
            let back = done.iter().map(|(_, handled)| handled.verdict.outcome);
            if let Some(outcome) = back.into_iter().find(|outcome| outcome.comes_back()) {
                stopped_for = Some(outcome.after().unwrap_or(SOON));
            }
            handled.extend(done);
        }
        handled
    }

    async fn group(
        &self,
        messages: &[Message],
        group: &Group<'_>,
        frame: Frame<'_>,
    ) -> Vec<(usize, Handled)> {
        let started = Instant::now();
        // Groups are made of the batch's own messages.
        let Some(message) = messages.get(group.leader) else {
            return Vec::new();
        };
        let deferred = |code, reason| {
            let after = self.pause(message);
            Verdict::from(Outcome::Deferred { after, code }).because(reason)
        };
        let verdict = match &group.task {
            Task::Replay(work) => {
                // On the heap: the steps of a record together would be the largest part of the stack.
                let record = Box::pin(self.record(work, frame));
                self.guarded(message, frame, Some(work), record).await
            }
            Task::Keep(why) => {
                let kept = self.keep(message, *why);
                self.guarded(message, frame, None, kept).await
            }
            Task::Puzzle => deferred(FailureCode::Internal, FAULT),
            Task::Unknown(reason) => deferred(FailureCode::LedgerUnavailable, reason),
        };
        let verdict = self.ended(message, group, frame, verdict).await;
        report(messages, group, &verdict, started.elapsed())
    }

    /// The verdict on a group, with the end of the message's retention in view.
    async fn ended(
        &self,
        message: &Message,
        group: &Group<'_>,
        frame: Frame<'_>,
        verdict: Verdict,
    ) -> Verdict {
        let work = group.task.work();
        let verdict = Box::pin(self.before_expiry(message, frame, work, verdict)).await;
        match work {
            Some(work) => verdict.unmarked(work.take_missed()),
            None => verdict,
        }
    }

    /// What becomes of a group behind one that returns to the queue.
    async fn stopped(
        &self,
        messages: &[Message],
        group: &Group<'_>,
        after: Duration,
        frame: Frame<'_>,
    ) -> Vec<(usize, Handled)> {
        let Some(message) = messages.get(group.leader) else {
            return Vec::new();
        };
        let code = FailureCode::GroupStopped;
        let verdict = Verdict::from(Outcome::NotAttempted { after, code })
            .because("an earlier message of the group has to come first");
        let verdict = self.ended(message, group, frame, verdict).await;
        report(messages, group, &verdict, Duration::ZERO)
    }

    /// Keeps a record within the invocation's time, and its panic within the record.
    async fn guarded(
        &self,
        message: &Message,
        frame: Frame<'_>,
        work: Option<&Work<'_>>,
        record: impl Future<Output = Verdict>,
    ) -> Verdict {
        let not_attempted = |reason: &str| {
            let (after, code) = (SOON, FailureCode::OutOfTime);
            Verdict::from(Outcome::NotAttempted { after, code }).because(reason)
        };
        if self.stop.is_requested() {
            return not_attempted("the process is about to end");
        }
        if !frame
            .time
            .allows_start(self.ledger_latency.checkpoint_margin())
        {
            return not_attempted("the deadline is too near to start");
        }
        let (code, reason) = tokio::select! {
            // What has ended is not cut off.
            biased;
            ended = AssertUnwindSafe(record).catch_unwind() => match ended {
                Ok(verdict) => return verdict,
                Err(_panic) => (FailureCode::Internal, FAULT),
            },
            reason = self.cut_off(work, frame) => (FailureCode::OutOfTime, reason),
        };
        let cut_off = match work {
            Some(work) => self.wind_up(work, code, self.last_words(frame)).await,
            None => CutOff::Clean,
        };
        let outcome = match cut_off {
            // Coming back would mean to deliver it again.
            CutOff::Unrecorded => Outcome::Replayed,
            CutOff::Clean | CutOff::Doubtful => Outcome::Deferred {
                after: self.pause(message),
                code,
            },
        };
        Verdict {
            possible_duplicate: matches!(cut_off, CutOff::Doubtful),
            shortfall: matches!(cut_off, CutOff::Unrecorded)
                .then_some(FailureCode::LedgerUnavailable),
            ..Verdict::from(outcome).because(reason)
        }
    }

    /// Waits until a record has to stop, and returns the reason.
    async fn cut_off(&self, work: Option<&Work<'_>>, frame: Frame<'_>) -> &'static str {
        let reason = tokio::select! {
            // At the same moment, always the same reason: a simulated run has to repeat exactly.
            biased;
            () = sleep_until(frame.time.cut_off()) => "cut off just before the deadline",
            () = self.stop.out_of_grace() => "cut off because the process is about to end",
        };
        if let Some(work) = work {
            // A checkpoint under way is not dropped and sent again, because that takes its time twice.
            // Out of time, the record's progress shows that it is missing.
            let _ = timeout_at(self.last_words(frame), work.checkpoint_done()).await;
        }
        reason
    }

    /// When nothing but the answer may be left to do; soon, once the process is about to end.
    pub(super) fn last_words(&self, frame: Frame<'_>) -> Instant {
        let end = frame.time.last_words();
        if self.stop.is_requested() {
            end.min(Instant::now() + LAST_MOMENT)
        } else {
            end
        }
    }

    /// Tells the queue how long each message that comes back shall stay away.
    async fn postpone(&self, messages: &[Message], handled: &[(usize, Handled)], frame: Frame<'_>) {
        let postponements: Vec<Postponement<'_>> = handled
            .iter()
            .filter_map(|(index, handled)| {
                let message = messages.get(*index)?;
                Some(Postponement {
                    queue_arn: message.queue_arn.as_deref()?,
                    message_id: &message.id,
                    receipt_handle: message.receipt_handle.as_deref()?,
                    after: handled.verdict.outcome.after()?,
                })
            })
            .collect();
        if postponements.is_empty() {
            return;
        }
        let call = self.queue.postpone(&postponements);
        match timeout_at(self.last_words(frame), call).await {
            Ok(failures) => failures.iter().for_each(log::not_postponed),
            Err(_elapsed) => log::postponing_cut_off(postponements.len()),
        }
    }
}

/// One entry for each message of a group, said and answered: what the first one's outcome means for those after it.
fn report(
    messages: &[Message],
    group: &Group<'_>,
    verdict: &Verdict,
    duration: Duration,
) -> Vec<(usize, Handled)> {
    let work = group.task.work();
    let event = work.map(|work| EventFacts::of(work.letter, &work.destination));
    let follower = || {
        Verdict::from(verdict.outcome.of_follower())
            .because("follows another message of the batch with the same event")
    };
    std::iter::once((group.leader, verdict.clone()))
        .chain(group.followers.iter().map(|index| (*index, follower())))
        .filter_map(|(index, verdict)| {
            let message = messages.get(index)?;
            let handled = Handled::new(message, event.clone(), verdict, duration);
            // Said at once: an invocation that is killed later takes nothing of it along.
            log::record_handled(&handled);
            Some((index, handled))
        })
        .collect()
}
