//! What has happened in a story, in the order in which it happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Display};
use std::sync::{Mutex, MutexGuard, PoisonError};

use genesys_fakes::{Clocks, Life, Violation, Witness};
use genesys_replay::clock::Timestamp;
use tokio::time::Instant;

/// The book in which a story is written down while it happens.
pub(crate) struct History {
    started: Instant,
    clocks: Clocks,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    lines: Vec<Line>,
    violation: Option<Line>,
    events: BTreeMap<String, Witness>,
    /// Whose archiving was not seen to the end, so that the event may be taken up again.
    unsettled: BTreeSet<String>,
    /// Where a call to Genesys Cloud failed, by conversation.
    unmarked: BTreeSet<String>,
    after_archiving: u64,
}

/// One line: when, about which event if about one, and what.
#[derive(Clone)]
struct Line {
    seconds: f64,
    about: Option<String>,
    text: String,
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:10.3} s  ", self.seconds)?;
        if let Some(key) = &self.about {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl History {
    pub(crate) fn new(started: Instant, clocks: Clocks) -> Self {
        Self {
            started,
            clocks,
            book: Mutex::default(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, about: Option<&str>, text: String) -> Line {
        Line {
            seconds: self.started.elapsed().as_secs_f64(),
            about: about.map(str::to_owned),
            text,
        }
    }

    /// Something that concerns all events.
    pub(crate) fn write(&self, text: String) {
        let line = self.line(None, text);
        self.book().lines.push(line);
    }

    /// Something that concerns one.
    pub(crate) fn write_of(&self, key: &str, text: String) {
        let line = self.line(Some(key), text);
        self.book().lines.push(line);
    }

    /// Something that must never happen; the first is the one that is told.
    pub(crate) fn violated(&self, about: Option<&str>, what: &impl Display) {
        let line = self.line(about, format!("VIOLATION: {what}"));
        let mut book = self.book();
        book.lines.push(line.clone());
        book.violation.get_or_insert(line);
    }

    fn witness(&self, key: &str, sees: impl FnOnce(&mut Witness) -> Result<(), Violation>) {
        let mut book = self.book();
        let events = book.events.entry(key.to_owned());
        let result = sees(events.or_insert_with(|| Witness::of(self.clocks)));
        drop(book);
        if let Err(violation) = result {
            self.violated(Some(key), &violation);
        }
    }

    fn known<T>(&self, key: &str, tell: impl FnOnce(&Witness) -> T) -> Option<T> {
        self.book().events.get(key).map(tell)
    }

    /// A worker whose clock shows `now` asks for an event.
    pub(crate) fn claiming(&self, key: &str, now: Timestamp) {
        self.witness(key, |it| {
            it.claiming(now);
            Ok(())
        });
    }

    /// An event belongs to a worker now, as its clock and its request have it.
    pub(crate) fn claimed(&self, key: &str, life: Life, now: Timestamp, lease_until: Timestamp) {
        self.write_of(key, format!("life {life} has it"));
        self.witness(key, |it| it.claimed(life, now, lease_until));
    }

    /// The same, but somebody else has it by the time the answer comes.
    pub(crate) fn claimed_and_lost(&self, key: &str, life: Life) {
        self.write_of(key, format!("life {life} had it"));
        self.witness(key, |it| it.claimed_and_lost(life));
    }

    /// The ledger tells a worker that it does not hold an event.
    pub(crate) fn refused(&self, key: &str, life: Life) {
        self.write_of(key, format!("life {life} has lost it"));
        self.witness(key, |it| it.refused(life));
    }

    /// Whether somebody else than this worker holds an event for certain.
    pub(crate) fn is_held_without(&self, key: &str, life: Life) -> bool {
        self.known(key, |it| it.is_held_without(life))
            .unwrap_or(false)
    }

    /// The ledger has taken a write of somebody who did not hold the event.
    pub(crate) fn wrote_late(&self, key: &str, life: Life) {
        self.violated(Some(key), &Violation::LateWriteTaken { by: life });
    }

    /// A worker asks the ledger to end its work.
    pub(crate) fn gives_back(&self, key: &str, life: Life, how: &impl Debug) {
        self.write_of(key, format!("life {life} settles it as {how:?}"));
        self.witness(key, |it| {
            it.gives_back(life);
            Ok(())
        });
    }

    /// A delivery begins; `recorded` says whether the ledger knows that it was delivered before.
    pub(crate) fn delivering(&self, key: &str, life: Life, attempt: u32, recorded: bool) {
        self.write_of(key, format!("life {life} delivers it, attempt {attempt}"));
        self.witness(key, |it| it.delivering(life, attempt, recorded));
    }

    /// The target has accepted.
    pub(crate) fn accepted(&self, key: &str, life: Life) {
        self.write_of(key, format!("the target accepts it of life {life}"));
        self.witness(key, |it| it.accepted(life));
    }

    /// An answer was lost, its worker died, or the ledger could not be told: the event may be
    /// delivered once more.
    pub(crate) fn excuse(&self, key: &str, why: &str) {
        self.write_of(key, why.to_owned());
        self.witness(key, |it| {
            it.excuse();
            Ok(())
        });
    }

    /// A worker is no more, or its invocation is over.
    pub(crate) fn ended(&self, life: Life, how: &str) {
        self.write(format!("life {life} {how}"));
        let mut book = self.book();
        book.events.values_mut().for_each(|it| it.ended(life));
    }

    pub(crate) fn accepted_times(&self, key: &str) -> u32 {
        self.known(key, Witness::accepted_times).unwrap_or(0)
    }

    /// Whether somebody worked on it whose lease had ended: what he did comes at any time.
    pub(crate) fn was_disturbed(&self, key: &str) -> bool {
        self.known(key, Witness::was_disturbed).unwrap_or(false)
    }

    /// An event was archived or settled as such, and nobody has heard of it.
    pub(crate) fn not_settled(&self, key: &str) {
        self.book().unsettled.insert(key.to_owned());
    }

    /// The target has accepted what is in the archive, though nobody has sent it again.
    pub(crate) fn accepted_after_archiving(&self, key: &str) {
        self.book().after_archiving += 1;
        // Who was overtaken may deliver at any time.
        if self.was_disturbed(key) || self.book().unsettled.contains(key) {
            self.write_of(key, "it is in the archive as well".to_owned());
        } else {
            self.violated(
                Some(key),
                &"archived and settled, and delivered all the same",
            );
        }
    }

    /// A call about a conversation has failed.
    pub(crate) fn not_marked(&self, conversation: &str) {
        self.book().unmarked.insert(conversation.to_owned());
    }

    /// Whether all calls about a conversation came through.
    pub(crate) fn is_marked(&self, conversation: &str) -> bool {
        !self.book().unmarked.contains(conversation)
    }

    pub(crate) fn after_archiving(&self) -> u64 {
        self.book().after_archiving
    }

    /// How many acceptances were repetitions.
    pub(crate) fn repeated(&self) -> u64 {
        let book = self.book();
        let times = book.events.values().map(Witness::accepted_times);
        times.map(|times| u64::from(times.saturating_sub(1))).sum()
    }

    /// The first violation, with the story of what it is about.
    pub(crate) fn result(&self) -> Result<(), String> {
        let book = self.book();
        let Some(violation) = &book.violation else {
            return Ok(());
        };
        let concerns = |line: &&Line| {
            violation.about.is_none() || line.about.is_none() || line.about == violation.about
        };
        let told = book.lines.iter().filter(concerns).map(Line::to_string);
        let told: Vec<String> = told.collect();
        Err(format!("{violation}\n{}", told.join("\n")))
    }
}
