//! The operator's command: the real program on the local AWS, with the function beside it, and its page in a real browser.

mod apply;
mod apply_safety;
mod browser;
mod credentials;
mod diagnose;
mod discard;
mod doctor;
mod documented_commands;
mod drain;
mod edit;
mod genesys_replay;
mod help;
mod import;
mod items;
mod large;
mod parking;
mod plan;
mod proxy;
mod reconcile;
mod redirect;
mod report;
mod send_results;
mod support;
mod terminal;
mod untrusted_files;
mod upgrade;
