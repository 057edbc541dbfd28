//! Follows sent dead letters in the ledger until they are settled.

use std::collections::BTreeMap;
use std::time::Duration;

use genesys_replay::ledger::Status;
use tokio::time::Instant;

use super::wave::{Wave, name};
use super::{
    Apply, ApplyError, DeadLetterSource, ReplayFailure, ReplayOutcome, Run, Sender, StopReason,
};
use crate::ledger::{LedgerReader, Record};
use crate::operator::plan::LedgerSnapshot;

/// The delay between two reads of the ledger: first and maximum.
const POLL_INTERVALS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The event for which a run waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The function claims and settles the dead letters of the wave.
    Claim,
    /// The queue delivers deferred dead letters again.
    Retry,
}

/// The state of an event that was sent again.
#[derive(Debug, PartialEq, Eq)]
enum LedgerPoll {
    /// The function has not claimed the event, or is working on it.
    Waiting,
    /// An attempt failed, and the queue delivers the message again.
    Deferred,
    Settled(ReplayOutcome),
}

impl<L: LedgerReader, S: DeadLetterSource, T: Sender> Apply<'_, L, S, T> {
    /// Waits until every dead letter of the wave is settled or deferred. If nothing is left to send, waits until all
    /// sent dead letters are settled. Returns the end of the run, if the run ends here.
    pub(super) async fn follow(
        &mut self,
        run: &mut Run,
        wave: &mut Wave,
    ) -> Result<Option<StopReason>, ApplyError> {
        let end = Instant::now() + self.options.wait;
        let mut pause = POLL_INTERVALS.0;
        let mut reported = None;
        loop {
            let (mut waiting, mut others) = (0, 0);
            let mut deferrals = Vec::new();
            for (index, poll) in self.poll(run).await? {
                let of_wave = wave.indices.contains(&index);
                match poll {
                    LedgerPoll::Settled(outcome) => {
                        run.open.remove(&index);
                        wave.failed += usize::from(of_wave && outcome.code().is_some());
                        self.settle(run, index, &outcome)?;
                    }
                    LedgerPoll::Waiting if of_wave => waiting += 1,
                    LedgerPoll::Deferred if of_wave => deferrals.push(index),
                    LedgerPoll::Waiting | LedgerPoll::Deferred => others += 1,
                }
            }
            self.journal.flush().await?;
            let deferred = deferrals.len();
            // Follow the last wave until all is settled, but earlier waves only until nothing is waiting.
            if waiting == 0 && (!run.todo.is_empty() || deferred + others == 0) {
                wave.failed += deferred;
                self.deferred(run, &deferrals);
                return Ok(None);
            }
            let waits_for = if waiting > 0 { Wait::Claim } else { Wait::Retry };
            if reported.replace(waits_for) != Some(waits_for) {
                self.progress.wait_for(&self.wait(waits_for, run, wave, deferred + others));
            }
            if Instant::now() >= end {
                self.deferred(run, &deferrals);
                return Ok(Some(StopReason::Stuck { waiting, deferred: deferred + others }));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return Ok(Some(StopReason::Interrupted)),
            }
            pause = (pause * 2).min(POLL_INTERVALS.1);
        }
    }

    /// Keeps the deferred dead letters of a wave as failures.
    fn deferred(&self, run: &mut Run, indices: &[usize]) {
        for index in indices {
            let failure = ReplayFailure::of(self.item(*index), run.waves, "deferred", "");
            run.failures.insert(*index, failure);
        }
    }

    /// Returns the line about a wait.
    fn wait(&self, waits_for: Wait, run: &Run, wave: &Wave, deferred: usize) -> String {
        let most = humantime::format_duration(self.options.wait);
        match waits_for {
            Wait::Claim => {
                let ahead = wave.ahead.map(|ahead| format!(", about {ahead} messages ahead"));
                let (name, ahead) = (name(run.waves), ahead.unwrap_or_default());
                format!("waiting for {name}{ahead}, up to {most}")
            }
            Wait::Retry => {
                format!("waiting for deferred dead letters ({deferred}), up to {most}")
            }
        }
    }

    async fn poll(&self, run: &Run) -> Result<BTreeMap<usize, LedgerPoll>, ApplyError> {
        let open = run.open.iter().map(|(index, id)| (*index, self.item(*index), id));
        let keys = open.clone().flat_map(|(_, item, _)| [Some(item.key.clone()), item.old_key()]);
        let keys: Vec<String> = keys.flatten().collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let records = self.ledger.find_by_key(&keys).await?;
        let polls = open.map(|(index, item, message_id)| {
            let record = records.get(&item.key);
            let poll = state_of(record, message_id, item.ledger.as_ref());
            let at_old_target = item.old_key().and_then(|key| records.get(&key));
            // The old target got the event after the plan was made, so the function does not deliver it to the new one.
            let poll = match (poll, at_old_target) {
                (LedgerPoll::Waiting, Some(old)) if old.status == Some(Status::Discarded) => {
                    LedgerPoll::Settled(ReplayOutcome::Discarded)
                }
                (LedgerPoll::Waiting, Some(old)) if old.is_closed() => {
                    LedgerPoll::Settled(ReplayOutcome::DeliveredBefore)
                }
                (poll, _) => poll,
            };
            (index, poll)
        });
        Ok(polls.collect())
    }
}

