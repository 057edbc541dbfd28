//! The words of the documents, the comments and the messages.

use std::path::{Path, PathBuf};

use crate::sources::sources;
use crate::{TestResult, root};

/// Phrases that a tired reader must read twice; each has a standard word.
const FORBIDDEN: &[&str] = &[
    "left alone",
    "stays away",
    "stay away",
    "comes back",
    "come back",
    "come again",
    "trying again",
    "told to end",
    "given up",
    "gone on with",
    "passed over",
    "last words",
    "whoever",
    " whom ",
    " is none",
    " are none",
    "who may",
    "as they stand",
    "in the making",
    "by what it is",
    "the tutorials",
];

fn files_below(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) -> TestResult {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, extensions, found)?;
        } else if path
            .extension()
            .and_then(|it| it.to_str())
            .is_some_and(|it| extensions.contains(&it))
        {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn texts_for_people_use_standard_words() -> TestResult {
    let mut files = ["README.md", "SECURITY.md", "Makefile", "template.yaml"]
        .map(|name| root().join(name))
        .to_vec();
    files_below(&root().join("docs"), &["md"], &mut files)?;
    files_below(&root().join("monitoring"), &["yaml"], &mut files)?;
    files.extend(sources()?.into_iter().map(|source| root().join(source.path)));
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let phrases = FORBIDDEN.iter().filter(|phrase| line.contains(**phrase));
            found.extend(
                phrases.map(|phrase| format!("{}:{}: {phrase}", file.display(), number + 1)),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}
