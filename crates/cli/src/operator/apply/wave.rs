//! One wave: its messages, its pace and its audit.

use std::collections::BTreeSet;
use std::time::Duration;

use genesys_replay::ledger::ReplayNote;
use genesys_replay::message::Message;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use tokio::time::Instant;

use super::{
    Apply, ApplyError, AuditEvent, DeadLetterSource, Fetched, ReplayFailure, ReplayOutcome, Run,
    SendResult, Sender, tag_with_plan,
};
use crate::ledger::LedgerReader;
use crate::operator::classified_message::ClassifiedMessage;
use crate::operator::plan::{PlanItem, PlanSource};

/// The maximum size of a wave, whatever the ramp, because a run stops for failures only at the end of a wave.
const MAX_WAVE_MESSAGES: usize = 1_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Wave {
    /// The sent items that are followed in the ledger.
    pub(super) indices: BTreeSet<usize>,
    pub(super) sent: usize,
    pub(super) failed: usize,
    /// The approximate number of messages that were in the queue before the wave; `None` if it is not known.
    pub(super) ahead: Option<u64>,
}

/// Returns the name of a wave for people, by its number from 1. Wave 0 is an earlier run.
pub(super) fn name(number: usize) -> String {
    match number {
        0 => "the dead letters of the earlier run".to_owned(),
        1 => "the canary".to_owned(),
        _ => format!("wave {number}"),
    }
}

