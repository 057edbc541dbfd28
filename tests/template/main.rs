//! Checks `template.yaml` and its included files against their rules and against the code.

mod account;
mod alarms;
mod code;
mod conditions;
mod dashboard;
mod deployer;
mod document;
mod draining;
mod encryption;
mod files;
mod function;
mod ingest;
mod metrics;
mod permissions;
mod queries;
mod queues;
mod rules;
mod settings;
mod storage;

type TestResult = Result<(), Box<dyn std::error::Error>>;
