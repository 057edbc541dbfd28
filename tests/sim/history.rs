//! What has happened in a story, and what must not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A life of a worker: from its start to its death.
pub(crate) type Life = u64;

/// The book in which a story is written down while it happens.
#[derive(Default)]
pub(crate) struct History(Mutex<Book>);

#[derive(Default)]
struct Book {
    lines: Vec<String>,
    violation: Option<String>,
    events: BTreeMap<String, Event>,
    dead: BTreeSet<Life>,
}

/// What is known of one event, by its key.
#[derive(Default)]
struct Event {
    /// The attempt count of the latest delivery.
    attempt: u32,
    accepted: u32,
    /// Who got the event accepted and has not seen that written down yet.
    unrecorded: Option<Life>,
    /// Whether it is known why the ledger may not know of an acceptance.
    excused: bool,
}

impl History {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self, line: String) {
        self.book().lines.push(line);
    }

    /// Something that must never happen; the first is the one that is told.
    pub(crate) fn violated(&self, what: String) {
        let mut book = self.book();
        book.lines.push(format!("VIOLATION: {what}"));
        book.violation.get_or_insert(what);
    }

    /// A delivery begins; `recorded` says whether the ledger knows that it was delivered before.
    pub(crate) fn delivering(&self, key: &str, life: Life, attempt: u32, recorded: bool) {
        self.write(format!("life {life} delivers {key}, attempt {attempt}"));
        if recorded {
            self.violated(format!(
                "{key} is delivered although the ledger knows that it was"
            ));
        }
        let mut book = self.book();
        let holder = book.events.get(key).and_then(|event| event.unrecorded);
        let alive = holder.filter(|holder| *holder != life && !book.dead.contains(holder));
        let event = book.events.entry(key.to_owned()).or_default();
        let back = attempt <= event.attempt;
        event.attempt = event.attempt.max(attempt);
        let excused = event.excused;
        drop(book);
        if back {
            self.violated(format!("{key} is delivered as attempt {attempt} again"));
        }
        if let (Some(holder), false) = (alive, excused) {
            self.violated(format!(
                "{key} is delivered while life {holder}, which got it accepted, still works on it"
            ));
        }
    }

    /// The target has accepted.
    pub(crate) fn accepted(&self, key: &str, life: Life) {
        let mut book = self.book();
        let dead: BTreeSet<Life> = book.dead.clone();
        let event = book.events.entry(key.to_owned()).or_default();
        event.accepted += 1;
        let unexplained = event.accepted > 1
            && !event.excused
            && event
                .unrecorded
                .is_none_or(|holder| !dead.contains(&holder));
        event.unrecorded = Some(life);
        event.excused = false;
        book.lines
            .push(format!("the target accepts {key} of life {life}"));
        drop(book);
        if unexplained {
            self.violated(format!(
                "{key} is accepted twice, and no answer was lost and nobody died"
            ));
        }
    }

    /// The acceptance is written down.
    pub(crate) fn recorded(&self, key: &str) {
        if let Some(event) = self.book().events.get_mut(key) {
            event.unrecorded = None;
        }
    }

    /// An answer was lost, or the ledger could not be told: the event may be delivered once more.
    pub(crate) fn excuse(&self, key: &str) {
        self.book()
            .events
            .entry(key.to_owned())
            .or_default()
            .excused = true;
    }

    /// A worker is no more, or has been cut off: it sees nothing to its end.
    pub(crate) fn died(&self, life: Life) {
        let mut book = self.book();
        book.lines.push(format!("life {life} ends"));
        book.dead.insert(life);
    }

    pub(crate) fn accepted_times(&self, key: &str) -> u32 {
        self.book()
            .events
            .get(key)
            .map_or(0, |event| event.accepted)
    }

    /// How many acceptances were repetitions.
    pub(crate) fn repeated(&self) -> u64 {
        let book = self.book();
        let repeated = book
            .events
            .values()
            .map(|event| u64::from(event.accepted.saturating_sub(1)));
        repeated.sum()
    }

    /// The first violation, with the last lines of the story.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let book = self.book();
        let Some(violation) = &book.violation else {
            return Ok(());
        };
        let from = book.lines.len().saturating_sub(60);
        Err(format!("{violation}\n{}", book.lines[from..].join("\n")))
    }
}