impl<L: LedgerReader, S: DeadLetterSource, T: Sender> Apply<'_, L, S, T> {
    pub(super) async fn send_wave(
        &mut self,
        run: &mut Run,
        size: usize,
    ) -> Result<Wave, ApplyError> {
        let size = size.min(run.todo.len());
        run.waves += 1;
        self.progress.rename(&format!("sending {}", name(run.waves)));
        let ahead = self.sender.ahead().await;
        self.write(AuditEvent::Wave { size })?;
        let mut wave = Wave { ahead, ..Wave::default() };
        let mut taken = 0;
        while taken < size && !run.todo.is_empty() {
            tokio::select! {
                () = tokio::time::sleep_until(run.next.unwrap_or_else(Instant::now)) => {}
                () = self.stop.cancelled() => {}
            }
            if self.stop.is_cancelled() {
                break;
            }
            let most = self.call_size().min(size - taken);
            let items = &self.plan.content.items;
            let fetched = self.source.fetch(items, &mut run.todo, most).await?;
            if fetched.is_empty() {
                break;
            }
            let planned = self.leave_out(run, fetched).await?;
            taken += planned.len();
            run.next = Some(Instant::now() + self.pause(planned.len()));
            self.send(run, &mut wave, planned).await?;
        }
        Ok(wave)
    }

    /// Returns the number of messages in a call: at most one second's worth at the rate, and at most an SQS batch.
    fn call_size(&self) -> usize {
        let is_short = |size: &usize| self.pause(*size) <= Duration::from_secs(1);
        (1..=MAX_BATCH_ENTRIES).rev().find(is_short).unwrap_or(1)
    }

    /// Returns the delay that `count` messages require at the rate.
    fn pause(&self, count: usize) -> Duration {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Duration::try_from_secs_f64(f64::from(count) / self.options.rate).unwrap_or(Duration::MAX)
    }

    async fn send(
        &mut self,
        run: &mut Run,
        wave: &mut Wave,
        fetched: Vec<Fetched>,
    ) -> Result<(), ApplyError> {
        let mut indices = Vec::new();
        let mut messages: Vec<Message> = Vec::new();
        let reason = self.reason.as_ref().unwrap_or(&self.plan.content.reason);
        let (by, reason) = (self.by.clone(), reason.clone());
        let note = ReplayNote { plan: &self.plan.id, by: Some(&by), reason: Some(&reason) };
        for (index, message) in fetched {
            match message.map(|message| tag_with_plan(message, note)) {
                // The ledger would treat this message as another event.
                Ok(message) if !self.is_of(&message, self.item(index)) => {
                    let reason = "the event would now go to another target: make a new plan";
                    self.not_sent(run, index, reason.to_owned())?;
                }
                Ok(message) => {
                    indices.push(index);
                    messages.push(message);
                }
                Err(error) => self.not_sent(run, index, error.to_string())?,
            }
        }
        if messages.is_empty() {
            return Ok(());
        }
        let keys = indices.iter().map(|index| self.item(*index).key.clone());
        let keys = keys.collect();
        self.write(AuditEvent::Sending { keys })?;
        self.journal.flush().await?;
        let sendings = self.sender.send(&messages).await?;
        let mut leaving = Vec::new();
        for (index, sending) in indices.into_iter().zip(sendings) {
            wave.sent += 1;
            match sending {
                SendResult::Sent(message_id) => {
                    let message_id = message_id.to_string();
                    wave.indices.insert(index);
                    run.open.insert(index, message_id.clone());
                    let key = self.item(index).key.clone();
                    self.write(AuditEvent::Sent { key, message_id })?;
                    leaving.push(index);
                }
                SendResult::Settled(outcome) => {
                    wave.failed += usize::from(outcome.code().is_some());
                    self.settle(run, index, &outcome)?;
                    // A dead letter that failed without an archive stays in its source.
                    if !matches!(outcome, ReplayOutcome::Failed(_)) {
                        leaving.push(index);
                    }
                }
                SendResult::NotSent(reason) => {
                    wave.failed += 1;
                    self.not_sent(run, index, reason)?;
                }
                SendResult::Doubtful(reason) => {
                    wave.failed += 1;
                    let item = self.item(index);
                    run.summary.doubtful.push((item.shown(), reason.clone()));
                    let key = item.key.clone();
                    self.write(AuditEvent::Doubtful { key, reason })?;
                }
            }
        }
        // A dead letter leaves its source only when the audit has its result.
        self.journal.flush().await?;
        for index in leaving {
            self.remove_from_source(run, index).await?;
        }
        Ok(self.journal.flush().await?)
    }

    /// Removes a sent dead letter from its source, and writes the result to the audit.
    pub(super) async fn remove_from_source(
        &mut self,
        run: &mut Run,
        index: usize,
    ) -> Result<(), ApplyError> {
        let item = &self.plan.content.items[index];
        if let Some(left) = self.source.on_sent(item).await {
            let error = left.err().map(|error| error.reason);
            if let Some(error) = &error {
                self.progress.warn(&format!(
                    "{} was sent, but is still in its queue: {error}",
                    item.event_id()
                ));
                run.summary.still_in_source.push(item.shown());
            }
            let key = item.key.clone();
            self.write(match self.plan.content.source {
                PlanSource::Queue { .. } => AuditEvent::LeftQueue { key, error },
                PlanSource::Archive { .. } | PlanSource::Parking { .. } => {
                    AuditEvent::LeftParking { key, error }
                }
            })?;
        }
        Ok(())
    }

    fn not_sent(&mut self, run: &mut Run, index: usize, reason: String) -> Result<(), ApplyError> {
        let item = self.item(index);
        run.summary.not_sent.push((item.shown(), reason.clone()));
        let key = item.key.clone();
        self.write(AuditEvent::NotSent { key, reason })?;
        self.progress.advance(1);
        Ok(())
    }

    pub(super) fn settle(
        &mut self,
        run: &mut Run,
        index: usize,
        outcome: &ReplayOutcome,
    ) -> Result<(), ApplyError> {
        run.count(outcome.as_str(), outcome.code());
        run.failures.remove(&index);
        if let Some(code) = outcome.code() {
            let failure = ReplayFailure::of(self.item(index), run.waves, outcome.as_str(), code);
            run.failures.insert(index, failure);
        }
        self.write(AuditEvent::Outcome {
            key: self.item(index).key.clone(),
            outcome: outcome.as_str().to_owned(),
            failure_code: outcome.code().map(str::to_owned),
        })?;
        self.progress.advance(1);
        Ok(())
    }

    /// Returns true if the function would handle a message as the event of this item.
    fn is_of(&self, message: &Message, item: &PlanItem) -> bool {
        let message =
            Message { queue_arn: Some(self.plan.content.queue_arn.clone()), ..message.clone() };
        let classified = ClassifiedMessage::of(&message, self.target);
        let former = classified.key.former(None, &classified.destination);
        classified.key.as_str() == item.key
            || former.iter().any(|former| former.key.as_str() == item.key)
    }
}

/// Returns the share of a wave that has failed, from 0 to 1.
pub(super) fn share(wave: &Wave) -> f64 {
    let part = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    part(wave.failed) / part(wave.sent.max(1))
}

/// Returns the size of the wave after a successful one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded on both sides, and a wave needs no exact size"
)]
pub(super) fn grown(size: usize, ramp: f64) -> usize {
    let size = f64::from(u32::try_from(size.min(MAX_WAVE_MESSAGES)).unwrap_or(u32::MAX));
    ((size * ramp).ceil() as usize).clamp(1, MAX_WAVE_MESSAGES)
}
