//! The conversations of the events: pages, and the rate limit.

use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use genesys_replay::genesys::{Call, GenesysError};
use genesys_replay_cli::genesys::analytics::{
    Conversation, ConversationPage, ConversationQuery, Conversations, MAX_CONVERSATIONS_PER_QUERY,
};
use genesys_replay_cli::operator::diagnose::{Correlation, Diagnose, DiagnosisEnd};
use genesys_test_support::TestResult;
use serde_json::Value;

use super::lazy_queue::{LazyQueue, dead_letter};
use super::{At, Findings, Items, Looked, NOW, Said, look};

/// Analytics with all conversations except some, with small pages and injected errors.
struct Analytics {
    page_size: usize,
    unknown: Vec<String>,
    /// The errors of the first calls, in order.
    errors: Mutex<Vec<GenesysError>>,
    asked: Mutex<Vec<(usize, u32)>>,
}

impl Analytics {
    fn new() -> Self {
        Self {
            page_size: 100,
            unknown: Vec::new(),
            errors: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    fn failing(errors: Vec<GenesysError>) -> Self {
        Self { errors: Mutex::new(errors), ..Self::new() }
    }

    /// The number of requested ids and the page of each call, in order.
    fn asked(&self) -> Vec<(usize, u32)> {
        self.asked.lock().map(|it| it.clone()).unwrap_or_default()
    }
}

fn conversation(id: &str) -> Conversation {
    Conversation {
        conversation_id: id.to_owned(),
        conversation_start: Some("2026-07-25T17:00:00.000Z".to_owned()),
        conversation_end: None,
        media_types: vec!["voice".to_owned()],
        participants: [("agent".to_owned(), 1)].into(),
    }
}

impl Conversations for Analytics {
    async fn page(
        &self,
        query: ConversationQuery<'_>,
        number: u32,
    ) -> Result<ConversationPage, GenesysError> {
        if let Ok(mut asked) = self.asked.lock() {
            asked.push((query.ids.len(), number));
        }
        if let Ok(mut errors) = self.errors.lock()
            && !errors.is_empty()
        {
            return Err(errors.remove(0));
        }
        let known: Vec<Conversation> = query
            .ids
            .iter()
            .filter(|id| !self.unknown.iter().any(|it| it == id.as_str()))
            .map(|id| conversation(id.as_str()))
            .collect();
        let before = (number as usize - 1) * self.page_size;
        let page = known.iter().skip(before).take(self.page_size);
        Ok(ConversationPage {
            conversations: page.cloned().collect(),
            total: Some(known.len() as u64),
        })
    }
}

async fn correlated(shelf: &LazyQueue, analytics: &Analytics) -> Looked {
    let (said, mut findings) = (Said::default(), Findings::default());
    let use_case = Diagnose {
        reader: shelf,
        ledger: &Items::default(),
        conversations: Some(analytics),
        clock: &At(NOW),
        progress: &said,
    };
    let diagnosis = use_case.run(look(), &mut findings, pending()).await;
    Looked { diagnosis, findings: findings.0, said: said.all() }
}

fn counts(looked: &Looked) -> Option<Correlation> {
    looked.diagnosis.as_ref().ok()?.correlation
}

fn known(looked: &Looked) -> usize {
    let infos = looked.findings.iter().map(|it| &it["interactionInfo"]);
    infos.filter(|info| !info.is_null()).count()
}

const LIMITED: GenesysError =
    GenesysError::RateLimited { call: Call::Analytics, after: Some(Duration::from_secs(42)) };

#[tokio::test(start_paused = true)]
async fn correlate_finds_conversations_in_limited_queries() -> TestResult {
    let shelf = LazyQueue::new(120, dead_letter);
    let analytics = Analytics::new();
    let looked = correlated(&shelf, &analytics).await;
    looked.well()?;
    assert_eq!(known(&looked), 120);
    for finding in &looked.findings {
        let info = &finding["interactionInfo"];
        assert_eq!(info["conversationId"], finding["interactionId"]);
        assert_eq!(info["mediaTypes"][0], "voice");
    }
    let asked = analytics.asked();
    assert!(
        asked.iter().all(|(ids, page)| *ids <= MAX_CONVERSATIONS_PER_QUERY && *page == 1),
        "{asked:?}"
    );
    assert_eq!(asked.iter().map(|it| it.0).sum::<usize>(), 120);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn correlate_reads_every_page() -> TestResult {
    let shelf = LazyQueue::new(10, dead_letter);
    let analytics = Analytics { page_size: 3, ..Analytics::new() };
    let looked = correlated(&shelf, &analytics).await;
    looked.well()?;
    assert_eq!(known(&looked), 10);
    assert_eq!(analytics.asked(), [(10, 1), (10, 2), (10, 3), (10, 4)]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn correlate_counts_missing_conversations() -> TestResult {
    let shelf = LazyQueue::new(10, dead_letter);
    let analytics =
        Analytics { unknown: vec!["c-3".to_owned(), "c-7".to_owned()], ..Analytics::new() };
    let looked = correlated(&shelf, &analytics).await;
    let diagnosis = looked.well()?;
    let expected = Correlation { found: 8, missing: 2, not_asked: 0 };
    assert_eq!(diagnosis.correlation, Some(expected));
    assert_eq!(known(&looked), 8);
    let unknown = looked.findings.iter().find(|it| it["interactionId"] == "c-3");
    assert_eq!(unknown.map(|it| &it["interactionInfo"]), Some(&Value::Null));
    let notes = diagnosis.notes().join("\n");
    assert!(notes.contains("Interactions that analytics did not return: 2."), "{notes}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn correlate_waits_for_the_rate_limit_and_keeps_messages_hidden() -> TestResult {
    let shelf = LazyQueue::new(400, dead_letter);
    let analytics = Analytics::failing(vec![LIMITED; 5]);
    let begun = tokio::time::Instant::now();
    let looked = correlated(&shelf, &analytics).await;
    looked.well()?;
    assert!(begun.elapsed() >= Duration::from_secs(210), "five waits of 42 s");
    assert_eq!(known(&looked), 400);
    assert_eq!((shelf.lapsed(), shelf.shown()), (0, 400));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn correlate_skips_a_batch_when_retry_after_is_too_long() -> TestResult {
    let shelf = LazyQueue::new(120, dead_letter);
    let hours = GenesysError::RateLimited {
        call: Call::Analytics,
        after: Some(Duration::from_secs(7_200)),
    };
    let analytics = Analytics::failing(vec![hours]);
    let looked = correlated(&shelf, &analytics).await;
    assert_eq!(looked.well()?.total, 120);
    let counts = counts(&looked).ok_or("no counts")?;
    assert!((1..=50).contains(&counts.not_asked), "{counts:?}");
    assert_eq!(counts.found + counts.not_asked, 120);
    assert_eq!(looked.said.matches("that were not looked up in analytics: ").count(), 1);
    assert!(looked.said.contains("explain GENESYS_RATE_LIMITED"), "{}", looked.said);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn correlate_tries_refused_credentials_once() -> TestResult {
    let shelf = LazyQueue::new(120, dead_letter);
    let refused = GenesysError::Credentials {
        call: Call::Analytics,
        status: 403,
        code: Some("missing.any.permissions".to_owned()),
    };
    let analytics = Analytics::failing(vec![refused; 9]);
    let looked = correlated(&shelf, &analytics).await;
    let diagnosis = looked.well()?;
    assert_eq!((diagnosis.total, diagnosis.end), (120, DiagnosisEnd::Drained));
    assert_eq!(counts(&looked).map(|it| it.not_asked), Some(120));
    assert_eq!(analytics.asked().len(), 1);
    Ok(())
}

/// Analytics that never answers.
struct Silent;

impl Conversations for Silent {
    async fn page(
        &self,
        _: ConversationQuery<'_>,
        _: u32,
    ) -> Result<ConversationPage, GenesysError> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn interrupted_diagnose_does_not_wait_for_analytics() -> TestResult {
    let shelf = LazyQueue::new(5_000, dead_letter);
    let (said, mut findings) = (Said::default(), Findings::default());
    let use_case = Diagnose {
        reader: &shelf,
        ledger: &Items::default(),
        conversations: Some(&Silent),
        clock: &At(NOW),
        progress: &said,
    };
    let begun = tokio::time::Instant::now();
    let stop = tokio::time::sleep(Duration::from_secs(1));
    let diagnosis = use_case.run(look(), &mut findings, stop).await?;
    assert_eq!((diagnosis.end, diagnosis.total), (DiagnosisEnd::Interrupted, 0));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(said.all(), "");
    assert_eq!(diagnosis.released.visible, shelf.handed_out());
    assert_eq!(shelf.shown(), 5_000);
    Ok(())
}
