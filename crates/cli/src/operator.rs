//! The use cases of the operator's command: diagnosis, plans and operator replays.
//!
//! Each use case reports its progress through a [`Progress`]. Files, terminal and arguments belong to the program.

pub mod apply;
pub mod body_condition;
pub mod classified_message;
pub mod close;
pub mod diagnose;
pub mod doctor;
pub mod import;
pub mod page;
pub mod pause;
pub mod plan;
pub mod plans;
pub mod queue_reading;
pub mod reconcile;
pub mod remedy;
pub mod report;
pub mod request_replay;
mod retry;
pub mod rules;
pub mod setup;
pub mod status;
pub mod trace;
pub mod vocabulary;

/// The progress display of a use case. Called often, so an implementation must be quick.
pub trait Progress: Send + Sync {
    /// Begins a piece of work. `what` names the work; `steps` is its number of steps, if known.
    fn begin(&self, what: &str, steps: Option<u64>);

    /// Adds finished steps.
    fn advance(&self, steps: u64);

    /// Renames the current piece of work. Shown only where work is shown while it runs.
    fn rename(&self, _what: &str) {}

    /// Reports the event that the work waits for, in one line. Shown everywhere, so call it once per wait.
    fn wait_for(&self, _what: &str) {}

    /// Ends the piece of work.
    fn end(&self);

    /// Reports a problem that does not stop the work, in one sentence.
    fn warn(&self, what: &str);
}

/// A progress display that shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}
