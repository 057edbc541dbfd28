//! The category of the first failure: it depends on the dead letter's failure, never on its event.

use std::collections::BTreeMap;

use genesys_replay::dead_letter::{ParsedMessage, original_failure, parse};
use genesys_replay::failure::{Category, OriginalFailure};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::samples::{SampleMessage, json_text, odd_text};

const CODES: &[(&str, Category)] = &[
    ("THROTTLING", Category::RateLimitExceeded),
    ("RESOURCE_LIMIT_EXCEEDED", Category::RateLimitExceeded),
    ("NO_PERMISSIONS", Category::AuthenticationRejected),
    ("FAILED_TO_ASSUME_ROLE", Category::AuthenticationRejected),
    ("CONNECTION_FAILURE", Category::EndpointUnreachable),
    ("TIMEOUT", Category::EndpointUnreachable),
    ("INTERNAL_ERROR", Category::EndpointUnreachable),
    ("TRANSIENT_ASSUME_ROLE", Category::EndpointUnreachable),
    ("NO_RESOURCE", Category::TargetMissing),
    ("INVALID_JSON", Category::PayloadMalformed),
    ("INVALID_PARAMETER", Category::PayloadMalformed),
    ("HTTP_429", Category::RateLimitExceeded),
    ("TokenExpired", Category::AuthenticationRejected),
    ("NETWORK_TIMEOUT", Category::EndpointUnreachable),
    ("AWS.SimpleQueueService.NonExistentQueue", Category::TargetMissing),
    ("SchemaValidationError", Category::PayloadMalformed),
];

/// Words without a meaning for the category.
const NEUTRAL: &[&str] = &["the", "delivery", "of", "conversation", "failed", "with", "status"];

/// Returns messages that determine the category, and arbitrary ones.
fn messages() -> impl Strategy<Value = String> {
    let telling = select(
        &[
            "status 429",
            "HTTP 403",
            "rate limit",
            "connection refused",
            "schema mismatch",
            "404: not found",
            "size exceeded",
            "payload: 503",
        ][..],
    );
    prop_oneof![
        telling.clone().prop_map(str::to_owned),
        (words(), telling, words()).prop_map(|(a, b, c)| format!("{a} {b} {c}")),
        odd_text(),
    ]
}

fn words() -> impl Strategy<Value = String> {
    prop::collection::vec(select(NEUTRAL), 0..4).prop_map(|words| words.join(" "))
}

/// Returns an error status.
fn statuses() -> impl Strategy<Value = u16> {
    prop_oneof![
        select(&[400_u16, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504][..]),
        400_u16..600,
    ]
}

/// Returns texts with three digits that are not a status.
fn digits_that_are_no_status() -> impl Strategy<Value = String> {
    let status = || statuses().prop_map(|status| status.to_string());
    prop_oneof![
        (status(), "[0-9a-f]{5}-[0-9a-f]{4}-4[0-9a-f]{3}").prop_map(|(s, rest)| s + &rest),
        ("[0-9a-f]{8}-", status()).prop_map(|(id, s)| id + &s),
        (status(), "[0-9]{1,12}").prop_map(|(s, more)| s + &more),
        ("[0-9]{1,12}", status()).prop_map(|(more, s)| more + &s),
        (status(), "\\.[0-9]{1,3}").prop_map(|(s, more)| s + &more),
        ("10\\.0\\.0\\.", status()).prop_map(|(host, s)| host + &s),
        ("(10\\.0\\.0\\.7|https://crm\\.example):", status()).prop_map(|(host, s)| host + &s),
        "(crm\\.example|localhost|\\[::1\\]):443",
        ("[a-z_/-]", status()).prop_map(|(dead_letter, s)| dead_letter + &s),
        (status(), " (ms|seconds|bytes|attempts)").prop_map(|(s, unit)| s + &unit),
        ("(line|port|after) ", status()).prop_map(|(what, s)| what + &s),
        ("arn:aws:lambda:eu-west-1:271828182845:function:", status()).prop_map(|(arn, s)| arn + &s),
        status().prop_map(|s| format!("2026-07-25T10:30:00.{s}Z")),
        (0_u16..400).prop_map(|number| format!("{number:03}")),
    ]
}

fn category(code: Option<&str>, message: &str) -> Category {
    OriginalFailure {
        error_code: code.map(str::to_owned),
        error_message: Some(message.to_owned()),
        ..OriginalFailure::default()
    }
    .category()
}

/// Returns the category of a status, as in the design.
fn of_status(status: u16) -> Category {
    match status {
        429 => Category::RateLimitExceeded,
        401 | 403 => Category::AuthenticationRejected,
        404 => Category::TargetMissing,
        400 | 413 | 422 => Category::PayloadMalformed,
        408 | 500.. => Category::EndpointUnreachable,
        _ => Category::Unknown,
    }
}

