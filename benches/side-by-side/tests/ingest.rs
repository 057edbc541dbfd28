//! The program as `make bench-ingest` runs it, without the measured server.

use std::io;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_genesys-bench"))
        .args(arguments)
        // An empty target folder.
        .env("CARGO_TARGET_DIR", "/nonexistent")
        .output()
}

#[test]
fn help_lists_the_measurements() -> io::Result<()> {
    let general = bench(&["--help"])?;
    assert!(String::from_utf8_lossy(&general.stdout).contains("ingest"));
    let help = bench(&["ingest", "--help"])?;
    let help = String::from_utf8_lossy(&help.stdout);
    for word in ["pace", "ceiling", "memory", "slow", "strangers", "oversized", "--quick"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    Ok(())
}

#[test]
fn missing_server_binary_fails_with_the_build_command() -> io::Result<()> {
    let output = bench(&["ingest", "--quick"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("cargo build --release --bin ingest"), "{said}");
    Ok(())
}

#[test]
fn invalid_options_are_refused() -> io::Result<()> {
    for options in [["ingest", "--rate", "0"], ["ingest", "--parts", "peace"]] {
        assert_eq!(bench(&options)?.status.code(), Some(2), "{options:?}");
    }
    Ok(())
}
