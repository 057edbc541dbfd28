//! The measured implementations.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use hyper::body::Bytes;

use crate::events::{self, Message};
use crate::floor;
use crate::upstreams::Upstreams;

/// An implementation: the function, its alternatives, and the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Implementation {
    /// Bare sockets with the round trips of the function only.
    Floor,
    /// This product.
    Replay,
    /// Powertools for AWS Lambda (TypeScript), with all records of a batch concurrently.
    Typescript,
    /// Powertools for AWS Lambda (Python).
    Python,
    /// The code of a widely read tutorial, in Python.
    Tutorial,
}

/// An implementation and its command.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) implementation: Implementation,
    pub(crate) name: &'static str,
    pub(crate) command: Vec<String>,
    pub(crate) directory: PathBuf,
}

impl Candidate {
    /// Returns the command of an implementation. `root` is the project's folder, `bench` is this program.
    pub(crate) fn new(implementation: Implementation, root: &Path, bench: &Path) -> Self {
        let baselines = root.join("benches/baselines");
        let installed = root.join(".venv/bench");
        let python = || {
            let python = installed.join("python/bin/python");
            command(&python, &["-m", "awslambdaric", "handler.lambda_handler"])
        };
        let (name, command, directory) = match implementation {
            Implementation::Floor => ("floor", command(bench, &["floor"]), root.to_owned()),
            Implementation::Replay => {
                let binary = replay_binary(root);
                ("genesys-replay", command(&binary, &[]), root.to_owned())
            }
            Implementation::Typescript => (
                "Powertools TypeScript",
                command(&installed.join("node/bin/node"), &["runtime.mjs"]),
                installed.join("powertools_typescript"),
            ),
            Implementation::Python => {
                ("Powertools Python", python(), baselines.join("powertools_python"))
            }
            Implementation::Tutorial => {
                ("tutorial 004, Python", python(), baselines.join("tutorial_python"))
            }
        };
        Self { implementation, name, command, directory }
    }

    /// Returns the event of a batch. The floor gets the requests themselves.
    pub(crate) fn payload(&self, messages: &[Message], upstreams: &Upstreams) -> Bytes {
        match self.implementation {
            Implementation::Floor => floor::payload(messages, upstreams),
            Implementation::Replay
            | Implementation::Typescript
            | Implementation::Python
            | Implementation::Tutorial => events::sqs_event(messages),
        }
    }
}

/// Returns cargo's target folder.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Returns the path of the function's release binary.
pub(crate) fn replay_binary(root: &Path) -> PathBuf {
    target(root).join("release/replay")
}

/// Returns the path of ingest's release binary.
pub(crate) fn ingest_binary(root: &Path) -> PathBuf {
    target(root).join("release/ingest")
}

fn command(program: &Path, arguments: &[&str]) -> Vec<String> {
    let program = program.to_string_lossy().into_owned();
    let arguments = arguments.iter().map(|argument| (*argument).to_owned());
    std::iter::once(program).chain(arguments).collect()
}
