//! One file per command: its arguments and its action.

pub(crate) mod apply;
mod close;
pub(crate) mod completions;
pub(crate) mod diagnose;
pub(crate) mod discard;
pub(crate) mod doctor;
pub(crate) mod edit;
pub(crate) mod explain;
pub(crate) mod genesys_replay;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod man;
pub(crate) mod pause;
mod place_arguments;
pub(crate) mod plan;
mod plan_output;
pub(crate) mod plans;
mod queue_receives;
pub(crate) mod reconcile;
pub(crate) mod report;
pub(crate) mod restore;
mod selection_arguments;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod trace;
