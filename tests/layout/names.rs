//! The names of types, and the openings of doc comments.

use std::collections::BTreeMap;

use crate::TestResult;
use crate::sources::sources;

/// A limit for new names: each of these names would need an explanation wherever it stands.
const MAX_NAMES_DECLARED_TWICE: usize = 9;

/// The share of doc comments that may open with a headless clause, in percent.
const MAX_HEADLESS_PERCENT: usize = 5;

const HEADLESS: &[&str] =
    &["What", "Who", "Whether", "Where", "Why", "How", "When", "Whatever", "Whoever"];

/// The name that a line declares as a type of its own. An associated type fills a port and is not counted.
fn declared_type(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        None => line,
        Some(rest) => rest
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(") "))
            .map_or(rest.trim_start(), |(_, rest)| rest),
    };
    let rest =
        ["struct ", "enum ", "trait ", "union "].iter().find_map(|word| line.strip_prefix(word))?;
    rest.split(|letter: char| !letter.is_alphanumeric()).next()
}

#[test]
fn few_type_names_are_declared_twice() -> TestResult {
    let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources()? {
        let text = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        for name in text.lines().filter_map(declared_type) {
            let path = source.path.display().to_string();
            declared.entry(name.to_owned()).or_default().push(path);
        }
    }
    assert!(declared.len() > 200, "{} types", declared.len());
    declared.retain(|_, paths| paths.len() > 1);
    assert!(declared.len() <= MAX_NAMES_DECLARED_TWICE, "{declared:#?}");
    Ok(())
}

#[test]
fn few_doc_comments_open_with_a_headless_clause() -> TestResult {
    let mut openings = 0;
    let mut headless = Vec::new();
    for source in sources()? {
        let mut is_open = false;
        for line in source.text.lines().map(str::trim_start) {
            let comment = ["///", "//!"].iter().find_map(|start| line.strip_prefix(start));
            if let Some(comment) = comment.filter(|_| !is_open) {
                openings += 1;
                let word = comment.split_whitespace().next().unwrap_or_default();
                if HEADLESS.contains(&word) {
                    headless.push(format!("{}: {}", source.path.display(), comment.trim()));
                }
            }
            is_open = comment.is_some();
        }
    }
    assert!(openings > 500, "{openings} doc comments");
    assert!(
        headless.len() * 100 < openings * MAX_HEADLESS_PERCENT,
        "{} of {openings}: {headless:#?}",
        headless.len()
    );
    Ok(())
}
