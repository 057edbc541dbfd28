//! The arguments that select events, of all commands that select.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::{Category, FailureCode};
use genesys_replay_cli::operator::body_condition::{BodyCondition, ConditionFault};
use genesys_replay_cli::operator::plan::Selection;

use crate::exit::UserError;
use crate::files;
use crate::time_argument::parse_time;

/// The conditions of selected events. All conditions must match; for a repeated condition, one of its values must match.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionArgs {
    /// Only this category of the first failure; may be given several times, like the options below.
    #[arg(long, value_name = "CATEGORY", value_parser = category)]
    category: Vec<String>,
    /// Only events with this failure code.
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Vec<String>,
    /// Only event types that match; * stands for any text.
    #[arg(long, visible_alias = "event-type", value_name = "PATTERN")]
    topic: Vec<String>,
    /// Only targets that match; * stands for any text.
    #[arg(long, value_name = "PATTERN")]
    target: Vec<String>,
    /// Only original targets that match: the target that the dead letter names, also if the function has a fixed target.
    #[arg(long, value_name = "PATTERN")]
    original_target: Vec<String>,
    /// Only this interaction.
    #[arg(long, value_name = "ID")]
    interaction: Vec<String>,
    /// Only the event with this id.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: Vec<String>,
    /// Only the events with the ids in this file, one per line; - is stdin.
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Only events with this value in their JSON: a JSON pointer or a JSON path, such as
    /// /detail/eventBody/queueId=q-1 or '$..queueId=q-1'. If given several times, all must match.
    #[arg(long, value_name = "PATH=VALUE", value_parser = condition)]
    r#where: Vec<BodyCondition>,
    /// Only since this time (plan, discard: of the rejection; diagnose: of the message; report: first seen or last processed):
    /// an age (6h), a time (16:00), a day (yesterday, 2026-11-29) or RFC 3339. Times without an offset
    /// are in the time zone of this computer (TZ).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) since: Option<Timestamp>,
    /// Only before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) until: Option<Timestamp>,
}

impl SelectionArgs {
    /// Returns the selection. A file of ids is read.
    pub(crate) fn selection(&self) -> anyhow::Result<Selection> {
        let mut ids: BTreeSet<String> = self.id.iter().cloned().collect();
        if let Some(file) = &self.ids {
            let listed = read_ids(file)?;
            if listed.is_empty() {
                // Without a condition, every dead letter would be selected.
                Err(UserError::new(
                    format!("{} does not contain any ids", file.display()),
                    ONE_ID_PER_LINE,
                ))?;
            }
            ids.extend(listed);
        }
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            Err(UserError::new(
                format!("--since {since} is not before --until {until}, so no event matches"),
                "a day is its begin, and a time of day is the last one: add the date, such as '2026-11-29 16:00'",
            ))?;
        }
        Ok(Selection {
            categories: self.category.clone(),
            codes: self.code.clone(),
            topics: self.topic.clone(),
            targets: self.target.clone(),
            original_targets: self.original_target.clone(),
            interactions: self.interaction.clone(),
            ids,
            body: self.r#where.clone(),
            since: self.since.map(|it| it.to_string()),
            until: self.until.map(|it| it.to_string()),
            ..Selection::default()
        })
    }
}

const ONE_ID_PER_LINE: &str = "write one event id per line";

/// Returns the ids in a file, one per line, without empty lines and lines that begin with `#`.
pub(super) fn read_ids(file: &Path) -> anyhow::Result<Vec<String>> {
    let content = String::from_utf8(files::read(file)?).map_err(|_| {
        UserError::new(format!("{} is not UTF-8 text", file.display()), ONE_ID_PER_LINE)
    })?;
    let lines = content.lines().map(str::trim);
    let ids = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(ids.map(str::to_owned).collect())
}

fn condition(text: &str) -> Result<BodyCondition, ConditionFault> {
    text.parse()
}

fn category(text: &str) -> Result<String, String> {
    let known = Category::ALL.map(Category::as_str);
    let is_known = known.contains(&text).then(|| text.to_owned());
    is_known.ok_or_else(|| format!("must be one of {}", known.join(", ")))
}

fn code(text: &str) -> Result<String, String> {
    let code = FailureCode::parse(text).map(|code| code.to_string());
    code.ok_or_else(|| "not a failure code; see the list: genesys-replay explain".to_owned())
}
