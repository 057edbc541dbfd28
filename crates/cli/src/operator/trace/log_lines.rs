//! The part of a trace that the function's log has.

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use serde::Deserialize;

use super::{EventTrace, TracePlace, TraceSubject};
use crate::operator::Progress;
use crate::operator::remedy::with_remedy;

/// The maximum number of ids in one search of a log.
const MAX_IDS: usize = 20;

/// The maximum number of log lines in a trace.
const MAX_LINES: usize = 1_000;

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub at: Timestamp,
    pub text: String,
}

/// Read access to a log.
pub trait LogReader {
    /// Returns the lines since `since` that contain one of these texts, at most `most`, in the order of their times.
    fn search(
        &self,
        texts: &[String],
        since: Timestamp,
        most: usize,
    ) -> impl Future<Output = Result<Vec<LogLine>, AwsError>> + Send;
}

/// The members of a log line that a trace shows.
#[derive(Deserialize)]
struct LoggedRecord {
    message: String,
    event_id: Option<String>,
    message_id: Option<String>,
    interaction_id: Option<String>,
    outcome: Option<String>,
    failure_code: Option<String>,
    reason: Option<String>,
    target: Option<String>,
    attempt: Option<u32>,
    deferred_ms: Option<u64>,
}

impl EventTrace {
    /// Searches the log of the function for the subject and the found events.
    pub async fn search_log(
        &mut self,
        log: &impl LogReader,
        name: &str,
        since: Timestamp,
        progress: &dyn Progress,
    ) {
        let mut texts: Vec<String> = self.ids.iter().cloned().collect();
        texts.sort_unstable();
        let omitted = texts.len().saturating_sub(MAX_IDS);
        texts.truncate(MAX_IDS);
        match &self.subject {
            TraceSubject::Event(_) => {}
            TraceSubject::Interaction(id) | TraceSubject::Message(id) | TraceSubject::Any(id) => {
                texts.retain(|text| text != id);
                texts.push(id.clone());
            }
        }
        progress.begin("searching the log", None);
        let found = log.search(&texts, since, MAX_LINES).await;
        progress.end();
        let (lines, problem) = match found {
            Ok(lines) => (lines, None),
            Err(error) => (Vec::new(), Some(with_remedy(&error))),
        };
        for line in &lines {
            self.add_line(line);
        }
        let problem = problem.or((lines.len() >= MAX_LINES)
            .then(|| format!("only the first {MAX_LINES} lines were read: --since")));
        let omitted = (omitted > 0).then(|| {
            format!("{omitted} of the found events were not searched, after the first {MAX_IDS}: name one with --event")
        });
        let problems: Vec<String> = problem.into_iter().chain(omitted).collect();
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        self.searched_in(TracePlace::Log, name, lines.len() as u64, problem);
    }

    fn add_line(&mut self, line: &LogLine) {
        let Ok(handled) = serde_json::from_str::<LoggedRecord>(&line.text) else {
            return;
        };
        let message_id = handled.message_id.as_deref().unwrap_or_default();
        let event_id = handled.event_id.as_deref().unwrap_or(message_id);
        if event_id.is_empty()
            || !self.is_about(event_id, handled.interaction_id.as_deref(), message_id)
        {
            return;
        }
        let texts = [handled.outcome.as_deref(), handled.failure_code.as_deref()];
        let mut what = handled.message.clone();
        for (separator, text) in [": ", " "].into_iter().zip(texts) {
            what.extend(text.map(|text| format!("{separator}{text}")));
        }
        what.extend(handled.reason.map(|reason| format!(", {reason}")));
        what.extend(handled.attempt.map(|attempt| format!(", attempt {attempt}")));
        what.extend(
            handled.deferred_ms.map(|wait| format!(", next in {} s", wait.div_ceil(1_000))),
        );
        let event_id = event_id.to_owned();
        let event = self.event(&event_id, handled.target.as_deref().unwrap_or_default());
        event.interaction_id = handled.interaction_id.or(event.interaction_id.take());
        event.add(Some(line.at), TracePlace::Log, what);
    }
}
