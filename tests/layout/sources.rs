//! The source files of all crates.

use std::error::Error;
use std::path::{Path, PathBuf};

use crate::root;

/// A file of a crate.
pub(crate) struct Source {
    /// Its path below the root of the repository.
    pub(crate) path: PathBuf,
    /// The folder of its crate root.
    pub(crate) folder: PathBuf,
    pub(crate) text: String,
}

/// All Rust files of the crates that are shipped.
pub(crate) fn sources() -> Result<Vec<Source>, Box<dyn Error>> {
    let mut sources = Vec::new();
    read(Path::new("src"), Path::new("src"), &mut sources)?;
    for entry in std::fs::read_dir(root().join("crates"))? {
        let folder = Path::new("crates").join(entry?.file_name()).join("src");
        read(&folder, &folder, &mut sources)?;
    }
    Ok(sources)
}

/// Returns every file of Rust code in a folder of the repository, also in its subfolders.
pub(crate) fn sources_below(folder: &str) -> Result<Vec<Source>, Box<dyn Error>> {
    let folder = Path::new(folder);
    let mut sources = Vec::new();
    read(folder, folder, &mut sources)?;
    Ok(sources)
}

/// A folder below `src/bin` is a crate of its own.
fn read(
    folder: &Path,
    crate_folder: &Path,
    sources: &mut Vec<Source>,
) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(root().join(folder))? {
        let name = entry?.file_name();
        let path = folder.join(&name);
        if root().join(&path).is_dir() {
            let is_crate = folder.ends_with("bin");
            read(&path, if is_crate { &path } else { crate_folder }, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Source {
                text: std::fs::read_to_string(root().join(&path))?,
                folder: crate_folder.to_owned(),
                path,
            });
        }
    }
    Ok(())
}
