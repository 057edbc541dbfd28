//! Holds `template.yaml` to the rules it explains and to the settings the code reads.

mod document;
mod function;
mod queues;
mod settings;
mod storage;

type TestResult = Result<(), Box<dyn std::error::Error>>;
