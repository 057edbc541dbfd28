//! The replay pipeline: its calls go down only, and its state is in values.

use std::collections::BTreeMap;
use std::path::Path;

use crate::TestResult;
use crate::sources::{Source, sources_below};

/// The files that contain methods of the pipeline, from top to bottom. A method calls methods of its own file and of
/// files below.
const ORDER: &[&str] = &[
    "batch",
    "backlog",
    "expiry",
    "record",
    "redirected",
    "clean_up",
    "claim",
    "attempt",
    "complete",
    "reject",
    "rounds",
    "archiving",
    "marking",
    "retry_context",
    "settle",
    "known_queues",
    "interrupt",
];

/// The pipeline's sources, without the tests of a file.
fn pipeline() -> Result<Vec<Source>, Box<dyn std::error::Error>> {
    let mut sources = sources_below("src/replay")?;
    sources.retain(|source| source.path.file_stem().is_some_and(|stem| stem != "tests"));
    for source in &mut sources {
        let end = source.text.find("#[cfg(test)]").unwrap_or(source.text.len());
        source.text.truncate(end);
    }
    Ok(sources)
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// The names that follow `start` in a text, up to the first character that is not part of a name.
fn names_after<'t>(text: &'t str, start: &str) -> Vec<&'t str> {
    let rests = text.split(start).skip(1);
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    rests.map(|rest| rest.split(|letter| !is_name(letter)).next().unwrap_or(rest)).collect()
}

#[test]
fn pipeline_calls_go_down_only() -> TestResult {
    const METHODS: &str = "impl<P: Ports> Replay<P> {";
    let sources = pipeline()?;
    let rank = |path: &Path| ORDER.iter().position(|name| *name == stem(path));
    let mut defined_in = BTreeMap::new();
    for source in &sources {
        let Some((_, methods)) = source.text.split_once(METHODS) else {
            continue;
        };
        let methods = methods.split("\n}\n").next().unwrap_or(methods);
        let rank = rank(&source.path)
            .ok_or_else(|| format!("{} is not in ORDER", source.path.display()))?;
        for name in names_after(methods, " fn ") {
            defined_in.insert(name, rank);
        }
    }
    assert!(defined_in.len() > 30, "{defined_in:?}");
    for source in &sources {
        let Some(caller) = rank(&source.path) else {
            continue;
        };
        let text = source.text.split_whitespace().collect::<String>();
        for name in names_after(&text, "self.") {
            let target = defined_in.get(name).copied();
            assert!(
                target.is_none_or(|target| target >= caller),
                "{} calls {name} of a file above it",
                source.path.display()
            );
        }
    }
    Ok(())
}

#[test]
fn pipeline_has_no_mutex_outside_the_circuit_breaker() -> TestResult {
    for source in pipeline()? {
        let is_breaker = stem(&source.path) == "circuit_breaker";
        let has_mutex = ["Mutex", "RwLock"].iter().any(|it| source.text.contains(it));
        assert!(is_breaker || !has_mutex, "{}", source.path.display());
    }
    Ok(())
}
