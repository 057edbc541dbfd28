//! `doctor rules`: the way of events from a rule to the dead-letter queue.

mod output;
mod reading;
mod remedies;
mod unread;
mod wired;
