//! Passes the version and the commit of the build to the crate.
//!
//! `GENESYS_REPLAY_VERSION` and `GENESYS_REPLAY_COMMIT` take precedence over Cargo.toml and the checkout. A build for
//! development has no commit, because a new commit would compile most crates again.

use std::env;
use std::process::Command;

/// The length of a commit's short form, in hexadecimal digits.
const COMMIT_DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = setting("GENESYS_REPLAY_VERSION")
        .or_else(|| env::var("CARGO_PKG_VERSION").ok())
        .unwrap_or_default();
    let commit = setting("GENESYS_REPLAY_COMMIT").or_else(|| {
        let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
        is_release.then(commit_of_checkout).flatten()
    });
    let details = commit.as_ref().map(|commit| format!(" ({commit})")).unwrap_or_default();
    println!("cargo::rustc-env=BUILD_VERSION={version}");
    println!("cargo::rustc-env=BUILD_DETAILS={details}");
    if let Some(commit) = commit {
        println!("cargo::rustc-env=BUILD_COMMIT={commit}");
    }
}

/// Returns an environment variable of the build, unless it is empty.
fn setting(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the first digits of the checkout's commit; `None` outside a checkout or without git.
fn commit_of_checkout() -> Option<String> {
    // An unpacked archive inside the checkout of another project is not part of it.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    // HEAD's log changes with each commit and each switch to another branch.
    let log = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    git(&["rev-parse", &format!("--short={COMMIT_DIGITS}"), "HEAD"])
}

/// Returns the output of a git command, without the end of the line; `None` if it failed.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
