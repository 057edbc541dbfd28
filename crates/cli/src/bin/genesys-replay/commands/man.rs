//! `man`: the manual pages.

use std::path::PathBuf;

use anyhow::Context as _;
use clap_mangen::Man;

use crate::exit::ExitStatus;
use crate::terminal;

/// Write the manual page.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay man | man -l -
  genesys-replay man --dir ~/.local/share/man/man1    # one page for each command")]
pub(crate) struct ManArgs {
    /// Write one page per command to this folder, instead of the main page to stdout.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ManArgs {
    /// `command` is the whole command line.
    pub(crate) fn run(&self, command: clap::Command) -> anyhow::Result<ExitStatus> {
        let Some(folder) = &self.dir else {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            terminal::data(&String::from_utf8(page)?)?;
            return Ok(ExitStatus::Success);
        };
        std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder))
            .with_context(|| format!("the pages were not written to {}", folder.display()))?;
        terminal::say(&format!("written to {}", folder.display()));
        Ok(ExitStatus::Success)
    }
}
