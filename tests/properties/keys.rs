//! Event keys and object keys.

use genesys_replay::archive::Entry;
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::{EventId, ParsedMessage, parse};
use genesys_replay::destination::{AllowedTargets, Destination, MAX_TARGET_BYTES, ReplayTarget};
use genesys_replay::failure::{FailureCode, OriginalFailure};
use genesys_replay::ledger::EventKey;
use genesys_replay::message::{Message, MessageId};
use proptest::prelude::*;
use proptest::sample::select;

use crate::samples::{nearly_a_sample, odd_text};

/// The maximum length of the prefix, and of the suffix of a key that exists: a dash and 16 hexadecimal digits.
const AROUND: usize = 256 + 17;

fn id(text: &str) -> Result<MessageId, TestCaseError> {
    MessageId::new(text).ok_or_else(|| TestCaseError::fail("an empty message id"))
}

/// Returns the destination of a dead letter with the target `arn`.
fn original(arn: &str) -> Destination {
    ReplayTarget::original(AllowedTargets::Any).destination(Some(arn), &[])
}

/// Returns parts that can be joined to ids and to ARNs.
fn parts() -> impl Strategy<Value = Vec<String>> {
    let part = prop_oneof!["[a-c]{1,2}", "arn:aws:(sqs|sns):r:a:[a-c]{1,2}", Just("|".to_owned()),];
    prop::collection::vec(part, 2..6)
}

fn arns() -> impl Strategy<Value = String> {
    prop_oneof![
        "arn:aws:sqs:eu-west-1:271828182845:[!-~]{1,40}",
        "arn:aws:lambda:eu-west-1:271828182845:function:[!-~]{1,1100}",
        "arn:aws:states:eu-west-1:271828182845:stateMachine:[a-z]{1,8}",
        odd_text(),
    ]
}

/// Returns the event key of a message. `None`: the event has no id.
fn key_of(message: &Message, destination: &Destination) -> Option<EventKey> {
    match parse(message) {
        ParsedMessage::DeadLetter(dead_letter) => {
            let event_id = dead_letter.event_id.as_ref()?;
            Some(EventKey::new(Some(event_id), &message.id, destination))
        }
        ParsedMessage::Unreplayable(_) => None,
    }
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn event_keys_differ_for_different_events_or_targets(
        parts in parts(),
        (one, other) in (1_usize..6, 1_usize..6),
    ) {
        // The same text split at two positions, because a separator inside an id or ARN could cause a collision.
        let pair = |at: usize, message: &str| {
            let (front, back) = parts.split_at(at.min(parts.len() - 1));
            let event = EventId::new(front.join("|"));
            let destination = original(&back.join("|"));
            let key = EventKey::new(event.as_ref(), &id(message)?, &destination);
            Ok::<_, TestCaseError>((event, destination, key))
        };
        let (one, other) = (pair(one, "m-1")?, pair(other, "m-2")?);
        let same = one.0.is_some() && (&one.0, &one.1) == (&other.0, &other.1);
        prop_assert_eq!(one.2 == other.2, same, "{} {}", one.2, other.2);
        prop_assert_eq!(one.2.digest() == other.2.digest(), same);
    }

    #[test]
    fn event_key_with_an_id_is_the_same_in_every_message(
        dead_letter in nearly_a_sample(),
        (first, again) in ("[a-z0-9-]{1,36}", "[a-z0-9-]{1,36}"),
        receives in 1_u32..100,
        arn in arns(),
    ) {
        let destination = original(&arn);
        let first = dead_letter.message(&first)?;
        let mut again = dead_letter.message(&again)?;
        again.receive_count = receives;
        prop_assert_eq!(key_of(&first, &destination), key_of(&again, &destination));
    }

    #[test]
    fn event_key_without_an_id_depends_on_the_message(
        (one, other) in ("[a-z0-9-]{1,36}", "[a-z0-9-]{1,36}"),
        arn in arns(),
    ) {
        let key = |message: &str| Ok::<_, TestCaseError>(EventKey::new(None, &id(message)?, &original(&arn)));
        prop_assert_eq!(key(&one)? == key(&other)?, one == other);
        prop_assert_eq!(key(&one)?, key(&one)?);
    }

    #[test]
    fn event_key_depends_on_the_target(
        event in "[!-{}~]{1,256}",
        (one, other) in (arns(), arns()),
    ) {
        let event = EventId::new(event);
        prop_assert!(event.is_some());
        let (one, other) = (original(&one), original(&other));
        let key = |destination| Ok::<_, TestCaseError>(EventKey::new(event.as_ref(), &id("m-1")?, destination));
        prop_assert_eq!(key(&one)? == key(&other)?, one.key_part() == other.key_part());
    }

    #[test]
    fn event_key_fits_the_ledger_and_a_header(event in odd_text(), arn in arns()) {
        let destination = original(&arn);
        let key = EventKey::new(EventId::new(event).as_ref(), &id("m-1")?, &destination);
        prop_assert!(key.as_str().len() <= 256 + 1 + MAX_TARGET_BYTES);
        let nothing_is_sent = matches!(
            destination,
            Destination::None | Destination::Unsupported(_) | Destination::NotAllowed(_) | Destination::Looping(_) | Destination::Missing
        );
        if !nothing_is_sent {
            prop_assert!(key.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{}", key);
        }
        let digest = key.digest();
        prop_assert_eq!(digest.len(), 64);
        prop_assert!(digest.bytes().all(|byte| b"0123456789abcdef".contains(&byte)));
    }

    #[test]
    fn object_key_is_safe_for_any_event(
        event_id in prop_oneof![odd_text(), "\\PC{0,400}"],
        event_type in prop::option::of(prop_oneof![odd_text(), "[./]{0,9}", "\\PC{0,400}"]),
        code in select(FailureCode::ALL),
        first_seen in any::<u64>(),
        attempts in any::<u32>(),
    ) {
        let message = Message::new(id("m-1")?, String::new());
        let key = EventKey::new(None, &message.id, &Destination::None);
        let entry = Entry {
            message: &message,
            key: &key,
            event_id: &event_id,
            event_type: event_type.as_deref(),
            interaction_id: None,
            original: &OriginalFailure::default(),
            target: "none",
            code,
            reason: "",
            attempts: 0,
            first_seen: Timestamp::from_millis(first_seen),
            now: Timestamp::from_millis(0),
        };
        let object = entry.object_key();
        prop_assert!(AROUND + object.len() <= 1_024, "{}", object);
        let parts: Vec<_> = object.split('/').collect();
        prop_assert_eq!(parts.len(), 3, "{}", object);
        prop_assert_eq!(parts.get(1), Some(&code.as_str()));
        prop_assert!(object.strip_suffix(".json").is_some());
        for part in parts {
            prop_assert!(!["", ".", ".."].contains(&part), "{}", object);
            let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            prop_assert!(part.bytes().all(safe), "{}", object);
        }
        let again = Entry { attempts, now: Timestamp::from_millis(u64::MAX), reason: "again", ..entry };
        prop_assert_eq!(again.object_key(), object, "the second archiving changes nothing");
    }
}
