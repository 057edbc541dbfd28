//! Runs every stored input through its fuzz target. New findings of the fuzzer are stored there, too.

use std::error::Error;
use std::path::{Path, PathBuf};

use genesys_fuzz::TARGETS;
use genesys_replay::archive::Document;
use genesys_replay_cli::operator::apply::History;
use genesys_replay_cli::operator::plan::Plan;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

#[test]
fn stored_inputs_pass_their_targets() -> Result<(), Box<dyn Error>> {
    let mut failed = Vec::new();
    for (name, check) in TARGETS {
        let inputs = files(&root().join(name))?;
        assert!(inputs.len() >= 10, "{name}: {} inputs", inputs.len());
        for path in inputs {
            let input = std::fs::read(&path)?;
            if std::panic::catch_unwind(|| check(&input)).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
    Ok(())
}

#[test]
fn targets_have_one_program_and_one_input_folder_each() -> Result<(), Box<dyn Error>> {
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    for folder in [root(), programs] {
        let found: Vec<_> = files(&folder)?
            .iter()
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        assert_eq!(found, names, "{}", folder.display());
    }
    Ok(())
}

#[test]
fn stored_inputs_are_small() -> Result<(), Box<dyn Error>> {
    let mut bytes = 0;
    for (name, _) in TARGETS {
        for path in files(&root().join(name))? {
            bytes += std::fs::metadata(&path)?.len();
            let name = path.file_name().map_or(0, std::ffi::OsStr::len);
            assert!(name <= 40, "longer than a hash: {}", path.display());
        }
    }
    assert!(bytes < 1_000_000, "{bytes} bytes");
    Ok(())
}

#[test]
fn stored_plans_audits_and_objects_are_valid() -> Result<(), Box<dyn Error>> {
    let seed = |name: &str| std::fs::read(root().join("operator_file").join(name));
    for name in ["plan.json", "plan-edited.json", "plan-superseded.json"] {
        assert!(Plan::read(&seed(name)?).is_ok(), "{name}");
    }
    for name in ["audit.jsonl", "audit-torn.jsonl"] {
        let history = History::read(&String::from_utf8(seed(name)?)?)?;
        assert!(!history.states.is_empty(), "{name}");
    }
    for name in ["archived.json", "archived-binary.json", "archived-without-an-id.json"] {
        assert!(Document::read(&seed(name)?).is_ok(), "{name}");
    }
    Ok(())
}
