//! Modules have no dependency cycles.
//!
//! Dependencies between a module and its parent are idiomatic and not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::TestResult;
use crate::sources::{Source, sources};

/// A path of names, such as `["replay", "batch"]`.
type Module = Vec<String>;

/// The dependencies of each module.
type Dependencies = BTreeMap<Module, BTreeSet<Module>>;

/// Returns the module of a file. The crate root is the empty path.
fn module(source: &Source) -> Option<Module> {
    let path = source.path.strip_prefix(&source.folder).ok()?;
    let path = path.with_extension("");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    let names: Module = names.collect();
    let is_root = ["lib", "main"].iter().any(|root| path == Path::new(root));
    Some(if is_root { Module::new() } else { names })
}

/// Returns the paths in `use` declarations without braces: `use a::{b, c::d};` is `a::b` and `a::c::d`.
fn used(text: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("use ") {
        let line_start = rest[..start].rfind('\n').map_or(0, |end| end + 1);
        let before = rest[line_start..start].trim();
        rest = &rest[start + "use ".len()..];
        let is_declaration = before.is_empty() || before.starts_with("pub");
        let Some(end) = rest.find(';').filter(|_| is_declaration) else {
            continue;
        };
        flatten(&rest[..end], &[], &mut found);
        rest = &rest[end..];
    }
    found
}

/// Returns the paths in the code, such as `crate::replay::log`, except those in comments.
fn named(text: &str) -> Vec<Vec<&str>> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let starts = code.flat_map(|line| {
        let roots = ["crate::", "super::"].into_iter();
        let found = roots.flat_map(|root| line.match_indices(root));
        found.map(|(start, _)| &line[start..])
    });
    let is_path = |letter: char| letter.is_alphanumeric() || "_:".contains(letter);
    starts
        .map(|rest| rest.split(|letter| !is_path(letter)).next().unwrap_or(rest))
        .map(|path| path.split("::").filter(|name| !name.is_empty()).collect())
        .collect()
}

fn flatten<'t>(tree: &'t str, prefix: &[&'t str], found: &mut Vec<Vec<&'t str>>) {
    let tree = tree.trim();
    let (head, group) = tree.split_once('{').map_or((tree, None), |(head, group)| {
        (head, group.rsplit_once('}').map(|(group, _)| group))
    });
    let head = head.split(" as ").next().unwrap_or(head);
    let names = head.split("::").map(str::trim).filter(|name| !name.is_empty());
    let path: Vec<&str> = prefix.iter().copied().chain(names).collect();
    let Some(group) = group else {
        found.push(path);
        return;
    };
    let mut depth = 0;
    let mut start = 0;
    for (index, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                flatten(&group[start..index], &path, found);
                start = index + 1;
            }
            _ => {}
        }
    }
    if !group[start..].trim().is_empty() {
        flatten(&group[start..], &path, found);
    }
}

/// Returns the module of a path among `modules`.
fn resolved(path: &[&str], here: &Module, modules: &BTreeSet<Module>) -> Option<Module> {
    let mut base = match *path.first()? {
        "crate" => Module::new(),
        "self" | "super" => here.clone(),
        name => {
            // A child without `self::`.
            let mut child = here.clone();
            child.push(name.to_owned());
            return modules.contains(&child).then_some(child);
        }
    };
    let mut names = path.iter().copied().peekable();
    while names.next_if(|name| *name == "super").is_some() {
        base.pop();
    }
    names.next_if(|name| ["crate", "self"].contains(name));
    for name in names {
        base.push(name.to_owned());
        if !modules.contains(&base) {
            base.pop();
            break;
        }
    }
    Some(base)
}

/// Returns the modules of the names that each module exports with `pub use`.
type Exports = BTreeMap<(Module, String), Module>;

fn exports(sources: &[&Source], modules: &BTreeSet<Module>) -> Exports {
    let mut exports = Exports::new();
    for source in sources {
        let Some(here) = module(source) else { continue };
        let handed_on = source.text.split("pub use ").skip(1);
        for declaration in handed_on.filter_map(|rest| rest.split(';').next()) {
            let mut paths = Vec::new();
            flatten(declaration, &[], &mut paths);
            for path in paths {
                if let (Some(target), Some(name)) = (resolved(&path, &here, modules), path.last()) {
                    exports.insert((here.clone(), (*name).to_owned()), target);
                }
            }
        }
    }
    exports
}

