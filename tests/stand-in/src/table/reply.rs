//! Answers in the AWS JSON 1.0 protocol.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde::Serialize;

use super::attribute::Item;
use crate::answer::Answer;

/// A request that cannot be carried out, with the reason: a `ValidationException`.
#[derive(Debug)]
pub(super) struct Invalid(pub(super) String);

#[derive(Serialize)]
struct Refusal<'a> {
    #[serde(rename = "__type")]
    kind: &'a str,
    message: &'a str,
    #[serde(rename = "Item", skip_serializing_if = "Option::is_none")]
    item: Option<&'a Item>,
}

/// Success, with at most one member in the answer.
pub(super) fn done<T: Serialize>(member: Option<(&str, T)>) -> Answer {
    json(StatusCode::OK, &BTreeMap::from_iter(member))
}

/// The condition did not hold; `item` is what it was asked of, for a request that wants to see it.
pub(super) fn condition_failed(item: Option<&Item>) -> Answer {
    refused(&Refusal {
        kind: "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        message: "The conditional request failed",
        item,
    })
}

/// Nothing of this name is served here.
pub(super) fn unknown_operation(operation: &str) -> Answer {
    refused(&Refusal {
        kind: "com.amazon.coral.service#UnknownOperationException",
        message: &format!("the stand-in does not know the operation {operation:?}"),
        item: None,
    })
}

impl From<Invalid> for Answer {
    fn from(Invalid(problem): Invalid) -> Self {
        refused(&Refusal {
            kind: "com.amazon.coral.validate#ValidationException",
            message: &problem,
            item: None,
        })
    }
}

fn refused(refusal: &Refusal<'_>) -> Answer {
    json(StatusCode::BAD_REQUEST, refusal)
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => Answer::empty(status).with_body("application/x-amz-json-1.0", body),
        Err(error) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
