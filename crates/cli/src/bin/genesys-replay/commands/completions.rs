//! `completions`: the completion scripts of shells.

use clap_complete::Shell;

use crate::exit::ExitStatus;
use crate::terminal;

/// Write the completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay completions bash > ~/.local/share/bash-completion/completions/genesys-replay
  genesys-replay completions zsh > \"${fpath[1]}/_genesys-replay\"
  genesys-replay completions fish > ~/.config/fish/completions/genesys-replay.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

impl CompletionsArgs {
    /// `command` is the whole command line.
    pub(crate) fn run(&self, mut command: clap::Command) -> anyhow::Result<ExitStatus> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        let mut script = String::from_utf8(script)?;
        if self.shell == Shell::Bash {
            // clap_complete replaces the dash in our name in two ways, so no label of a subcommand fits.
            script = script.replace(" genesys__subcmd__replay__", " genesys__replay__");
        }
        terminal::data(&script)?;
        Ok(ExitStatus::Success)
    }
}
