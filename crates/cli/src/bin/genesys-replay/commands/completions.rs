//! `completions`: the completion scripts of shells.

use std::collections::BTreeSet;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ValueHint};
use clap_complete::Shell;
use genesys_replay::failure::{Category, FailureCode};
use genesys_replay_cli::operator::vocabulary::terms;

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
    pub(crate) fn run(&self, command: clap::Command) -> anyhow::Result<ExitStatus> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        let mut command = with_values(command);
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        let mut script = String::from_utf8(script)?;
        if self.shell == Shell::Bash {
            // clap_complete replaces the dash in our name in two ways, so no label of a subcommand fits.
            script = script.replace(" genesys__subcmd__replay__", " genesys__replay__");
        }
        if self.shell == Shell::Fish {
            // clap_complete writes the values of options for fish, but not those of arguments.
            let names: Vec<&str> = explained().into_iter().collect();
            let is_explain = "__fish_genesys_replay_using_subcommand explain";
            let begin = format!("complete -c genesys-replay -n \"{is_explain}\" -f -a");
            script.extend([begin.as_str(), " \"", names.join(" ").as_str(), "\"\n"]);
        }
        terminal::data(&script)?;
        Ok(ExitStatus::Success)
    }
}

/// Adds the values that a shell offers. The parsers of the commands stay as they are, because their errors have a hint,
/// and `explain` accepts a name in any case.
fn with_values(command: clap::Command) -> clap::Command {
    command
        .mut_subcommands(|command| {
            command.mut_args(with_value).mut_subcommands(|command| command.mut_args(with_value))
        })
        .mut_subcommand("explain", |explain| {
            explain
                .mut_arg("name", |name| name.value_parser(PossibleValuesParser::new(explained())))
        })
}

/// Returns the names that `explain` knows, each once.
fn explained() -> BTreeSet<&'static str> {
    terms().iter().map(|term| term.name).collect()
}

fn with_value(argument: Arg) -> Arg {
    match argument.get_id().as_str() {
        "category" => argument.value_parser(Category::ALL.map(Category::as_str)),
        "code" => {
            let codes = FailureCode::ALL.iter().map(|code| code.as_str());
            argument.value_parser(PossibleValuesParser::new(codes))
        }
        _ => match argument.get_value_names() {
            Some([name]) if name == "FILE" => argument.value_hint(ValueHint::FilePath),
            Some([name]) if name == "DIR" => argument.value_hint(ValueHint::DirPath),
            Some(_) | None => argument,
        },
    }
}
