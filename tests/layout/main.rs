//! Rules of the sources that Cargo cannot enforce. The dependencies between crates are in their `Cargo.toml`.

mod cycles;
mod documents;
mod features;
mod names;
mod pipeline;
mod sources;
mod words;

use std::error::Error;
use std::path::Path;

use sources::{sources, sources_below};

type TestResult = Result<(), Box<dyn Error>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn environment_is_read_by_the_settings_only() -> TestResult {
    let readers = ["crates/settings", "crates/ingest/src/config.rs", "crates/cli/src/config.rs"];
    for source in sources()? {
        let reads = ["std::env", "env::var"].iter().any(|word| source.text.contains(word));
        let may_read = readers.iter().any(|reader| source.path.starts_with(reader));
        assert!(!reads || may_read, "{} reads the environment", source.path.display());
    }
    Ok(())
}

/// The pure part of the core.
const PURE: &[&str] = &[
    "aws",
    "backoff",
    "clock",
    "dead_letter",
    "destination",
    "digest",
    "error",
    "failure",
    "message",
    "meter",
    "retry_after",
];

#[test]
fn pure_core_uses_neither_runtime_nor_ports() -> TestResult {
    let words = [
        "tokio",
        "crate::archive",
        "crate::genesys",
        "crate::ledger",
        "crate::queue",
        "crate::replay",
        "crate::secret",
        "crate::target",
    ];
    for source in sources()? {
        let name = source.path.strip_prefix("src").ok().and_then(|path| path.iter().next());
        let stem = name.and_then(|name| Path::new(name).file_stem()?.to_str());
        if stem.is_some_and(|stem| PURE.contains(&stem)) {
            let found = words.iter().find(|word| source.text.contains(*word));
            assert_eq!(found, None, "in {}", source.path.display());
        }
    }
    Ok(())
}

#[test]
fn lock_file_has_one_http_stack_and_one_tls_stack() -> TestResult {
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let versions = |name: &str| lock.matches(&format!("name = \"{name}\"\n")).count();
    for name in ["hyper", "h2", "rustls", "tokio-rustls", "hyper-rustls", "aws-lc-rs", "reqwest"] {
        assert_eq!(versions(name), 1, "{name}");
    }
    // The types of http 0.2 come with aws-sdk-cloudwatch of the operator's command. They have no connections.
    assert_eq!(versions("http"), 2);
    for name in ["openssl", "native-tls"] {
        assert_eq!(versions(name), 0, "{name}");
    }
    Ok(())
}

#[test]
fn source_files_have_at_most_500_lines() -> TestResult {
    for source in
        sources()?.into_iter().chain(sources_below("tests")?).chain(sources_below("benches")?)
    {
        let lines = source.text.lines().count();
        assert!(lines <= 500, "{}: {lines} lines", source.path.display());
    }
    Ok(())
}
