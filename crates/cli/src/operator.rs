//! What the operator's command does: looking, understanding, replaying on purpose.
//!
//! Each use case sees ports only and says how far it is through a [`Progress`]; files, terminal and arguments
//! belong to the program.

pub mod apply;
pub mod diagnose;
pub mod doctor;
pub mod import;
pub mod letter;
pub mod page;
mod patience;
pub mod plan;
pub mod reconcile;
pub mod reinject;
pub mod remedy;
pub mod report;

/// Where a use case says how far it is. Called often: an implementation must be quick.
pub trait Progress: Send + Sync {
    /// A piece of work begins: what, and how many steps it has, if that is known.
    fn begin(&self, what: &str, steps: Option<u64>);

    /// So many more steps are done.
    fn advance(&self, steps: u64);

    /// The piece of work has ended.
    fn end(&self);

    /// Something that a person should know, though the work goes on: one sentence.
    fn warn(&self, what: &str);
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}
