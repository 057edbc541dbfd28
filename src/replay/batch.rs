//! A batch of records: bounded concurrency, and one record's fault is its own.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use crate::dead_letter::{NotAnEvent, Opened, open};
use crate::destination::{Destination, ReplayTarget};
use crate::failure::FailureCode;
use crate::genesys::Genesys;
use crate::ledger::{EventKey, Ledger};
use crate::message::Message;
use crate::target::Target;

use super::outcome::EventFacts;
use super::record::{Frame, Work};
use super::{Handled, Invocation, LEASE_MARGIN, Outcome, Replay, TimeBox, Verdict};

/// The messages of a batch that carry the same event; the first one leads.
struct Group<'b> {
    task: Task<'b>,
    leader: usize,
    followers: Vec<usize>,
}

/// What there is to do.
enum Task<'b> {
    Replay(Box<Work<'b>>),
    Keep(NotAnEvent),
}

impl<L: Ledger, G: Genesys, T: Target> Replay<L, G, T> {
    /// Handles every message of a batch; the answer is in the batch's order, one entry for each.
    ///
    /// Ends before the invocation's deadline: what has not started by then goes back untouched.
    pub async fn batch(&self, messages: &[Message], invocation: &Invocation) -> Vec<Handled> {
        let now = self.clock.now();
        let frame = Frame {
            request_id: &invocation.request_id,
            lease_until: invocation.deadline.plus(LEASE_MARGIN),
            time: TimeBox::of(invocation, now),
        };
        let opened: Vec<Opened<'_>> = messages.iter().map(open).collect();
        let mut handled: Vec<(usize, Handled)> = stream::iter(self.groups(messages, &opened))
            .map(|group| self.group(messages, group, frame))
            .buffer_unordered(self.max_concurrency.max(1))
            .flat_map(stream::iter)
            .collect()
            .await;
        handled.sort_unstable_by_key(|(index, _)| *index);
        handled.into_iter().map(|(_, handled)| handled).collect()
    }

    fn groups<'b>(&self, messages: &'b [Message], opened: &'b [Opened<'b>]) -> Vec<Group<'b>> {
        let mut groups: Vec<Group<'b>> = Vec::new();
        let mut by_key: HashMap<EventKey, usize> = HashMap::new();
        for (index, (message, opened)) in messages.iter().zip(opened).enumerate() {
            let task = match opened {
                Opened::NotAnEvent(why) => Task::Keep(*why),
                Opened::DeadLetter(letter) => {
                    let destination = match &self.destination {
                        ReplayTarget::Fixed(destination) => destination.clone(),
                        ReplayTarget::Original => {
                            Destination::of_dead_letter(letter.failure.target_arn.as_deref())
                        }
                    };
                    let key = EventKey::new(letter.event_id.as_ref(), &message.id, &destination);
                    if let Some(group) = by_key.get(&key).and_then(|at| groups.get_mut(*at)) {
                        group.followers.push(index);
                        continue;
                    }
                    by_key.insert(key.clone(), groups.len());
                    Task::Replay(Box::new(Work {
                        message,
                        letter,
                        destination,
                        key,
                    }))
                }
            };
            groups.push(Group {
                task,
                leader: index,
                followers: Vec::new(),
            });
        }
        groups
    }

    async fn group(
        &self,
        messages: &[Message],
        group: Group<'_>,
        frame: Frame<'_>,
    ) -> Vec<(usize, Handled)> {
        let started = Instant::now();
        let (event, verdict) = match &group.task {
            Task::Keep(why) => {
                let code = FailureCode::NotAnEvent;
                (None, Verdict::from(Outcome::Returned { code }).because(why))
            }
            Task::Replay(work) => (
                Some(EventFacts::of(work.letter, &work.destination)),
                self.guarded(work, frame).await,
            ),
        };
        let duration = started.elapsed();
        let follower = Verdict {
            possible_duplicate: false,
            ..Verdict {
                outcome: verdict.outcome.of_follower(),
                ..verdict.clone()
            }
            .because("follows another message of the batch with the same event")
        };
        std::iter::once((group.leader, verdict))
            .chain(
                group
                    .followers
                    .iter()
                    .map(|index| (*index, follower.clone())),
            )
            .filter_map(|(index, verdict)| {
                let message = messages.get(index)?;
                Some((
                    index,
                    Handled::new(message, event.clone(), verdict, duration),
                ))
            })
            .collect()
    }

    /// Keeps a record within the invocation's time, and its panic within the record.
    async fn guarded(&self, work: &Work<'_>, frame: Frame<'_>) -> Verdict {
        let deferred = |code| Outcome::Deferred {
            after: self
                .policy
                .pause(work.message.receive_count, self.random.unit()),
            code,
        };
        if !frame.time.allows_start() {
            let code = FailureCode::OutOfTime;
            return Verdict::from(Outcome::NotAttempted { code })
                .because("the deadline is too near to start");
        }
        let record = AssertUnwindSafe(self.record(work, frame)).catch_unwind();
        match timeout_at(frame.time.cut_off(), record).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_panic)) => Verdict::from(deferred(FailureCode::Internal))
                .because("a fault in this program; please report it"),
            Err(_elapsed) => Verdict {
                // Cut off anywhere, perhaps between the target's acceptance and our knowing of it.
                possible_duplicate: true,
                ..Verdict::from(deferred(FailureCode::OutOfTime))
                    .because("cut off just before the deadline")
            },
        }
    }
}
