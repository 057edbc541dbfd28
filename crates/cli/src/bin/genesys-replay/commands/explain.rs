//! `explain`: the meaning of a name in the output: a failure code, a category, an outcome, a status.

use genesys_replay_cli::operator::vocabulary::{Term, find, similar, terms};
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::terminal;

/// Print the meaning of a name and the remedy: a failure code, a category, an outcome, a status, a finding.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay explain TARGET_CREDENTIALS
  genesys-replay explain RATE_LIMIT_EXCEEDED
  genesys-replay explain deferred
  genesys-replay explain            # all names, one line each")]
pub(crate) struct ExplainArgs {
    /// The name in any case, as in a log line, in the ledger, in an archive key or in the output of a command.
    name: Option<String>,
}

/// The column at which the meaning of a name begins.
const MEANING_AT: usize = 29;

impl ExplainArgs {
    pub(crate) fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let Some(wanted) = &self.name else {
            let all = terms();
            context.print(|| list(&all), || all.iter().map(entry).collect())?;
            return Ok(ExitStatus::Success);
        };
        let found = find(wanted);
        let Some(first) = found.first() else {
            let what = format!("the name {wanted} does not exist");
            let all = "see the list: genesys-replay explain";
            let hint = match similar(wanted).as_slice() {
                [] => all.to_owned(),
                names => format!("did you mean {}? {all}", names.join(", ")),
            };
            Err(UserError::new(what, hint))?
        };
        context.print(|| text(&found), || document(first, &found))?;
        Ok(ExitStatus::Success)
    }
}

/// Returns the names in their groups, one line each.
fn list(all: &[Term]) -> String {
    let groups = all.chunk_by(|one, next| one.kind == next.kind).map(|group| {
        let heading = group.first().map_or("", |term| term.kind.heading());
        let lines = group.iter().map(|term| {
            let line = format!("{:28} {}", term.name, plain(term.meaning));
            terminal::wrapped(&line, terminal::width(), MEANING_AT) + "\n"
        });
        format!("{heading}\n{}", lines.collect::<String>())
    });
    groups.collect::<Vec<String>>().join("\n")
}

/// Returns the page of a failure code, and one line for each other meaning of the name.
fn text(found: &[Term]) -> String {
    let parts = found.iter().map(|term| {
        let line = || format!("{} ({}): {}", term.name, term.kind.as_str(), plain(term.meaning));
        let wrapped = || terminal::wrapped(&line(), terminal::width(), 2) + "\n";
        term.page.map_or_else(wrapped, str::to_owned)
    });
    parts.collect::<Vec<String>>().join("\n")
}

/// Returns a text without the marks of code.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn entry(term: &Term) -> Value {
    let mut entry =
        json!({ "kind": term.kind.as_str(), "name": term.name, "meaning": plain(term.meaning) });
    if term.page.is_some() {
        entry["code"] = term.name.into();
        entry["what_to_do"] = term.meaning.into();
    }
    entry
}

fn document(first: &Term, found: &[Term]) -> Value {
    let mut document = entry(first);
    document["page"] = first.page.into();
    document["meanings"] = found.iter().map(entry).collect();
    document
}
