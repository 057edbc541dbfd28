//! The operator's command: the real program on the local AWS, with the function beside it, and its page in a real browser.

mod apply;
mod apply_safety;
mod browser;
mod credentials;
mod diagnose;
mod doctor;
mod drain;
mod edit;
mod help;
mod import;
mod items;
mod large;
mod parking;
mod plan;
mod reconcile;
mod replay_via_genesys;
mod report;
mod support;
