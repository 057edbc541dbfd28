//! Holds `template.yaml` and the files that it includes to the rules it explains and to what the code reads and writes.

mod alarms;
mod code;
mod conditions;
mod dashboard;
mod document;
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