/// Returns the state of an event that was sent with this message. `planned` is the ledger's state in the plan.
fn state_of(
    record: Option<&Record>,
    message_id: &str,
    planned: Option<&LedgerSnapshot>,
) -> LedgerPoll {
    let Some(record) = record else {
        return LedgerPoll::Waiting;
    };
    let ours = record.message_id == message_id;
    // SQS may have stored our message twice, under two ids.
    let since = planned.is_none_or(|planned| {
        record.attempts > planned.attempts && record.message_id != planned.message_id
    });
    let code = || record.failure_code.clone().unwrap_or_default();
    match record.status {
        Some(Status::Completed) if ours => LedgerPoll::Settled(ReplayOutcome::Delivered),
        // The plan contains this delivered event because its target failed later, and the new round has not begun.
        Some(Status::Completed) if planned == Some(&LedgerSnapshot::of(record)) => {
            LedgerPoll::Waiting
        }
        Some(Status::Completed) => LedgerPoll::Settled(ReplayOutcome::DeliveredBefore),
        // Only the bookkeeping is open.
        Some(Status::Deferred) if ours && record.delivered => {
            LedgerPoll::Settled(ReplayOutcome::Delivered)
        }
        Some(Status::Archived) if ours || since => {
            LedgerPoll::Settled(ReplayOutcome::Archived(code()))
        }
        Some(Status::Failed) if ours || since => LedgerPoll::Settled(ReplayOutcome::Failed(code())),
        Some(Status::Deferred) if ours => LedgerPoll::Deferred,
        Some(Status::Discarded) => LedgerPoll::Settled(ReplayOutcome::Discarded),
        // Not final, or the result of an earlier message.
        Some(Status::Archived | Status::Failed | Status::Deferred | Status::InProgress) | None => {
            LedgerPoll::Waiting
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LedgerPoll::{Deferred, Settled, Waiting};
    use super::ReplayOutcome as Outcome;
    use super::*;

    fn record(status: Option<Status>, message_id: &str) -> Record {
        Record {
            status,
            attempts: 2,
            failure_code: Some("EXHAUSTED".to_owned()),
            message_id: message_id.to_owned(),
            ..Record::default()
        }
    }

    #[test]
    fn event_is_settled_only_by_a_result_after_the_plan() {
        let completed = record(Some(Status::Completed), "m-0");
        let seen = state_of(Some(&completed), "m-1", Some(&LedgerSnapshot::of(&completed)));
        assert_eq!(seen, Waiting, "it was planned because it failed later");
        let planned = LedgerSnapshot {
            status: "ARCHIVED".to_owned(),
            attempts: 1,
            message_id: "m-0".to_owned(),
        };
        let state_of =
            |status, message_id| state_of(Some(&record(status, message_id)), "m-1", Some(&planned));
        let before = || Settled(Outcome::DeliveredBefore);
        let archived = || Settled(Outcome::Archived("EXHAUSTED".to_owned()));
        let failed = || Settled(Outcome::Failed("EXHAUSTED".to_owned()));
        let discarded = || Settled(Outcome::Discarded);
        let delivered = Settled(Outcome::Delivered);
        for (status, ours, as_planned, copy) in [
            (Status::Completed, delivered, before(), before()),
            (Status::Archived, archived(), Waiting, archived()),
            (Status::Failed, failed(), Waiting, failed()),
            (Status::Deferred, Deferred, Waiting, Waiting),
            (Status::InProgress, Waiting, Waiting, Waiting),
            (Status::Discarded, discarded(), discarded(), discarded()),
        ] {
            assert_eq!(state_of(Some(status), "m-1"), ours, "{status:?}");
            assert_eq!(state_of(Some(status), "m-0"), as_planned, "{status:?}");
            assert_eq!(state_of(Some(status), "m-1 again"), copy, "{status:?}");
        }
        assert_eq!(state_of(None, "m-1"), Waiting);
    }

    #[test]
    fn event_with_open_bookkeeping_counts_as_delivered() {
        let delivered = Record { delivered: true, ..record(Some(Status::Deferred), "m-1") };
        let seen = state_of(Some(&delivered), "m-1", None);
        assert_eq!(seen, Settled(Outcome::Delivered));
        assert_eq!(state_of(None, "m-1", None), Waiting);
    }
}
