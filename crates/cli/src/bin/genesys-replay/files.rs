//! Files that the command writes: completely or not at all, and readable by their owner only.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use crate::exit::UserError;

/// The maximum size of an input file, in bytes: more than a plan of 100,000 dead letters has.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// The kinds of files that may be replaced, each by its begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaceable {
    /// No file may be replaced.
    Nothing,
    /// A plan that this run has read.
    Plan,
    /// The records of a diagnosis.
    Records,
    /// An HTML page.
    Page,
    /// A configuration file of another tool. Its content was read and is kept.
    Configuration,
}

impl Replaceable {
    const fn begin(self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Configuration => None,
            Self::Plan => Some("{\n  \"format\": \"genesys-replay plan "),
            Self::Records => Some("{\n\"generatedAt\": \""),
            Self::Page => Some(
                "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\"",
            ),
        }
    }

    /// Checks that nothing else is replaced. An empty file may be replaced.
    fn check(self, path: &Path) -> anyhow::Result<()> {
        let Ok(about) = std::fs::symlink_metadata(path) else {
            return Ok(());
        };
        let refused = |what: &str| {
            let what = format!("{} {what}", path.display());
            Err(UserError::new(what, "name another file, or remove this one").into())
        };
        if about.is_dir() {
            return Err(
                UserError::new(format!("{} is a folder", path.display()), "name a file").into()
            );
        }
        if about.is_symlink() {
            return refused("is a symbolic link, and files are not written through links");
        }
        if !about.is_file() {
            return refused("is not a regular file");
        }
        if self == Self::Configuration {
            return Ok(());
        }
        let Some(begin) = self.begin() else {
            return refused("already exists");
        };
        let mut found = vec![0; begin.len().min(usize::try_from(about.len())?)];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut found));
        match read {
            Ok(()) if found == begin.as_bytes() || found.is_empty() => Ok(()),
            Ok(()) => refused("exists and was not written by this command"),
            Err(error) => refused(&format!("cannot be read: {error}")),
        }
    }
}

/// Creates a file that takes this name when it is complete. Only its owner can read it, because it may contain personal
/// data.
pub(crate) fn draft(path: &Path, may_replace: Replaceable) -> anyhow::Result<NamedTempFile> {
    may_replace.check(path)?;
    NamedTempFile::new_in(folder(path)).map_err(|error| {
        let what = format!("{} cannot be written: {error}", path.display());
        UserError::new(what, "name a file in a writable folder").into()
    })
}

/// Writes a file completely, or leaves an existing file unchanged.
pub(crate) fn write_whole(
    path: &Path,
    may_replace: Replaceable,
    content: &[u8],
) -> anyhow::Result<()> {
    finish(draft(path, may_replace)?, path, may_replace, content)
}

/// Writes a draft and gives it its name.
pub(crate) fn finish(
    mut draft: NamedTempFile,
    path: &Path,
    may_replace: Replaceable,
    content: &[u8],
) -> anyhow::Result<()> {
    let doing = || format!("writing {}", path.display());
    draft.write_all(content).with_context(doing)?;
    draft.as_file().sync_all().with_context(doing)?;
    persist(draft, path, may_replace)
}

/// Gives a complete draft its name. The file of this name may have changed since the draft began.
pub(crate) fn persist(
    draft: NamedTempFile,
    path: &Path,
    may_replace: Replaceable,
) -> anyhow::Result<()> {
    may_replace.check(path)?;
    let doing = || format!("writing {}", path.display());
    match may_replace {
        Replaceable::Nothing => draft.persist_noclobber(path).with_context(doing)?,
        Replaceable::Plan
        | Replaceable::Records
        | Replaceable::Page
        | Replaceable::Configuration => draft.persist(path).with_context(doing)?,
    };
    Ok(())
}

/// Returns the folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Opens a file or pipe for reading. A device is refused, because it may have no end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let about = std::fs::metadata(path)?;
    if about.is_file() || about.file_type().is_fifo() {
        File::open(path)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// Reads a file that was named on the command line; `-` is stdin.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let content = if path == Path::new("-") {
        read_limited(io::stdin().lock())
    } else {
        open(path).and_then(read_limited)
    };
    content.map_err(|error| {
        UserError::new(
            format!("{} cannot be read: {error}", path.display()),
            "check the name of the file",
        )
        .into()
    })
}

/// Reads an input that may have no end.
fn read_limited(input: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "limited by take")]
    input.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    // Some programs begin a file with a byte order mark.
    match content.strip_prefix("\u{feff}".as_bytes()) {
        Some(rest) => Ok(rest.to_vec()),
        None => Ok(content),
    }
}

/// Returns the path of a plan's audit, which is beside the plan.
pub(crate) fn audit_of(plan: &Path) -> PathBuf {
    plan.with_extension("audit.jsonl")
}

/// Returns true if the audit of a plan has an entry.
pub(crate) fn was_begun(plan: &Path) -> bool {
    std::fs::metadata(audit_of(plan)).is_ok_and(|audit| audit.len() > 0)
}
