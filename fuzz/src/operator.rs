//! Files and objects that the operator's command reads: plans, audits, patches, archived objects.

use genesys_replay::archive::Document;
use genesys_replay::destination::{AllowedTargets, ReplayTarget};
use genesys_replay::ledger::ReplayNote;
use genesys_replay_cli::operator::apply::{History, tag_with_plan};
use genesys_replay_cli::operator::classified_message::ClassifiedMessage;
use genesys_replay_cli::operator::import::{ImportItem, SourceEntry, read_all};
use genesys_replay_cli::operator::plan::{Editing, Plan};

/// Checks that a file is refused, or that it is the same after it is parsed and written again.
///
/// # Panics
/// The parsed content differs.
pub fn operator_file(input: &[u8]) {
    if let Ok(plan) = Plan::read(input) {
        let written = plan.write().unwrap_or_default();
        assert_eq!(Plan::read(written.as_bytes()).as_ref(), Ok(&plan));
        assert_eq!(Plan::of(plan.content.clone()).hash, plan.hash);
    }
    let text = String::from_utf8_lossy(input);
    // A last line that a crash has cut off does not change the lines before it.
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if let (Ok(all), Ok(before)) =
        (History::read(&text), History::read(text.get(..whole).unwrap_or_default()))
    {
        let last = text.get(whole..).unwrap_or_default();
        assert!(all == before || History::read(&format!("{last}\n")).is_ok());
    }
    archived(input);
    patched(&text);
    imported(input);
}

/// Checks that each entry of an import has a place, and that a message of a queue keeps its id.
fn imported(mut input: &[u8]) {
    let mut entry = |entry: SourceEntry| {
        assert!(!entry.place.is_empty());
        if let ImportItem::Message(message) = entry.item {
            assert!(!message.id.as_str().is_empty());
        }
        true
    };
    // An unreadable input is an error, not a panic.
    let _unreadable = read_all(&mut input, &mut entry).is_err();
}

/// Checks that an archived object is the same event after a replay.
fn archived(input: &[u8]) {
    let Some(message) = Document::read(input).ok().and_then(|it| it.message()) else {
        return;
    };
    let target = ReplayTarget::original(AllowedTargets::Any);
    let sent = tag_with_plan(
        message.clone(),
        ReplayNote { plan: "plan-1", by: Some("marta"), reason: Some("repaired") },
    );
    assert_eq!(sent.body, message.body);
    let (before, after) =
        (ClassifiedMessage::of(&message, &target), ClassifiedMessage::of(&sent, &target));
    if before.event().is_some() && !before.event_id().contains(|c: char| !c.is_ascii_graphic()) {
        assert_eq!(before.category, after.category);
        assert_eq!(before.destination, after.destination);
    }
    // In the queue, the message has another id.
    let mut received = sent;
    if let Some(id) =
        genesys_replay::message::MessageId::new("590dfd22-b30f-4a63-81f8-72cbb5e782d0")
    {
        received.id = id;
    }
    let known = |dead_letter: &ClassifiedMessage<'_>| {
        dead_letter.event().and_then(|it| it.event_id.clone())
    };
    if let Some(id) = known(&ClassifiedMessage::of(&message, &target)) {
        assert_eq!(known(&ClassifiedMessage::of(&received, &target)), Some(id));
    }
}

/// Checks a patch. The first line is the patch, the rest the body. The result is JSON and differs from the body.
fn patched(text: &str) {
    let Some((patch, body)) = text.split_once('\n') else {
        return;
    };
    let changed = Editing::read(patch.as_bytes()).and_then(|editing| editing.change(body));
    if let Ok(change) = changed {
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        assert!(read(&change.body).is_some());
        assert_ne!(read(&change.body), read(body));
    }
}
