//! Reads a log group of `CloudWatch` Logs.

use aws_sdk_cloudwatchlogs::Client;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;

use crate::calls::answered;
use crate::operator::trace::{LogLine, LogReader};

/// A reader of one log group.
#[derive(Clone, Debug)]
pub struct CloudWatchLogs {
    client: Client,
    group: String,
}

impl CloudWatchLogs {
    pub(crate) fn new(client: Client, group: String) -> Self {
        Self { client, group }
    }
}

impl LogReader for CloudWatchLogs {
    async fn search(
        &self,
        texts: &[String],
        since: Timestamp,
        most: usize,
    ) -> Result<Vec<LogLine>, AwsError> {
        let operation = format!("searching the log group {}", self.group);
        // A quoted term matches anywhere in a line; a question mark means that one of the terms has to match.
        let quoted = texts.iter().filter(|text| !text.contains(['"', '\\']));
        let pattern: Vec<String> = quoted.map(|text| format!("?\"{text}\"")).collect();
        if pattern.is_empty() {
            return Ok(Vec::new());
        }
        let (mut lines, mut next) = (Vec::new(), None);
        loop {
            let call = self.client.filter_log_events().log_group_name(&self.group);
            let call = call.filter_pattern(pattern.join(" "));
            let call = call.start_time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
            let answer = answered(&operation, call.set_next_token(next).send()).await?;
            lines.extend(answer.events().iter().filter_map(|event| {
                let at = u64::try_from(event.timestamp()?).ok()?;
                let text = event.message()?.to_owned();
                Some(LogLine { at: Timestamp::from_millis(at), text })
            }));
            next = answer.next_token;
            if next.is_none() || lines.len() >= most {
                break;
            }
        }
        lines.sort_by_key(|line| line.at);
        lines.truncate(most);
        Ok(lines)
    }
}
