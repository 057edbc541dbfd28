//! The machine and the versions of a measurement.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::Value;

/// Returns the machine and the product, one line each.
pub(crate) fn description() -> [String; 2] {
    [
        format!("machine: {} × {}, Linux {}", cores(), processor(), output_of("uname", &["-r"])),
        format!(
            "genesys-replay: {}, {}",
            output_of("git", &["describe", "--always", "--dirty"]),
            output_of("rustc", &["--version"])
        ),
    ]
}

/// Returns the versions of the other implementations.
pub(crate) fn others(root: &Path) -> [String; 2] {
    let installed = root.join(".venv/bench");
    let python = installed.join("python/bin/python");
    let node = installed.join("node/bin/node");
    [
        format!(
            "Powertools TypeScript: Node {}, {}",
            output_of(&node, &["--version"]),
            packages(root)
        ),
        format!(
            "Powertools Python and tutorial: {}, {}",
            output_of(&python, &["--version"]),
            requirements(root)
        ),
    ]
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = info.lines().find_map(|line| line.strip_prefix("model name"));
    named.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |line| line.trim_start_matches([' ', '\t', ':']).to_owned(),
    )
}

fn output_of(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Returns the pinned Python packages.
fn requirements(root: &Path) -> String {
    let pinned =
        fs::read_to_string(root.join("benches/baselines/requirements.txt")).unwrap_or_default();
    let pinned = pinned.lines().filter(|line| line.contains("==") && !line.starts_with('#'));
    pinned.map(|line| line.replace("==", " ")).collect::<Vec<_>>().join(", ")
}

/// Returns the bundled npm packages.
fn packages(root: &Path) -> String {
    let package = root.join("benches/baselines/powertools_typescript/package.json");
    let package = fs::read(package).unwrap_or_default();
    let package: Value = serde_json::from_slice(&package).unwrap_or_default();
    let pinned = package["dependencies"].as_object().cloned().unwrap_or_default();
    let named = pinned
        .iter()
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default()));
    named.collect::<Vec<_>>().join(", ")
}

/// Returns the size of the binary and its deflated size, in bytes.
///
/// # Errors
/// The binary does not exist.
pub(crate) fn sizes(binary: &Path) -> anyhow::Result<(u64, u64)> {
    let content = fs::read(binary)?;
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
    deflated.write_all(&content)?;
    Ok((u64::try_from(content.len())?, u64::try_from(deflated.finish()?.len())?))
}
