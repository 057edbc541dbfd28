//! Checks log lines against `docs/LOGGING.md`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{TestResult, root};

/// Checks that every message, field and metric is documented.
pub fn are_documented(lines: &[Value]) -> TestResult {
    let manual = std::fs::read_to_string(root().join("docs/LOGGING.md"))?;
    for name in documented_names(lines) {
        assert!(manual.contains(&format!("`{name}`")), "LOGGING.md: {name}");
    }
    Ok(())
}

/// Returns the messages and the field names of log lines.
fn documented_names(lines: &[Value]) -> BTreeSet<String> {
    let mut said = BTreeSet::new();
    for line in lines {
        said.extend(line["message"].as_str().map(str::to_owned));
        let fields = line.as_object().into_iter().flat_map(|line| line.keys());
        said.extend(
            fields.filter(|name| !["Category", "FunctionName"].contains(&name.as_str())).cloned(),
        );
    }
    said
}