fn opened(body: String, attributes: &[(&str, &str)]) -> Result<Option<Category>, TestCaseError> {
    let attributes: BTreeMap<_, _> =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let message = SampleMessage { body, attributes }.message("m-1")?;
    Ok(match parse(&message) {
        ParsedMessage::DeadLetter(dead_letter) => Some(dead_letter.failure.category()),
        ParsedMessage::Unreplayable(_) => None,
    })
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn known_error_code_determines_the_category(
        (code, expected) in select(CODES),
        message in messages(),
    ) {
        prop_assert_eq!(category(Some(code), &message), expected);
    }

    #[test]
    fn error_code_without_evidence_leaves_it_to_the_message(
        code in prop_oneof!["[A-Z_]{0,24}", odd_text()],
        message in messages(),
    ) {
        let is_evidence = category(Some(&code), "") != Category::Unknown;
        prop_assume!(!is_evidence);
        prop_assert_eq!(category(Some(&code), &message), category(None, &message));
    }

    #[test]
    fn status_code_is_found_anywhere_as_a_word(
        status in statuses(),
        (before, after) in (words(), words()),
        (open, close) in select(&[
            ("", ""), ("(", ")"), ("[", "]"), ("\"", "\","), ("", "."), ("", ":"),
            ("HTTP/1.1 ", ""), ("code=", ";"), ("statusCode:", "}"), ("https://crm.example/x: ", ""),
        ][..]),
        code in prop::option::of(select(&["ERROR_FROM_TARGET", "SOMETHING_NEW"][..])),
    ) {
        // The status of a malformed payload needs more than a number.
        let is_bare = !(open.contains("HTTP") || open.contains("status") || open.contains("://"))
            && of_status(status) == Category::PayloadMalformed;
        let before = if is_bare { format!("{before} responded") } else { before };
        let message = format!("{before} {open}{status}{close} {after}");
        prop_assert_eq!(category(code, &message), of_status(status), "{}", message);
    }

    #[test]
    fn status_code_is_not_found_inside_ids_and_longer_numbers(
        ids in prop::collection::vec((digits_that_are_no_status(), select(NEUTRAL)), 1..4),
        code in prop::option::of(Just("ERROR_FROM_TARGET")),
    ) {
        let message: Vec<_> = ids.iter().map(|(id, word)| format!("{word} {id}")).collect();
        let message = message.join(" of ");
        prop_assert_eq!(category(code, &message), Category::Unknown, "{}", message);
        // The words of the message still determine the category.
        let refused = format!("connection refused: {message}");
        prop_assert_eq!(category(code, &refused), Category::EndpointUnreachable, "{}", refused);
    }

    #[test]
    fn category_ignores_the_response_of_the_target(
        said in messages(),
        word in select(&["payload:", "Payload:", "with PAYLOAD:"][..]),
        answered in messages(),
        code in prop::option::of(select(&["SDK_CLIENT_ERROR", "SOMETHING_NEW"][..])),
    ) {
        let message = format!("{said} {word} {answered}");
        prop_assert_eq!(category(code, &message), category(code, &said), "{}", message);
    }

    #[test]
    fn category_ignores_the_body_of_the_event(
        told in messages(),
        code in prop_oneof![
            select(CODES).prop_map(|(code, _)| code.to_owned()),
            Just("SDK_CLIENT_ERROR".to_owned()),
            "[A-Z_]{1,24}",
        ],
        inside in messages(),
        more in json_text(),
    ) {
        let event = json!({
            "id": "e-1",
            "detail-type": inside,
            "source": "aws.partner/genesys.com",
            "errorMessage": inside,
            "ERROR_CODE": "THROTTLING",
            "detail": {"errorMessage": inside, "eventBody": {"failureReason": inside, "status": 429}},
            "more": "more",
        })
        .to_string()
        .replace("\"more\":\"more\"", &format!("\"more\":{more}"));
        let around = [("ERROR_CODE", &*code), ("ERROR_MESSAGE", &*told)];
        let expected = {
            let dead_letter = SampleMessage { body: String::new(), attributes: BTreeMap::from(
                around.map(|(name, value)| (name.to_owned(), value.to_owned()))
            )};
            original_failure(&dead_letter.message("m-1")?).category()
        };
        let target = ("TARGET_ARN", "arn:aws:sqs:eu-west-1:271828182845:q");
        prop_assert_eq!(opened(event.clone(), &around)?, Some(expected), "a plain event");
        let dead_letter = [target, around[0], around[1]];
        prop_assert_eq!(opened(event.clone(), &dead_letter)?, Some(expected), "a rule's");
        prop_assert_eq!(opened(more, &dead_letter)?, Some(expected), "a transformed input");
        prop_assert_eq!(opened(event.clone(), &[])?, Some(Category::Unknown), "without attributes");
        let told_json = Value::from(&*told);
        let wrapper = format!(r#"{{"eventType":"dead-letter","failureReason":{told_json},"originalEvent":{event}}}"#);
        prop_assert_eq!(opened(wrapper, &[])?, Some(category(None, &told)), "inside a wrapper");
        // The error message is the function's own text.
        let record = format!(r#"{{"requestContext":{{"functionArn":"f"}},"requestPayload":{event},"responsePayload":{{"errorMessage":{told_json}}}}}"#);
        prop_assert_eq!(opened(record, &[])?, Some(Category::Unknown), "inside a failure record");
    }
}
