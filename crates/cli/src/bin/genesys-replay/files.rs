//! Files that the command writes: completely or not at all, and readable by their owner only.

use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use crate::exit::UserError;

/// Creates a file that takes this name when it is complete. Only its owner can read it, because it may contain personal
/// data.
pub(crate) fn draft(path: &Path) -> anyhow::Result<NamedTempFile> {
    if path.is_dir() {
        Err(UserError::new(format!("{} is a folder", path.display()), "name a file"))?;
    }
    NamedTempFile::new_in(folder(path)).map_err(|error| {
        let what = format!("{} cannot be written: {error}", path.display());
        UserError::new(what, "name a file in a writable folder").into()
    })
}

/// Writes a file completely, or leaves an existing file unchanged.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    finish(draft(path)?, path, content)
}

/// Writes a draft and gives it its name.
pub(crate) fn finish(mut draft: NamedTempFile, path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let doing = || format!("writing {}", path.display());
    draft.write_all(content).with_context(doing)?;
    draft.as_file().sync_all().with_context(doing)?;
    draft.persist(path).with_context(doing)?;
    Ok(())
}

/// Returns the folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Reads a file that was named on the command line; `-` is stdin.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let content = if path == Path::new("-") {
        io::read_to_string(io::stdin().lock()).map(String::into_bytes)
    } else {
        // Reject a device, because it may have no end.
        std::fs::metadata(path).and_then(|about| {
            if about.is_file() || about.file_type().is_fifo() {
                std::fs::read(path)
            } else {
                Err(io::Error::other("not a regular file"))
            }
        })
    };
    content.map_err(|error| {
        UserError::new(
            format!("{} cannot be read: {error}", path.display()),
            "check the name of the file",
        )
        .into()
    })
}

/// Returns the path of a plan's audit, which is beside the plan.
pub(crate) fn audit_of(plan: &Path) -> PathBuf {
    plan.with_extension("audit.jsonl")
}

/// Returns true if the audit of a plan has an entry.
pub(crate) fn was_begun(plan: &Path) -> bool {
    std::fs::metadata(audit_of(plan)).is_ok_and(|audit| audit.len() > 0)
}
