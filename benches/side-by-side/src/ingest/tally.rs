//! The outcomes of requests: compares the responses with the messages in the queue.

use serde_json::Value;

use super::queue::{Sent, message_id};
use super::request::{RETRY_COUNT, Request, Route};
use crate::connection::Answer;

/// The documented codes of a 503.
const UNAVAILABLE: [&str; 4] = [
    "INGEST_BUSY",
    "INGEST_QUEUE_UNAVAILABLE",
    "INGEST_GENESYS_UNAVAILABLE",
    "INGEST_SECRET_UNAVAILABLE",
];

/// The outcome of a correct request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    /// 503 with `Retry-After` and a documented code. The caller retries it.
    Unavailable,
    /// Every other response.
    Wrong(String),
}

impl Outcome {
    pub(crate) fn of(request: &Request, answer: anyhow::Result<Answer>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Self::Wrong(format!("{error:#}")),
        };
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = body["code"].as_str().unwrap_or_default();
        let retry_after = answer.header("retry-after").map(str::parse::<u32>);
        match answer.status {
            200 if is_acceptance(request, &body) => Self::Accepted,
            503 if UNAVAILABLE.contains(&code) && matches!(retry_after, Some(Ok(_))) => {
                Self::Unavailable
            }
            status => Self::Wrong(format!("{status} {}", String::from_utf8_lossy(&answer.body))),
        }
    }
}

fn is_acceptance(request: &Request, body: &Value) -> bool {
    let is_numbered = match request.route {
        Route::DeadLetter => {
            body["attempt"] == RETRY_COUNT + 1 && body["messageId"] == message_id(&request.digest)
        }
        Route::Webhook => true,
    };
    body["status"] == "accepted" && is_numbered
}

/// The number of requests by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) accepted: usize,
    pub(crate) unavailable: usize,
    pub(crate) wrong: usize,
    /// Accepted, and not in the queue.
    pub(crate) lost: usize,
    /// In the queue more than once.
    pub(crate) doubled: usize,
    /// Messages without an accepted request.
    pub(crate) strange: usize,
    /// An example of a wrong response.
    pub(crate) example: Option<String>,
}

impl Tally {
    /// Compares the outcomes of requests with the messages `sent` to the queue.
    pub(crate) fn of<'r>(
        ended: impl IntoIterator<Item = (&'r Request, &'r Outcome)>,
        mut sent: Sent,
    ) -> Self {
        let mut tally = Self::default();
        for (request, outcome) in ended {
            let messages = sent.remove(&(request.digest, Some(request.route)));
            let messages = messages.unwrap_or_default();
            match outcome {
                Outcome::Accepted => {
                    tally.accepted += 1;
                    tally.lost += usize::from(messages == 0);
                }
                Outcome::Unavailable => tally.unavailable += 1,
                Outcome::Wrong(why) => {
                    tally.wrong += 1;
                    tally.example.get_or_insert_with(|| why.clone());
                }
            }
            tally.doubled += usize::from(messages > 1);
        }
        tally.strange = sent.len();
        tally
    }

    /// Returns the fault, if there is one.
    pub(crate) fn fault(&self) -> Option<String> {
        let Self { wrong, lost, doubled, strange, .. } = self;
        let example = self.example.as_deref().unwrap_or("none");
        (wrong + lost + doubled + strange > 0).then(|| {
            format!("{wrong} answered wrongly, {lost} lost, {doubled} doubled, {strange} strange messages; for example: {example}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection;
    use crate::ingest::request::Caller;

    async fn answer(status: &str, headers: &str, body: &str) -> anyhow::Result<Answer> {
        let length = body.len();
        let wire = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
        connection::read(&mut wire.as_bytes()).await
    }

    #[tokio::test]
    async fn only_documented_responses_are_right() -> anyhow::Result<()> {
        let requests = Caller::new()?.ordinary(2)?;
        let (letter, webhook) = (&requests[0], &requests[1]);
        let id = message_id(&letter.digest);
        let accepted = format!(r#"{{"status":"accepted","attempt":3,"messageId":"{id}"}}"#);
        let of = async |request, status, headers, body: &str| {
            Outcome::of(request, answer(status, headers, body).await)
        };
        assert_eq!(of(letter, "200 OK", "", &accepted).await, Outcome::Accepted);
        let plain = r#"{"status":"accepted"}"#;
        assert_eq!(of(webhook, "200 OK", "", plain).await, Outcome::Accepted);
        let busy = r#"{"code":"INGEST_BUSY"}"#;
        let later = "retry-after: 1\r\n";
        assert_eq!(of(letter, "503 -", later, busy).await, Outcome::Unavailable);

        for (status, headers, body) in [
            ("200 OK", "", plain),
            ("200 OK", "", &accepted.replace('3', "4")),
            ("200 OK", "", ""),
            ("503 -", "", busy),
            ("503 -", later, "{}"),
            ("500 -", later, busy),
            ("413 -", "", "{}"),
        ] {
            let outcome = of(letter, status, headers, body).await;
            assert!(matches!(outcome, Outcome::Wrong(_)), "{status} {body}");
        }
        Ok(())
    }

    #[test]
    fn tally_counts_lost_doubled_and_unknown_messages() -> anyhow::Result<()> {
        let requests = Caller::new()?.ordinary(6)?;
        let [right, twice, elsewhere, busy, also_busy, broken] = &requests[..] else {
            anyhow::bail!("six were requested");
        };
        let sent = |request: &Request, times| ((request.digest, Some(request.route)), times);
        let is_wrong = Outcome::Wrong("broken".to_owned());
        let ended = [
            (right, &Outcome::Accepted),
            (twice, &Outcome::Accepted),
            (elsewhere, &Outcome::Accepted),
            (busy, &Outcome::Unavailable),
            (also_busy, &Outcome::Unavailable),
            (broken, &is_wrong),
        ];
        let of_no_route = ((elsewhere.digest, None), 1);
        let messages = [sent(right, 1), sent(twice, 2), of_no_route, sent(busy, 1)];
        let tally = Tally::of(ended, messages.into_iter().collect());
        let expected = Tally {
            accepted: 3,
            unavailable: 2,
            wrong: 1,
            lost: 1,
            doubled: 1,
            strange: 1,
            example: Some("broken".to_owned()),
        };
        assert_eq!(tally, expected);
        assert!(tally.fault().is_some());
        let right =
            Tally::of([(right, &Outcome::Accepted)], [sent(right, 1)].into_iter().collect());
        assert_eq!(right.fault(), None);
        Ok(())
    }
}
