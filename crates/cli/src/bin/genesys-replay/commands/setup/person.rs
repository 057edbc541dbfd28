//! The operator in front of the terminal.

use std::fmt::Write as _;
use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};
use genesys_replay::destination::Arn;
use genesys_replay_cli::operator::setup::{
    Person, QueueCandidate, SetupStep, StepChange, StepState,
};

use crate::terminal::{self, one_line, printable, wrapped};

/// The column at which the finding of a step begins.
const FOUND_AT: usize = 28;

/// The approval of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Approval {
    /// All changes are approved: --yes.
    All,
    /// A person is asked.
    Asked,
    /// Nothing is changed.
    Refused,
}

/// Shows the steps on the terminal, and asks.
pub(super) struct TerminalPerson {
    approval: Approval,
    /// False if stdout gets one JSON document at the end.
    is_text: bool,
}

impl TerminalPerson {
    pub(super) const fn new(approval: Approval, is_text: bool) -> Self {
        Self { approval, is_text }
    }
}

impl Person for TerminalPerson {
    fn show(&mut self, step: &SetupStep) {
        if self.is_text {
            // A closed stdout does not stop the setup.
            let _ = terminal::coloured(&line(step));
        }
    }

    fn approves(&mut self, step: &SetupStep) -> bool {
        match self.approval {
            Approval::All => true,
            Approval::Refused => false,
            Approval::Asked => {
                let answer = asked(&format!("Change {}? [y/N] ", step.name.as_str()));
                matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
            }
        }
    }

    fn choose(&mut self, queues: &[QueueCandidate]) -> Option<usize> {
        if self.approval != Approval::Asked {
            return None;
        }
        let listed = queues.iter().enumerate().map(|(index, queue)| {
            let rules: Vec<&str> = queue.rules.iter().map(String::as_str).collect();
            let name = Arn::resource_of(&queue.arn);
            format!("  {}  {}\n", index + 1, one_line(&format!("{name}, of {}", rules.join(", "))))
        });
        let list: String = listed.collect();
        let _ = terminal::data(&format!("several queues fit:\n{list}"));
        let answer = asked(&format!("Number of the queue [1-{}]: ", queues.len()));
        let number: usize = answer.trim().parse().ok()?;
        (1..=queues.len()).contains(&number).then(|| number - 1)
    }
}

/// Prints a question and reads the answer; an empty answer at the end of stdin.
fn asked(question: &str) -> String {
    let mut answer = String::new();
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
    let _ = io::stdin().read_line(&mut answer);
    answer
}

/// Returns a step for people: its state and finding, then risks, changes and the next action.
fn line(step: &SetupStep) -> String {
    let width = terminal::width();
    let style = match step.state {
        StepState::Done | StepState::Applied => AnsiColor::Green.on_default(),
        StepState::Planned => AnsiColor::Yellow.on_default(),
        StepState::Waiting => Style::new().dimmed(),
        StepState::Problem => AnsiColor::Red.on_default(),
    };
    let state = step.state.as_str();
    let head = format!("{state:8} {:18} {}", step.name.as_str(), one_line(&step.found));
    let head = wrapped(&head, width, FOUND_AT);
    let head = head.strip_prefix(state).unwrap_or(&head);
    let mut text = format!("{style}{state}{style:#}{head}\n");
    let mut add = |label: &str, line: &str| {
        let line = format!("{:FOUND_AT$}{label}: {}", "", one_line(line));
        text.push_str(&wrapped(&line, width, FOUND_AT + 2));
        text.push('\n');
    };
    for note in &step.notes {
        add("note", note);
    }
    let changes: String = step.changes.iter().map(change).collect();
    if let Some(hint) = step.hint.as_deref().filter(|hint| !hint.is_empty()) {
        add("hint", hint);
    }
    text + &changes
}

/// Returns a change as a diff. Values of one line are on the line of their name.
fn change(change: &StepChange) -> String {
    let mut text = String::new();
    let StepChange { what, before, after } = change;
    let sides = [("-", before.as_ref()), ("+", Some(after))];
    for (sign, value) in sides.into_iter().filter_map(|(sign, value)| Some((sign, value?))) {
        let value = printable(value);
        let mut lines = value.lines();
        let first = lines.next().unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:FOUND_AT$}{sign} {} {first}", "", one_line(what));
        for line in lines {
            let _ = writeln!(text, "{:FOUND_AT$}{sign} {line}", "");
        }
    }
    text
}
