//! `explain`: the page of a failure code.

use genesys_replay::failure::{FailureCode, RefusalCode};
use serde_json::json;

use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::global_arguments::Output;
use crate::terminal;

/// Say what a failure code means and what to do about it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay explain TARGET_CREDENTIALS
  genesys-replay explain            # all codes, one line each")]
pub(crate) struct Explain {
    /// The code, as it stands in a log line, in the ledger or in an archive key.
    code: Option<String>,
}

impl Explain {
    pub(crate) fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let Some(wanted) = &self.code else {
            terminal::data(&list(context.output())?)?;
            return Ok(ExitStatus::Success);
        };
        let (code, what_to_do, page) = codes()
            .into_iter()
            .find(|(code, ..)| code.eq_ignore_ascii_case(wanted))
            .ok_or_else(|| {
                UserError::new(
                    format!("there is no failure code {wanted}"),
                    "see the list: genesys-replay explain",
                )
            })?;
        terminal::data(&match context.output() {
            Output::Text => page.to_owned(),
            Output::Json => {
                json!({ "code": code, "what_to_do": what_to_do, "page": page }).to_string()
            }
        })?;
        Ok(ExitStatus::Success)
    }
}

fn list(output: Output) -> serde_json::Result<String> {
    let codes = codes();
    match output {
        Output::Text => {
            let lines = codes
                .iter()
                .map(|(code, what, _)| format!("{code:28} {what}\n"));
            Ok(lines.collect())
        }
        Output::Json => {
            let codes = codes
                .iter()
                .map(|(code, what, _)| json!({ "code": code, "what_to_do": what }));
            serde_json::to_string(&codes.collect::<Vec<_>>())
        }
    }
}

/// Every code with its one sentence and its page.
fn codes() -> Vec<(&'static str, &'static str, &'static str)> {
    let failures = FailureCode::ALL
        .iter()
        .map(|it| (it.as_str(), it.what_to_do(), it.page()));
    let refusals = RefusalCode::ALL
        .iter()
        .map(|it| (it.as_str(), it.what_to_do(), it.page()));
    failures.chain(refusals).collect()
}
