//! One set of features for the programs and the tests, so that `make demo` and `make test` build each crate once.

use std::collections::BTreeSet;
use std::error::Error;
use std::process::Command;

use crate::{TestResult, root};

/// Each crate of a build of the whole workspace with its version and features. Edges of the kind `dev` are those of tests.
fn crates(edges: &str) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--offline", "--locked", "--prefix", "none"])
        .args(["--format", "{p} {f}", "--edges", edges])
        .current_dir(root())
        .output()?;
    if !tree.status.success() {
        return Err(String::from_utf8_lossy(&tree.stderr).into());
    }
    let text = String::from_utf8(tree.stdout)?;
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)").trim_end());
    Ok(lines.map(str::to_owned).collect())
}

#[test]
fn tests_add_no_feature_to_a_crate_of_the_programs() -> TestResult {
    let without_tests = crates("normal,build")?;
    let tests = crates("normal,build,dev")?;
    let built_again: Vec<_> = without_tests.difference(&tests).collect();
    assert!(
        built_again.is_empty(),
        "a dev-dependency adds features to these; add the same ones to tests/support/Cargo.toml: {built_again:#?}"
    );
    Ok(())
}
