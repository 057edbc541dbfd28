//! The parsing of messages: no panic, and no lost payload.

use std::borrow::Cow;
use std::collections::BTreeMap;

use genesys_replay::dead_letter::{
    DeadLetter, EventId, InteractionId, ParsedMessage, UnreplayableReason, parse,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::samples::{SampleMessage, json_text, nearly_a_sample, odd_text, sample};

/// Returns changed samples, and arbitrary bodies and attributes.
fn dead_letters() -> impl Strategy<Value = SampleMessage> {
    let attributes = prop::collection::btree_map("[A-Za-z_]{1,12}", odd_text(), 0..4);
    let noise = prop_oneof![odd_text(), json_text()];
    prop_oneof![
        4 => nearly_a_sample(),
        1 => (noise, attributes).prop_map(|(body, attributes)| SampleMessage { body, attributes }),
    ]
}

fn dead_letter(body: String) -> SampleMessage {
    SampleMessage { body, attributes: BTreeMap::new() }
}

/// Returns the inner text of an SNS notification.
fn carried(notification: &str) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(notification).ok()?;
    serde_json::from_str(members.get("Message")?.get()).ok()
}

/// Returns whether a payload is a part of a body, or of its inner SNS notifications.
fn stands_in(payload: &str, body: &str) -> bool {
    body.contains(payload) || carried(body).is_some_and(|inner| stands_in(payload, &inner))
}

fn opened(dead_letter: &SampleMessage) -> Result<Option<DeadLetter<'static>>, TestCaseError> {
    let message = dead_letter.message("m-1")?;
    Ok(match parse(&message) {
        ParsedMessage::DeadLetter(dead_letter) => {
            let payload = Cow::Owned(dead_letter.payload.into_owned());
            Some(DeadLetter { payload, ..*dead_letter })
        }
        ParsedMessage::Unreplayable(_) => None,
    })
}

fn payload(dead_letter: &SampleMessage) -> Result<Option<String>, TestCaseError> {
    Ok(opened(dead_letter)?.map(|dead_letter| dead_letter.payload.into_owned()))
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn payload_is_a_part_of_the_body_byte_for_byte(dead_letter in dead_letters()) {
        if let Some(payload) = payload(&dead_letter)? {
            prop_assert!(stands_in(&payload, &dead_letter.body), "{}", payload);
        }
    }

    #[test]
    fn payload_of_a_rules_dead_letter_is_the_body(
        dead_letter in dead_letters(),
        origin in select(&["RULE_ARN", "TARGET_ARN", "SCHEDULE_ARN"][..]),
    ) {
        let mut dead_letter = dead_letter;
        dead_letter.attributes.insert(origin.to_owned(), "arn:aws:x".to_owned());
        match parse(&dead_letter.message("m-1")?) {
            ParsedMessage::DeadLetter(opened) if opened.call.is_some() => {
                let call = dead_letter.attributes.get("TARGET_ARN").is_some_and(|arn| arn.contains(":aws-sdk:"));
                prop_assert!(call, "only a schedule's body holds the parameters of a call");
            }
            ParsedMessage::DeadLetter(opened) => prop_assert_eq!(&*opened.payload, &*dead_letter.body),
            // The only messages with attributes and without an event.
            ParsedMessage::Unreplayable(why) => prop_assert!(matches!(
                why,
                UnreplayableReason::CustomBusRecord
                    | UnreplayableReason::Truncated
                    | UnreplayableReason::Offloaded(_)
            )),
        }
    }

    #[test]
    fn payload_of_a_wrapped_event_is_unchanged(
        event in json_text(),
        before in "[ \n]{0,2}",
        after in "[ \n]{0,2}",
    ) {
        for wrapper in [
            format!(r#"{{"eventType":"dead-letter","originalEvent":{before}{event}{after}}}"#),
            format!(
                r#"{{"requestPayload":{before}{event}{after},"requestContext":{{"functionArn":"f"}}}}"#
            ),
        ] {
            let payload = payload(&dead_letter(wrapper))?;
            prop_assert_eq!(payload.as_deref(), Some(&*event));
        }
    }

    #[test]
    fn sns_notification_is_parsed_as_its_inner_message(sample in sample(), levels in 1_usize..=3) {
        let bare = dead_letter(sample.body);
        let around = (0..levels).fold(bare.clone(), |inner, _| {
            dead_letter(json!({"Type": "Notification", "TopicArn": "t", "Message": inner.body}).to_string())
        });
        // A sample that is a notification itself is one level too deep then.
        let is_notification = carried(&bare.body).is_some();
        prop_assert_eq!(
            opened(&around)?,
            opened(&bare)?.filter(|_| !is_notification || levels < 3)
        );
    }

    #[test]
    fn parsed_ids_fit_keys_and_urls(dead_letter in dead_letters()) {
        if let Some(opened) = opened(&dead_letter)? {
            if let Some(id) = opened.event_id {
                prop_assert_eq!(EventId::new(id.as_str()), Some(id));
            }
            if let Some(interaction) = opened.interaction {
                let id = interaction.id;
                let path = format!("https://api.example/{id}");
                let url = url::Url::parse(&path).map(String::from);
                prop_assert_eq!(url.as_ref(), Ok(&path), "a separate segment");
                prop_assert_eq!(InteractionId::new(id.as_str()), Some(id));
            }
        }
    }

    #[test]
    fn unknown_members_do_not_change_the_dead_letter(
        sample in sample(),
        name in "x-[a-z]{1,8}",
        value in json_text(),
    ) {
        let Ok(Value::Object(members)) = serde_json::from_str(&sample.body) else {
            return Ok(());
        };
        prop_assume!(!members.is_empty());
        // An unknown parameter may change the meaning of a schedule's call, and the body of a webhook without a call id is
        // its identity.
        let is_call = sample.attributes.contains_key("SCHEDULE_ARN");
        let is_anonymous = members.contains_key("campaignId") && !members.contains_key("callId");
        prop_assume!(!is_call && !is_anonymous);
        let mut with_more = sample.clone();
        with_more.body.insert_str(1, &format!("\"{name}\":{value},"));
        let about = |dead_letter: &SampleMessage| {
            Ok::<_, TestCaseError>(opened(dead_letter)?.map(|opened| DeadLetter {
                payload: Cow::Borrowed(""),
                ..opened
            }))
        };
        prop_assert_eq!(about(&with_more)?, about(&sample)?);
    }
}

proptest! {
    // Each case has one or two megabytes.
    #![proptest_config(Config { cases: 12, ..crate::config() })]

    #[test]
    fn parser_survives_nesting_of_any_depth(
        depth in 1_usize..60_000,
        (open, close) in select(&[("[", "]"), ("{\"detail\":", "}"), ("[{\"detail\":", "}]")][..]),
        closed in any::<bool>(),
    ) {
        let close = if closed { close.repeat(depth) } else { String::new() };
        let deep = format!("{}1{close}", open.repeat(depth));
        let wrapper = format!(r#"{{"eventType":"dead-letter","originalEvent":{deep}}}"#);
        let event = format!(r#"{{"detail-type":"t","source":"s","detail":{{"eventBody":{deep}}}}}"#);
        prop_assert!(payload(&dead_letter(wrapper))? == closed.then(|| deep.clone()), "wrapped");
        prop_assert!(payload(&dead_letter(event.clone()))? == closed.then_some(event), "an event");
        prop_assert!(payload(&dead_letter(deep))?.is_none(), "no known shape");
    }
}
