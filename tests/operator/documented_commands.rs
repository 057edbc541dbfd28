//! The commands in the documents exist, with their options.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::PathBuf;

use genesys_test_support::{TestResult, root};

use crate::support::program::run;

/// Returns the documents of operators.
fn documents() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = vec![root().join("README.md"), root().join("SECURITY.md")];
    for folder in ["docs", "docs/decisions", "docs/failures"] {
        for entry in std::fs::read_dir(root().join(folder))? {
            found.push(entry?.path());
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    Ok(found)
}

/// Returns each call of the command in a document: in a code block, on one line, or in a code span.
fn calls(document: &str) -> Vec<Vec<String>> {
    const PROGRAM: &str = "genesys-replay ";
    let mut found = Vec::new();
    let mut is_code = false;
    for line in document.replace("\\\n", " ").lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let spans: Vec<&str> = match line.trim_start().trim_start_matches("$ ") {
            call if is_code && call.starts_with(PROGRAM) => vec![call],
            _ if is_code => Vec::new(),
            text => text.split('`').skip(1).step_by(2).collect(),
        };
        for call in spans.iter().filter_map(|span| span.strip_prefix(PROGRAM)) {
            let call = call.split(" #").next().unwrap_or_default();
            let call = call.split([';', '|', '>']).next().unwrap_or_default();
            found.push(call.split_whitespace().map(str::to_owned).collect());
        }
    }
    found
}

#[test]
fn calls_are_found_in_code_blocks_and_spans() {
    let text = "genesys-replay is a tool; run `genesys-replay plan --code X`.\n```\ngenesys-replay \
                apply \\\n  plan.json --yes  # sends\nelse\n```\n";
    let found: Vec<String> = calls(text).into_iter().map(|words| words.join(" ")).collect();
    assert_eq!(found, ["plan --code X", "apply plan.json --yes"]);
}

#[tokio::test]
async fn documented_commands_exist_with_their_options() -> TestResult {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in documents()? {
        for words in calls(&std::fs::read_to_string(&path)?) {
            let is_name = |word: &&String| {
                let is_name_byte = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
                !word.starts_with('-') && word.bytes().all(is_name_byte)
            };
            let mut names = words.iter().take_while(is_name);
            let Some(command) = names.next() else {
                continue;
            };
            let command = match (command.as_str(), names.next()) {
                ("genesys", Some(inner)) => format!("genesys {inner}"),
                ("doctor", Some(inner)) => format!("doctor {inner}"),
                ("plans", Some(inner)) => format!("plans {inner}"),
                (command, _) => command.to_owned(),
            };
            let options = words.iter().filter(|word| word.starts_with("--"));
            let names = options.map(|option| option.split('=').next().unwrap_or_default());
            used.entry(command).or_default().extend(names.map(str::to_owned));
        }
    }
    assert!(used.len() >= 8, "{used:?}");
    for (command, options) in used {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let help = run(&[], &arguments).await?;
        assert_eq!(help.code, Some(0), "genesys-replay {command}: {}", help.stderr);
        for option in options {
            let is_offered = help.stdout.split([' ', ',', '\n', '=', '[']).any(|it| it == option);
            assert!(is_offered, "genesys-replay {command} {option}");
        }
    }
    Ok(())
}
