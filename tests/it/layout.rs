//! The shape of the source: who may know whom.

use std::error::Error;
use std::path::{Path, PathBuf};

use crate::support::TestResult;

/// The rooms of the pure core.
const PURE: &[&str] = &[
    "backoff",
    "clock",
    "dead_letter",
    "destination",
    "digest",
    "failure",
    "message",
    "meter",
    "retry_after",
];

/// The use cases.
const USE_CASES: &[&str] = &["ingest", "operator", "replay"];

fn sources() -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path)?;
                sources.push((path.strip_prefix(&root)?.to_owned(), text));
            }
        }
    }
    Ok(sources)
}

fn in_room(path: &Path, rooms: &[&str]) -> bool {
    path.components()
        .next()
        .and_then(|first| Path::new(first.as_os_str()).file_stem())
        .and_then(|stem| stem.to_str())
        .is_some_and(|stem| rooms.contains(&stem))
        && !path.starts_with("bin")
}

fn offenders(rooms: &[&str], words: &[&str]) -> Result<Vec<String>, Box<dyn Error>> {
    let mut found = Vec::new();
    for (path, text) in sources()? {
        if !in_room(&path, rooms) {
            continue;
        }
        for word in words {
            if text.contains(word) {
                found.push(format!("{}: {word}", path.display()));
            }
        }
    }
    Ok(found)
}

#[test]
fn the_pure_core_knows_no_runtime_no_http_client_and_no_aws() -> TestResult {
    let words = [
        "tokio",
        "reqwest",
        "aws_sdk",
        "aws_config",
        "lambda_runtime",
        "crate::genesys",
        "crate::ledger",
        "crate::target",
    ];
    assert_eq!(offenders(PURE, &words)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn the_use_case_sees_ports_only() -> TestResult {
    let words = [
        "reqwest",
        "aws_",
        "lambda_runtime",
        "crate::app",
        "crate::config",
        "crate::lambda",
        "dynamodb",
    ];
    assert_eq!(offenders(USE_CASES, &words)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn the_settings_alone_read_the_environment_and_the_wiring_alone_builds_clients() -> TestResult {
    for (words, room) in [
        (&["std::env", "env::var"][..], "config"),
        (
            &[
                "Client::builder",
                "Client::from_conf",
                "Client::new(",
                "aws_config::defaults",
            ],
            "app",
        ),
    ] {
        for (path, text) in sources()? {
            let found = words.iter().any(|word| text.contains(word));
            assert!(
                !found || in_room(&path, &[room]),
                "{} reaches past {room}.rs",
                path.display()
            );
        }
    }
    Ok(())
}

#[test]
fn there_is_one_http_stack_and_one_tls_stack() -> TestResult {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock = std::fs::read_to_string(lock)?;
    let versions = |name: &str| lock.matches(&format!("name = \"{name}\"\n")).count();
    for name in [
        "hyper",
        "h2",
        "http",
        "rustls",
        "tokio-rustls",
        "hyper-rustls",
        "aws-lc-rs",
        "reqwest",
    ] {
        assert_eq!(versions(name), 1, "{name}");
    }
    for name in ["openssl", "native-tls"] {
        assert_eq!(versions(name), 0, "{name}");
    }
    Ok(())
}

#[test]
fn every_room_of_the_core_exists() -> TestResult {
    let sources = sources()?;
    for room in PURE.iter().chain(USE_CASES) {
        assert!(
            sources.iter().any(|(path, _)| in_room(path, &[room])),
            "{room}"
        );
    }
    Ok(())
}

#[test]
fn no_file_is_longer_than_five_hundred_lines() -> TestResult {
    for (path, text) in sources()? {
        assert!(text.lines().count() <= 500, "{}", path.display());
    }
    Ok(())
}
