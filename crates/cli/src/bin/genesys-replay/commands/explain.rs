//! `explain`: the page of a failure code.

use genesys_replay::failure::{FailureCode, RefusalCode};
use serde_json::json;

use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::terminal;

/// Print the page of a failure code: its meaning and the remedy.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay explain TARGET_CREDENTIALS
  genesys-replay explain            # all codes, one line each")]
pub(crate) struct ExplainArgs {
    /// The code, as in a log line, in the ledger or in an archive key.
    code: Option<String>,
}

impl ExplainArgs {
    pub(crate) fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let codes = codes();
        let Some(wanted) = &self.code else {
            context.print(
                || {
                    let lines = codes.iter();
                    let lines = lines.map(|(code, what, _)| {
                        let line = format!("{code:28} {what}");
                        terminal::wrapped(&line, terminal::width(), 29) + "\n"
                    });
                    lines.collect()
                },
                || {
                    let codes = codes.iter();
                    let codes =
                        codes.map(|(code, what, _)| json!({ "code": code, "what_to_do": what }));
                    codes.collect()
                },
            )?;
            return Ok(ExitStatus::Success);
        };
        let mut codes = codes.into_iter();
        let found = codes.find(|(code, ..)| code.eq_ignore_ascii_case(wanted));
        let (code, what_to_do, page) = found.ok_or_else(|| {
            let what = format!("failure code {wanted} does not exist");
            UserError::new(what, "see the list: genesys-replay explain")
        })?;
        context.print(
            || page.to_owned(),
            || json!({ "code": code, "what_to_do": what_to_do, "page": page }),
        )?;
        Ok(ExitStatus::Success)
    }
}

/// Returns every code with its one sentence and its page.
fn codes() -> Vec<(&'static str, &'static str, &'static str)> {
    let failures = FailureCode::ALL.iter().map(|it| (it.as_str(), it.what_to_do(), it.page()));
    let refusals = RefusalCode::ALL.iter().map(|it| (it.as_str(), it.what_to_do(), it.page()));
    failures.chain(refusals).collect()
}
