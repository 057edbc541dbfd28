//! The links of the documents.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use crate::{TestResult, root};

fn documents() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let root = root();
    let mut found = Vec::new();
    for folder in [".", "docs", "docs/decisions", "docs/failures"] {
        for entry in std::fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Returns the anchors of a document's headings, in the format of GitHub.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
            title.chars().filter(kept).collect::<String>().replace(' ', "-")
        })
        .collect()
}

fn links(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.split("](").skip(1);
    ends.filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
        .filter(|link| !link.starts_with("https://"))
}

#[test]
fn links_lead_to_existing_files_and_headings() -> TestResult {
    let mut followed = 0;
    for document in documents()? {
        let text = std::fs::read_to_string(&document)?;
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let here = document.parent().unwrap_or(Path::new("."));
            let target = if path.is_empty() { document.clone() } else { here.join(path) };
            assert!(target.exists(), "{}: {link}", document.display());
            if !anchor.is_empty() {
                let there = anchors(&std::fs::read_to_string(&target)?);
                assert!(there.contains(anchor), "{}: {link}", document.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 100, "only {followed} links were found");
    Ok(())
}

#[test]
fn documented_make_targets_exist() -> TestResult {
    let makefile = std::fs::read_to_string(root().join("Makefile"))?;
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .filter_map(|line| line.split_once(':').map(|(target, _)| target))
        .flat_map(str::split_whitespace)
        .collect();
    let mut found = BTreeSet::new();
    for document in documents()? {
        let text = std::fs::read_to_string(&document)?;
        // In a code span, or at the begin of a line of a code block.
        let calls = text.split("`make ").skip(1).chain(text.split("\nmake ").skip(1));
        for call in calls {
            let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '-';
            let target = call.split(|letter| !is_name(letter)).next().unwrap_or_default();
            assert!(targets.contains(target), "{}: make {target}", document.display());
            found.insert(target.to_owned());
        }
    }
    assert!(found.contains("demo") && found.contains("test"), "{found:?}");
    Ok(())
}
