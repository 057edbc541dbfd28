//! Follows sent dead letters in the ledger until they are settled.

use std::collections::BTreeMap;
use std::time::Duration;

use genesys_replay::ledger::Status;
use tokio::time::Instant;

use super::wave::Wave;
use super::{Apply, ApplyError, Ending, Letters, Outcome, Run, Sender};
use crate::ledger::{LedgerReader, Record};
use crate::operator::plan::Standing;

/// The delay between two reads of the ledger: first and maximum.
const POLL_INTERVALS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The state of an event that was sent again.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// The function has not claimed the event, or is working on it.
    Waiting,
    /// An attempt failed, and the queue delivers the message again.
    Deferred,
    Settled(Outcome),
}

impl<L: LedgerReader, S: Letters, T: Sender> Apply<'_, L, S, T> {
    /// Waits until every dead letter of the wave is settled or deferred. If nothing is left to send, waits until all
    /// sent dead letters are settled. Returns the end of the run, if the run ends here.
    pub(super) async fn follow(
        &mut self,
        run: &mut Run,
        wave: &mut Wave,
    ) -> Result<Option<Ending>, ApplyError> {
        let end = Instant::now() + self.options.wait;
        let mut pause = POLL_INTERVALS.0;
        loop {
            let (mut waiting, mut deferred, mut others) = (0, 0, 0);
            for (index, look) in self.look(run).await? {
                let of_wave = wave.indices.contains(&index);
                match look {
                    Look::Settled(outcome) => {
                        run.open.remove(&index);
                        wave.failed += usize::from(of_wave && outcome.code().is_some());
                        self.settle(run, index, &outcome)?;
                    }
                    Look::Waiting if of_wave => waiting += 1,
                    Look::Deferred if of_wave => deferred += 1,
                    Look::Waiting | Look::Deferred => others += 1,
                }
            }
            // Follow the last wave until all is settled, but earlier waves only until nothing is waiting.
            if waiting == 0 && (!run.todo.is_empty() || deferred + others == 0) {
                wave.failed += deferred;
                return Ok(None);
            }
            if Instant::now() >= end {
                return Ok(Some(Ending::Stuck {
                    waiting,
                    deferred: deferred + others,
                }));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return Ok(Some(Ending::Interrupted)),
            }
            pause = (pause * 2).min(POLL_INTERVALS.1);
        }
    }

    async fn look(&self, run: &Run) -> Result<BTreeMap<usize, Look>, ApplyError> {
        let open = run
            .open
            .iter()
            .map(|(index, id)| (*index, self.item(*index), id));
        let keys: Vec<&str> = open.clone().map(|(_, item, _)| item.key.as_str()).collect();
        let records = self.ledger.find_by_key(&keys).await?;
        let looks = open.map(|(index, item, message_id)| {
            let record = records.get(&item.key);
            (index, look(record, message_id, item.ledger.as_ref()))
        });
        Ok(looks.collect())
    }
}

/// Returns the state of an event that was sent with this message. `planned` is the ledger's state in the plan.
fn look(record: Option<&Record>, message_id: &str, planned: Option<&Standing>) -> Look {
    let Some(record) = record else {
        return Look::Waiting;
    };
    let ours = record.message_id == message_id;
    // SQS may have stored our message twice, under two ids.
    let since = planned.is_none_or(|planned| {
        record.attempts > planned.attempts && record.message_id != planned.message_id
    });
    let code = || record.failure_code.clone().unwrap_or_default();
    match record.status {
        Some(Status::Completed) if ours => Look::Settled(Outcome::Delivered),
        // The plan contains this delivered event because its target failed later, and the new round has not begun.
        Some(Status::Completed) if planned == Some(&Standing::of(record)) => Look::Waiting,
        Some(Status::Completed) => Look::Settled(Outcome::DeliveredBefore),
        // Only the bookkeeping is open.
        Some(Status::Deferred) if ours && record.delivered => Look::Settled(Outcome::Delivered),
        Some(Status::Archived) if ours || since => Look::Settled(Outcome::Archived(code())),
        Some(Status::Failed) if ours || since => Look::Settled(Outcome::Failed(code())),
        Some(Status::Deferred) if ours => Look::Deferred,
        // Not final, or the result of an earlier message.
        Some(
            Status::Archived
            | Status::Failed
            | Status::Deferred
            | Status::InProgress
            | Status::Discarded,
        )
        | None => Look::Waiting,
    }
}

#[cfg(test)]
mod tests {
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
    fn only_what_came_after_the_plan_ends_an_event_unless_it_is_delivered() {
        let completed = record(Some(Status::Completed), "m-0");
        let seen = look(Some(&completed), "m-1", Some(&Standing::of(&completed)));
        assert_eq!(
            seen,
            Look::Waiting,
            "it was planned because it failed later"
        );
        let planned = Standing {
            status: "ARCHIVED".to_owned(),
            attempts: 1,
            message_id: "m-0".to_owned(),
        };
        let look =
            |status, message_id| look(Some(&record(status, message_id)), "m-1", Some(&planned));
        let before = || Look::Settled(Outcome::DeliveredBefore);
        let archived = || Look::Settled(Outcome::Archived("EXHAUSTED".to_owned()));
        let failed = || Look::Settled(Outcome::Failed("EXHAUSTED".to_owned()));
        let delivered = Look::Settled(Outcome::Delivered);
        for (status, ours, as_planned, copy) in [
            (Status::Completed, delivered, before(), before()),
            (Status::Archived, archived(), Look::Waiting, archived()),
            (Status::Failed, failed(), Look::Waiting, failed()),
            (
                Status::Deferred,
                Look::Deferred,
                Look::Waiting,
                Look::Waiting,
            ),
            (
                Status::InProgress,
                Look::Waiting,
                Look::Waiting,
                Look::Waiting,
            ),
        ] {
            assert_eq!(look(Some(status), "m-1"), ours, "{status:?}");
            assert_eq!(look(Some(status), "m-0"), as_planned, "{status:?}");
            assert_eq!(look(Some(status), "m-1 again"), copy, "{status:?}");
        }
        assert_eq!(look(None, "m-1"), Look::Waiting);
    }

    #[test]
    fn what_is_delivered_but_for_its_bookkeeping_is_delivered() {
        let delivered = Record {
            delivered: true,
            ..record(Some(Status::Deferred), "m-1")
        };
        let seen = look(Some(&delivered), "m-1", None);
        assert_eq!(seen, Look::Settled(Outcome::Delivered));
        assert_eq!(look(None, "m-1", None), Look::Waiting);
    }
}