fn dependencies(sources: &[&Source]) -> Dependencies {
    let modules: BTreeSet<Module> = sources.iter().filter_map(|source| module(source)).collect();
    let exports = exports(sources, &modules);
    let mut dependencies = Dependencies::new();
    for source in sources {
        let Some(here) = module(source) else { continue };
        let mut targets = BTreeSet::new();
        // The tests of a file may use any module.
        if here.last().is_some_and(|name| name == "tests") {
            continue;
        }
        let text = source.text.split("#[cfg(test)]\nmod tests");
        let text = text.into_iter().next().unwrap_or_default();
        for path in used(text).into_iter().chain(named(text)) {
            let Some(target) = resolved(&path, &here, &modules) else {
                continue;
            };
            let name = path.last().map(|name| (*name).to_owned());
            let export = name.and_then(|name| exports.get(&(target.clone(), name)));
            targets.insert(export.unwrap_or(&target).clone());
        }
        targets.retain(|target| !target.starts_with(&here) && !here.starts_with(target));
        dependencies.entry(here).or_default().extend(targets);
    }
    dependencies
}

/// Returns a dependency cycle.
fn cycle(dependencies: &Dependencies) -> Option<Vec<&Module>> {
    fn walk<'a>(
        dependencies: &'a Dependencies,
        way: &mut Vec<&'a Module>,
        done: &mut BTreeSet<&'a Module>,
    ) -> bool {
        let Some(here) = way.last().copied() else {
            return false;
        };
        for next in dependencies.get(here).into_iter().flatten() {
            if let Some(start) = way.iter().position(|module| *module == next) {
                way.drain(..start);
                return true;
            }
            if done.contains(next) {
                continue;
            }
            way.push(next);
            if walk(dependencies, way, done) {
                return true;
            }
            way.pop();
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    for start in dependencies.keys() {
        let mut way = vec![start];
        if !done.contains(start) && walk(dependencies, &mut way, &mut done) {
            return Some(way);
        }
    }
    None
}

#[test]
fn modules_form_no_cycle() -> TestResult {
    let sources = sources()?;
    let mut crates: BTreeMap<&PathBuf, Vec<&Source>> = BTreeMap::new();
    for source in &sources {
        crates.entry(&source.folder).or_default().push(source);
    }
    for (folder, sources) in crates {
        let dependencies = dependencies(&sources);
        let cycle = cycle(&dependencies)
            .map(|way| way.iter().map(|module| module.join("::")).collect::<Vec<_>>());
        assert_eq!(cycle, None, "in {}", folder.display());
    }
    Ok(())
}

#[test]
fn cycle_is_found_through_a_name_that_the_parent_hands_on() {
    let source = |path: &str, text: &str| Source {
        path: Path::new("src").join(path),
        folder: "src".into(),
        text: text.to_owned(),
    };
    let sources = [
        source("lib.rs", "mod a;\nmod b;\npub use b::{B, C};\n"),
        source("a.rs", "use super::C;\n"),
        source("b.rs", "fn b() {\n    super::a::f()\n}\n"),
    ];
    let dependencies = dependencies(&sources.iter().collect::<Vec<_>>());
    assert!(cycle(&dependencies).is_some());
}

#[test]
fn cycle_is_found_across_files() {
    let source = |path: &str, text: &str| Source {
        path: Path::new("src").join(path),
        folder: "src".into(),
        text: text.to_owned(),
    };
    let sources = [
        source("lib.rs", "mod a;\nmod b;\nmod c;\n"),
        source("a.rs", "use crate::b::{B, x as y};\n"),
        source("b.rs", "pub use super::c::inner::C;\n"),
        source("c.rs", "pub mod inner;\n"),
        source("d.rs", "fn d() {\n    crate::e::f()\n}\n"),
        source("e.rs", "// crate::d::g is not used\n"),
        source("c/inner.rs", "use super::Parent;\nuse crate::{a::A, d};\n"),
    ];
    let dependencies = dependencies(&sources.iter().collect::<Vec<_>>());
    let way = cycle(&dependencies)
        .map(|way| way.iter().map(|module| module.join("::")).collect::<Vec<_>>());
    assert_eq!(way, Some(vec!["a".to_owned(), "b".to_owned(), "c::inner".to_owned()]));
}
